"""Scans to a Zarr store: occupied voxels and a signed distance field per scene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from numpy import ndarray
from zarr.codecs import BytesCodec, ZstdCodec

from sahmr.datasets import find_card
from sahmr.errors import RawDataError
from sahmr.scenes.agreement import Surface, compare, compare_points, describe, guess, surface_of
from sahmr.scenes.arrays import GRID_VERSION, STORE_VERSION, VOXELS_VERSION
from sahmr.scenes.own_room import read_own_scan
from sahmr.scenes.scan import check_rounding, read_scan
from sahmr.scenes.section import Scenes as Scenes  # what callers pass
from sahmr.scenes.shipped import VOXELS_SUFFIX, read_shipped_distance, read_voxels
from sahmr.scenes.signed_distance import DistanceGrid, grid_spacing, signed_distance_grid
from sahmr.scenes.voxels import cloud_voxels, occupied_voxels
from sahmr.untrusted.regular import inside
from schemas.conform import check_array, check_object
from schemas.scene import SceneRecord
from schemas.scene_store import SCENE_ARRAYS_SCHEMA, SCENE_GROUP_SCHEMA, STORE_SCHEMA

_POINT_CHUNK, _SDF_CHUNK = 1 << 16, 64  # 768 kB and 1 MB of float32
_OF_POINTS = "centres of the voxels that hold a point of the scan, Morton order"
_NO_DATA = float("nan")  # fill value: a lost chunk shows as NaN and not as zeros


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
        "store_version": GRID_VERSION,
    }
    check_object(attributes, STORE_SCHEMA, str(store))
    zarr.create_group(str(store), overwrite=True, zarr_format=3, attributes=dict(sorted(attributes.items())))


def write_scene(
    record: SceneRecord, *, store: Path, raw_root: Path, settings: Scenes, others: Sequence[SceneRecord] = ()
) -> SceneReceipt:
    """Turn one scan into the group ``scene_key`` of a store made by :func:`create_store`.

    Same scan and settings, same bytes. Scenes of one store may be written side by side. Of a scan that is a mesh the
    voxels are found, and the distance field where none is shipped; of one that is its publisher's voxels both are taken
    as given; of a user's cloud of points only voxels are written, as it has no surface to measure distances to.

    Args:
        record: its row in the scene table.
        store, raw_root, settings: where to, where from, and how.
        others: rows whose fields are tried, for the error's message, where the scan's own does not fit.

    Raises:
        RawDataError: as :func:`read_scan`, :func:`check_rounding`, :func:`read_voxels` and
            :func:`read_shipped_distance`; if there are far too many voxels, or no surface to measure distances to; or
            if the scan and its shipped field contradict each other.
    """
    is_mesh = not record.scan_file.endswith(VOXELS_SUFFIX)
    if find_card(record.dataset).is_own:
        made = _from_own(record, raw_root, settings)
    else:
        made = (_from_mesh if is_mesh else _from_voxels)(record, raw_root, settings, others)
    grid, version = made.grid, GRID_VERSION if is_mesh else VOXELS_VERSION
    attributes = {
        "dataset": record.dataset,
        "frame": "world",
        "licence": find_card(record.dataset).licence_notice,
        "points": "centres of the voxels the scan passes through, Morton order",
        "scan_sha256": record.scan_sha256,
        "scene_key": record.scene_key,
        "store_version": STORE_VERSION if grid is None else version,
        "unit": "m",
        "voxel_pitch_m": made.pitch_m,
        **({} if is_mesh else {"is_on_grid": False, "points": "voxel centres as shipped, Morton order"}),
        **({"is_cloud": True, "points": _OF_POINTS} if grid is None else grid.attributes()),
    }
    _write_group(store, record.scene_key, made.points, None if grid is None else grid.values, attributes)
    return SceneReceipt(
        scene_key=record.scene_key,
        num_points=len(made.points),
        num_samples=0 if grid is None else grid.values.size,
        is_coarsened=grid is not None
        and record.sdf_file is None
        and bool(grid.spacing_m.max() > 1.01 * settings.sdf_spacing_m),
        num_flipped_edges=grid.edges.num_flipped if grid is not None and grid.edges else 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Voxel centres in Morton order, their side, and the distance field, which clouds lack; world frame, metres."""

    points: ndarray
    pitch_m: float
    grid: DistanceGrid | None


def _from_voxels(record: SceneRecord, raw_root: Path, settings: Scenes, others: Sequence[SceneRecord]) -> _Made:
    """Voxels and field as the publisher ships them, compared with each other; there is no mesh."""
    scan_file = inside(raw_root, record.scan_file)
    points, pitch_m = read_voxels(scan_file, settings.scan)
    if record.sdf_file is None or record.sdf_info_file is None:
        raise RawDataError(
            f"{scan_file}: comes without a distance field, and none can be computed from voxels: they have no front; "
            "fetch it, and run: dvc repro frames"
        )
    sdf_file = inside(raw_root, record.sdf_file)
    grid = read_shipped_distance(sdf_file, inside(raw_root, record.sdf_info_file))
    if found := compare_points(grid, points, pitch_m, settings.agreement):
        raise RawDataError(
            f"{sdf_file}: contradicts the voxels {scan_file}: {found}; fetch both again (limits: scenes.agreement)"
        )
    return _Made(points=points, pitch_m=pitch_m, grid=grid)


