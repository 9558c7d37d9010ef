"""What is kept of a user's scan: files of voxels and distance field, under a key of all that decides them. No torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.npz import load_npz, save_npz
from sahmr.scenes.scan import check_rounding
from sahmr.scenes.section import Scenes
from sahmr.scenes.signed_distance import grid_spacing, signed_distance_grid
from sahmr.scenes.voxels import cloud_voxels, occupied_voxels

VERSION = 1  # of what the same scan and settings give
VOXELS, FIELD = "voxels.npz", "field.npz"
_MOST_SAMPLES = 1 << 20  # of a field: 6 cm in a room of 6 x 5 x 3 m, 8.5 cm in a hall of 10 x 10 x 5 m


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A scan in metres, and the file it is of, for messages; a cloud has no faces."""

    path: Path
    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]


def folder_of(geometry: Geometry, settings: Scenes) -> str:
    """Name of its folder in a cache: a digest of its vertices and faces in metres and of what of the settings decides
    voxels and field. The same geometry out of another file is the same scan.
    """
    vertices, faces = geometry.vertices, geometry.faces
    said = (VERSION, settings.voxel_pitch_m, settings.sdf_spacing_m, settings.sdf_margin_m, _most_samples(settings))
    digest = hashlib.sha256(repr((*said, vertices.shape, faces.shape)).encode())
    digest.update(np.ascontiguousarray(vertices, dtype="<f8").data)
    digest.update(np.ascontiguousarray(faces, dtype="<i8").data)
    return digest.hexdigest()[:32]


def _most_samples(settings: Scenes) -> int:
    return min(settings.sdf_max_samples, _MOST_SAMPLES)


def make_voxels(geometry: Geometry, settings: Scenes, folder: Path) -> Float[ndarray, "voxels 3"]:
    """Write those its triangles pass through, or those that hold a point of a cloud: centres, metres, Morton order.

    Raises:
        RawDataError: if the scan lies too far from the origin for float32, or has far too many voxels.
    """
    vertices, pitch_m = geometry.vertices, settings.voxel_pitch_m
    is_cloud = len(geometry.faces) == 0
    corners = vertices[:, None] if is_cloud else vertices[geometry.faces]
    check_rounding(geometry.path, corners, pitch_m, settings.scan)
    try:
        points = cloud_voxels(vertices, pitch_m) if is_cloud else occupied_voxels(corners, pitch_m)
    except ValueError as problem:
        raise RawDataError(f"{geometry.path}: {problem}; repair the scan, or give --scan-unit") from None
    _save(folder / VOXELS, points=points)
    return points


def make_field(geometry: Geometry, settings: Scenes, folder: Path) -> None:
    """Write the distance field of a scan with faces.

    Raises:
        RawDataError: if there is no surface to measure distances to.
    """
    triangles: Float[ndarray, "faces 3 3"] = geometry.vertices[geometry.faces]
    extent = triangles.max(axis=(0, 1)) - triangles.min(axis=(0, 1))
    spacing = grid_spacing(extent, settings.sdf_spacing_m, settings.sdf_margin_m, _most_samples(settings))
    try:
        grid = signed_distance_grid(triangles, spacing_m=spacing, margin_m=settings.sdf_margin_m)
    except ValueError as problem:
        raise RawDataError(f"{geometry.path}: {problem}; repair the scan") from None
    _save(folder / FIELD, sdf=grid.values, lower=grid.lower, upper=grid.upper)


def load(path: Path, key: str) -> dict[str, ndarray] | None:
    """All arrays of a file of voxels or field; None if it is not there or damaged: then it is made again."""
    try:
        arrays = load_npz(path, (key,))
    except RawDataError:
        return None
    return arrays if all(np.isfinite(each).all() for each in arrays.values() if each.dtype.kind == "f") else None


def _save(path: Path, **arrays: ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_npz(path, arrays)
