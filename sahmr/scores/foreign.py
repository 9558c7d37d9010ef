"""Another method's meshes, as an npz or a Parquet file with 6890 vertices per key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import RawDataError
from sahmr.geometry.rigid_numpy import apply_rigid
from sahmr.shards.decode import StoredGeometry
from sahmr.untrusted.pickles import load_npz_member, npz_keys
from schemas.table_check import DamagedTableError, one_error, open_parquet, read_group

FRAMES = ("vertices_world", "vertices_camera")
_SIZE_M = (0.3, 3.0)  # of a person, longest side: a toddler curled up, a tall man with his arms up
_SEEN_SHARE = 0.5  # of the meshes must be before their cameras
_ALLOWED = "keys [n] and one of vertices_world, vertices_camera [n, 6890, 3], metres"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignMeshes:
    """Meshes by key.

    Attributes:
        keys: of the person-images; each once.
        vertices: SMPL topology, metres.
        frame: ``vertices_world`` or ``vertices_camera``.
    """

    keys: pa.ChunkedArray
    vertices: Float[ndarray, "rows 6890 3"]
    frame: str


def read_meshes(path: Path) -> ForeignMeshes:
    """Read a file of meshes; nothing in it is run.

    Args:
        path: ``.npz`` with ``keys`` and ``vertices_world`` or ``vertices_camera``, or ``.parquet`` with columns ``key``
            and one of the two, lists of 20670 numbers each.

    Raises:
        RawDataError: if it is missing, damaged, of another form, has a key twice or a number that is not finite, or the
            meshes are not of a person's size in metres.
    """
    readers = {".npz": _read_npz, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise RawDataError(f"{path}: found a {path.suffix or 'file without ending'}, allowed .npz or .parquet")
    if not path.is_file():
        raise RawDataError(f"{path}: no such file; name the file with the other method's meshes as --source")
    names, vertices, frame = readers[path.suffix](path)
    if vertices.shape != (len(names), NUM_VERTICES, 3) or vertices.dtype.kind not in "fiu":
        raise RawDataError(
            f"{path}: {frame} is {vertices.dtype} {list(vertices.shape)} for {len(names)} keys, allowed "
            f"[{len(names)}, {NUM_VERTICES}, 3]: write one mesh of SMPL's topology per key"
        )
    keys = pa.chunked_array([pa.array(names, pa.string())])
    if (different := len(pc.unique(keys))) < len(keys):
        raise RawDataError(f"{path}: {len(keys)} keys, but only {different} different ones; keep one mesh of each")
    _check_numbers(path, names, vertices, frame)
    return ForeignMeshes(keys=keys, vertices=vertices, frame=frame)


def _one_frame(path: Path, found: list[str]) -> str:
    chosen = [name for name in FRAMES if name in found]
    if len(chosen) != 1:
        raise RawDataError(f"{path}: found {', '.join(sorted(found)) or 'nothing'}; allowed: {_ALLOWED}")
    return chosen[0]


def _read_npz(path: Path) -> tuple[list[str], ndarray, str]:
    found = list(npz_keys(path))
    frame = _one_frame(path, found)
    keys, vertices = (np.asarray(load_npz_member(path, name)) for name in ("keys", frame))
    if keys.ndim != 1 or not all(isinstance(key, str) for key in keys.tolist()):
        raise RawDataError(f"{path}: keys is {keys.dtype} {list(keys.shape)}, allowed a list of texts")
    return keys.tolist(), vertices, frame


def _read_parquet(path: Path) -> tuple[list[str], ndarray, str]:
    try:
        file, schema = open_parquet(path)
        frame = _one_frame(path, schema.names)
        if "key" not in schema.names:
            raise RawDataError(f"{path}: lacks the column key; allowed: key, and {frame} of 20670 numbers each")
        groups = [read_group(file, number, ["key", frame]) for number in range(file.metadata.num_row_groups)]
        with one_error():
            keys = [str(key) for group in groups for key in group.column("key").to_pylist()]
            parts = [_floats(group.column(frame)) for group in groups]
    except DamagedTableError as problem:
        raise RawDataError(f"{path}: {problem}; write it again") from None
    wrong = [part for part in parts if part.shape[1:] != (NUM_VERTICES, 3)]
    return keys, wrong[0] if wrong else np.concatenate(parts or [np.zeros((0, NUM_VERTICES, 3))]), frame


def _floats(column: Any) -> Float[ndarray, "..."]:
    flat = pc.list_flatten(column)
    values = flat.to_numpy().astype(np.float32)
    length = len(values) // max(1, len(column))
    is_mesh = length == NUM_VERTICES * 3 and len(values) == length * len(column)
    shaped: Float[ndarray, "..."] = values.reshape(len(column), NUM_VERTICES, 3) if is_mesh else values
    return shaped


def _check_numbers(path: Path, keys: list[str], vertices: Float[ndarray, "rows 6890 3"], frame: str) -> None:
    sizes = []
    for key, mesh in zip(keys, vertices, strict=True):  # one at a time: there are gigabytes of them
        if not np.isfinite(mesh).all():
            raise RawDataError(f"{path}: {frame} of {key!r} are not all finite; leave nothing out, predict it again")
        sizes.append(np.ptp(mesh, axis=0).max())
    if sizes and not _SIZE_M[0] <= (size := float(np.median(sizes))) <= _SIZE_M[1]:
        raise RawDataError(
            f"{path}: the meshes' longest side is {size:.4g} in the median, allowed {_SIZE_M[0]} to {_SIZE_M[1]} "
            "metres; convert them to metres"
        )


def mesh_camera(mesh: Float[ndarray, "points 3"], frame: str, geometry: StoredGeometry) -> Float[ndarray, "points 3"]:
    """Points of a mesh in its image's camera frame, float64, metres."""
    points = mesh.astype(np.float64)
    return points if frame == "vertices_camera" else apply_rigid(geometry.camera_from_world, points)


def check_depths(path: Path, frame: str, depths: Float[ndarray, " rows"]) -> None:
    """Insist that most people are before their cameras.

    Args:
        path: of the file, for the error.
        frame: which frame it names.
        depths: of every mesh's middle, metres.

    Raises:
        RawDataError: naming the frame that the file may have meant.
    """
    if (depths > 0).mean() < _SEEN_SHARE:
        other = FRAMES[1 - FRAMES.index(frame)]
        raise RawDataError(
            f"{path}: {(depths <= 0).sum()} of {len(depths)} meshes are behind their cameras; {frame} are in another "
            f"frame (x right, y down, z forward, or the scan's): call them {other}, or convert them"
        )