def _from_mesh(record: SceneRecord, raw_root: Path, settings: Scenes, others: Sequence[SceneRecord]) -> _Made:
    """Voxels of a scanned mesh; its field as shipped, or computed from it."""
    scan_file = inside(raw_root, record.scan_file)
    triangles = read_scan(scan_file, settings.scan)
    points = _voxels(scan_file, triangles, settings)
    if record.sdf_file is not None and record.sdf_info_file is not None:
        grid = read_shipped_distance(inside(raw_root, record.sdf_file), inside(raw_root, record.sdf_info_file))
        surface = surface_of(triangles, points, settings.voxel_pitch_m)
        _insist(grid, surface, record, raw_root, settings, others)
    else:
        grid = _distances(scan_file, triangles, settings)
    return _Made(points=points, pitch_m=settings.voxel_pitch_m, grid=grid)


def _from_own(record: SceneRecord, raw_root: Path, settings: Scenes) -> _Made:
    """Voxels of a user's scan; its field computed, if it is a mesh."""
    scan_file, pitch_m = inside(raw_root, record.scan_file), settings.voxel_pitch_m
    vertices, faces = read_own_scan(scan_file, settings.scan)
    if len(faces) == 0:
        return _Made(points=_voxels(scan_file, vertices[:, None], settings), pitch_m=pitch_m, grid=None)
    triangles = vertices[faces]
    points = _voxels(scan_file, triangles, settings)
    return _Made(points=points, pitch_m=pitch_m, grid=_distances(scan_file, triangles, settings))


def _voxels(scan_file: Path, corners: ndarray, settings: Scenes) -> ndarray:
    """Those that triangles [n, 3, 3] pass through, or that hold a point of a cloud [n, 1, 3]."""
    check_rounding(scan_file, corners, settings.voxel_pitch_m, settings.scan)
    try:
        if corners.shape[1] == 1:
            return cloud_voxels(corners[:, 0], settings.voxel_pitch_m)
        return occupied_voxels(corners, settings.voxel_pitch_m)
    except ValueError as problem:
        raise RawDataError(f"{scan_file}: {problem}; repair the scan, or raise scenes.voxel_pitch_m") from None


def _distances(scan_file: Path, triangles: ndarray, settings: Scenes) -> DistanceGrid:
    extent = triangles.max(axis=(0, 1)) - triangles.min(axis=(0, 1))
    spacing = grid_spacing(extent, settings.sdf_spacing_m, settings.sdf_margin_m, settings.sdf_max_samples)
    try:
        return signed_distance_grid(triangles, spacing_m=spacing, margin_m=settings.sdf_margin_m)
    except ValueError as problem:
        raise RawDataError(f"{scan_file}: {problem}; repair the scan") from None


def _insist(
    grid: DistanceGrid,
    surface: Surface,
    record: SceneRecord,
    raw_root: Path,
    settings: Scenes,
    others: Sequence[SceneRecord],
) -> None:
    """Refuse a shipped field that contradicts its scan."""
    fit = compare(grid, surface)
    if not fit.agrees(settings.agreement):
        looks = guess(grid, surface, settings.agreement)
        raise RawDataError(
            f"{raw_root / str(record.sdf_file)}: contradicts the scan {raw_root / record.scan_file}: "
            f"{describe(fit, grid, surface, settings.agreement)}; "
            f"{looks or _fitting_other(surface, record, raw_root, settings, others)}; correct the wrong one, or "
            f"remove the field and {record.sdf_info_file} to have it computed from the scan (limits: "
            "scenes.agreement)"
        )


def _fitting_other(
    surface: Surface, record: SceneRecord, raw_root: Path, settings: Scenes, others: Sequence[SceneRecord]
) -> str:
    """Which other scene's field would fit a scan."""
    for other in others:
        if other.scene_key == record.scene_key or other.sdf_file is None or other.sdf_info_file is None:
            continue
        try:
            grid = read_shipped_distance(inside(raw_root, other.sdf_file), inside(raw_root, other.sdf_info_file))
        except RawDataError:
            continue  # told where it is the scene's own
        if compare(grid, surface).agrees(settings.agreement):
            return f"it looks exchanged with {raw_root / other.sdf_file}, which fits"
    return "it fits in no other unit, order or place: it is probably of another scan"


def _write_group(store: Path, name: str, points: ndarray, sdf: ndarray | None, attributes: dict[str, Any]) -> None:
    """Two arrays, or without a distance field one."""
    check_object(attributes, SCENE_GROUP_SCHEMA, f"{store}: scene {name}")
    group = zarr.create_group(
        str(store), path=name, overwrite=True, zarr_format=3, attributes=dict(sorted(attributes.items()))
    )
    arrays: list[tuple[str, ndarray, tuple[int, ...], tuple[str, ...]]]
    arrays = [("points", points, (min(_POINT_CHUNK, len(points)), 3), ("point", "axis"))]
    if sdf is not None:
        arrays.append(("sdf", sdf, tuple(min(_SDF_CHUNK, side) for side in sdf.shape), ("x", "y", "z")))
    for key, values, chunks, axes in arrays:
        check_array(values.shape, "float32", SCENE_ARRAYS_SCHEMA.field(key), f"{store}: scene {name}")
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
