"""Scans to a Zarr store: occupied voxels and a signed distance field per scene."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import zarr
from jaxtyping import Float
from numpy import ndarray
from zarr.codecs import BytesCodec, ZstdCodec

from sahmr.datasets import find_card
from sahmr.errors import RawDataError
from sahmr.scenes.signed_distance import DistanceGrid, grid_spacing, signed_distance_grid
from sahmr.scenes.store import STORE_VERSION
from sahmr.scenes.voxels import occupied_voxels
from sahmr.settings import Between, Quarantine, settings
from sahmr.untrusted.meshes import read_ply
from sahmr.untrusted.pickles import load_npy
from sahmr.untrusted.texts import read_json
from schemas.scene import SceneRecord

_POINT_CHUNK, _SDF_CHUNK = 1 << 16, 64  # 768 kB and 1 MB of float32
_WIDEST_M = 1000.0  # of a scan: one flipped bit makes a vertex lie anywhere, and voxels without end between
_NO_DATA = float("nan")  # fill value: a lost chunk shows as NaN and not as zeros


@settings
class Scenes:
    """Section ``scenes`` of params.yaml.

    Attributes:
        voxel_pitch_m: side of the scene's voxels.
        sdf_spacing_m, sdf_margin_m: step and reach of the distance field computed for scans that ship none.
        sdf_max_samples: a field needing more samples gets a coarser step, which its attributes then state.
        max_quarantined: this many damaged raw files are left out, counted and listed; one more, and the stage fails.
    """

    voxel_pitch_m: Annotated[float, Between(0.005, 1)]
    sdf_spacing_m: Annotated[float, Between(0.005, 2)]
    sdf_margin_m: Annotated[float, Between(0, 10)]
    sdf_max_samples: Annotated[int, Between(1000, 512**3)]
    max_quarantined: Quarantine = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneReceipt:
    """What ``write_scene`` made, for the stage's summary.

    Attributes:
        is_coarsened: the grid step asked for was too fine.
        num_flipped_edges: edges of the scan whose two faces disagree about its front; signs near them are a guess.
    """

    scene_key: str
    num_points: int
    num_samples: int
    is_coarsened: bool
    num_flipped_edges: int


def read_scan(path: Path) -> Float[ndarray, "faces 3 3"]:
    """Corners of a scan's triangles exactly as stored, metres.

    Raises:
        RawDataError: as :func:`read_ply`; or if it has no faces, a face names no vertex, or it is impossibly wide.
    """
    mesh = read_ply(path)
    vertices, faces = mesh.vertices, mesh.faces
    if len(faces) == 0:
        raise RawDataError(f"{path}: has no faces; voxels and distances need the scanned mesh, not a point cloud")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.max() if faces.max() >= len(vertices) else faces.min()
        raise RawDataError(f"{path}: a face names vertex {wrong} of {len(vertices)}; fetch it again")
    extent = float(np.ptp(vertices, axis=0).max())
    if extent > _WIDEST_M:
        raise RawDataError(f"{path}: is {extent:.3g} m wide, allowed: {_WIDEST_M:g} m; fetch it again")
    triangles: Float[ndarray, "faces 3 3"] = vertices[faces]
    return triangles


def read_shipped_distance(values_file: Path, info_file: Path) -> DistanceGrid:
    """A distance field as PROX ships it: a flat array beside a JSON with ``min``, ``max`` and ``dim``.

    Raises:
        RawDataError: if a file is missing or damaged, the length is not dim cubed, or a value is not finite.
    """
    info = read_json(info_file)
    try:
        lower, upper = (np.array(info[key], dtype=np.float64) for key in ("min", "max"))
        side = int(info["dim"])
    except Exception as problem:  # of a few bytes of JSON, none of them ours
        reason = f"{type(problem).__name__}: {problem}"
        raise RawDataError(f"{info_file}: not a readable JSON with min, max, dim ({reason}); fetch it again") from None
    if lower.shape != (3,) or upper.shape != (3,) or not np.isfinite(upper - lower).all() or not (upper > lower).all():
        raise RawDataError(f"{info_file}: min {lower.tolist()} and max {upper.tolist()} must be 3 numbers, min < max")
    values = load_npy(values_file)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        found = getattr(values, "dtype", type(values).__name__)
        raise RawDataError(f"{values_file}: must be a .npy of real numbers, found {found}; fetch it again")
    if side < 2 or values.size != side**3:
        raise RawDataError(f"{values_file}: holds {values.size} numbers, {info_file.name} promises {side}^3={side**3}")
    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        grid = np.reshape(values, (side, side, side)).astype(np.float32)
    if not np.isfinite(grid).all():
        raise RawDataError(f"{values_file}: holds NaN or infinite distances; fetch it again")
    return DistanceGrid(values=grid, lower=lower, upper=upper)


def create_store(store: Path, dataset: str, *, left_out: Iterable[str] = ()) -> None:
    """Start an empty store; scenes join it through :func:`write_scene`.

    Args:
        store: its folder.
        dataset: name of its card.
        left_out: keys of scenes whose scans were too damaged to be in it.
    """
    attributes = {
        "dataset": dataset,
        "left_out": sorted(left_out),
        "licence": find_card(dataset).licence_notice,
        "store_version": STORE_VERSION,
    }
    zarr.create_group(str(store), overwrite=True, zarr_format=3, attributes=dict(sorted(attributes.items())))


def write_scene(record: SceneRecord, *, store: Path, raw_root: Path, settings: Scenes) -> SceneReceipt:
    """Turn one scan into the group ``scene_key`` of a store made by :func:`create_store`.

    Same scan and settings, same bytes. Scenes of one store may be written side by side.

    Raises:
        RawDataError: as :func:`read_scan` and :func:`read_shipped_distance`; or if there are far too many voxels, or
            no surface to measure distances to.
    """
    triangles = read_scan(raw_root / record.scan_file)
    try:
        points = occupied_voxels(triangles, settings.voxel_pitch_m)
    except ValueError as problem:
        scan = raw_root / record.scan_file
        raise RawDataError(f"{scan}: {problem}; repair the scan, or raise scenes.voxel_pitch_m") from None
    if record.sdf_file is not None and record.sdf_info_file is not None:
        grid = read_shipped_distance(raw_root / record.sdf_file, raw_root / record.sdf_info_file)
    else:
        extent = triangles.max(axis=(0, 1)) - triangles.min(axis=(0, 1))
        spacing = grid_spacing(extent, settings.sdf_spacing_m, settings.sdf_margin_m, settings.sdf_max_samples)
        try:
            grid = signed_distance_grid(triangles, spacing_m=spacing, margin_m=settings.sdf_margin_m)
        except ValueError as problem:
            raise RawDataError(f"{raw_root / record.scan_file}: {problem}; repair the scan") from None
    attributes = {
        "dataset": record.dataset,
        "frame": "world",
        "licence": find_card(record.dataset).licence_notice,
        "points": "centres of the voxels the scan passes through, Morton order",
        "scan_sha256": record.scan_sha256,
        "scene_key": record.scene_key,
        "store_version": STORE_VERSION,
        "unit": "m",
        "voxel_pitch_m": settings.voxel_pitch_m,
        **grid.attributes(),
    }
    _write_group(store, record.scene_key, points, grid.values, attributes)
    return SceneReceipt(
        scene_key=record.scene_key,
        num_points=len(points),
        num_samples=grid.values.size,
        is_coarsened=record.sdf_file is None and bool(grid.spacing_m.max() > 1.01 * settings.sdf_spacing_m),
        num_flipped_edges=grid.edges.num_flipped if grid.edges else 0,
    )


def _write_group(store: Path, name: str, points: ndarray, sdf: ndarray, attributes: dict[str, Any]) -> None:
    group = zarr.create_group(
        str(store), path=name, overwrite=True, zarr_format=3, attributes=dict(sorted(attributes.items()))
    )
    for key, values, chunks, axes in (
        ("points", points, (min(_POINT_CHUNK, len(points)), 3), ("point", "axis")),
        ("sdf", sdf, tuple(min(_SDF_CHUNK, side) for side in sdf.shape), ("x", "y", "z")),
    ):
        array = group.create_array(
            key,
            shape=values.shape,
            dtype="float32",
            chunks=chunks,
            filters=[],
            serializer=BytesCodec(endian="little"),
            compressors=[ZstdCodec(level=3, checksum=True)],
            fill_value=_NO_DATA,
            dimension_names=axes,
            attributes={"units": "m"},
        )
        array[...] = values
