"""Voxels and distance field of a user's scan, kept under a key of its geometry and of all that decides them."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.files import publish_file
from sahmr.scenes.build import Scenes
from sahmr.scenes.own_scan import OwnScan, open_scan
from sahmr.scenes.scan import check_rounding
from sahmr.scenes.signed_distance import grid_spacing, signed_distance_grid
from sahmr.scenes.store import Scene
from sahmr.scenes.voxels import cloud_voxels, occupied_voxels

VERSION = 1  # of what the same scan and settings give
_MOST_SAMPLES = 1 << 20  # of a field: 6 cm in a room of 6 x 5 x 3 m, 8.5 cm in a hall of 10 x 10 x 5 m
_SIDE_BY_SIDE = 100_000  # triangles from which on a field is worth a process of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptScan:
    """Where a scan's voxels and distance field are, or will be.

    Attributes:
        scan: whose.
        path, settings: of it.
        folder: of this scan with these settings.
    """

    scan: OwnScan
    path: Path
    settings: Scenes
    folder: Path

    def voxels(self) -> tuple[Float[ndarray, "voxels 3"], bool]:
        """Centres, world frame, metres, Morton order; and whether they were kept from before.

        Raises:
            RawDataError: if the scan lies too far from the origin for float32, or has far too many voxels.
        """
        kept = _load(self.folder / "voxels.npz", "points")
        if kept is not None:
            return kept["points"], True
        points = _find_voxels(self)
        _save(self.folder / "voxels.npz", points=points)
        return points, False

    def start_field(self) -> Field:
        """Begin with the distance field, in a process of its own if that is worth it; nothing for a cloud."""
        if self.scan.is_cloud:
            return Field(kept=self, made=None, was_kept=True)
        if _load(self.folder / "field.npz", "sdf") is not None:
            return Field(kept=self, made=None, was_kept=True)
        if len(self.scan.faces) < _SIDE_BY_SIDE or (os.cpu_count() or 1) < 2:
            make_field(self.path, self.scan.unit, self.settings, self.folder)
            return Field(kept=self, made=None, was_kept=False)
        asked = (self.path, self.scan.unit, self.settings, self.folder)
        made = get_context("spawn").Process(target=_make_quietly, args=asked, daemon=True)  # ends with us
        made.start()
        return Field(kept=self, made=made, was_kept=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A distance field that is there, or being made."""

    kept: KeptScan
    made: SpawnProcess | None
    was_kept: bool

    def scene(self, points: Float[ndarray, "voxels 3"]) -> Scene | None:
        """Voxels and field, waited for; None for a cloud.

        Raises:
            RawDataError: if there is no surface to measure distances to.
        """
        if self.kept.scan.is_cloud:
            return None
        kept = self.kept
        if self.made is not None:
            self.made.join()
            if self.made.exitcode != 0:
                make_field(kept.path, kept.scan.unit, kept.settings, kept.folder)  # here, to say what is wrong
        found = _load(kept.folder / "field.npz", "sdf")
        if found is None:
            raise RawDataError(f"{kept.folder}: its field.npz is gone or damaged; run the command again")
        sdf, lower, upper = (torch.from_numpy(found[name].astype(np.float32)) for name in ("sdf", "lower", "upper"))
        attributes = {"voxel_pitch_m": kept.settings.voxel_pitch_m}
        return Scene(points=torch.from_numpy(points), sdf=sdf, sdf_min=lower, sdf_max=upper, attributes=attributes)


def kept_scan(path: Path, scan: OwnScan, settings: Scenes, cache: Path) -> KeptScan:
    """The scan's place in a cache: a folder named by its vertices and faces in metres and by what of the settings
    decides voxels and field. The same geometry out of another file is the same scan.
    """
    said = (VERSION, settings.voxel_pitch_m, settings.sdf_spacing_m, settings.sdf_margin_m, _most_samples(settings))
    digest = hashlib.sha256(repr((*said, scan.vertices.shape, scan.faces.shape)).encode())
    digest.update(np.ascontiguousarray(scan.vertices, dtype="<f8").data)
    digest.update(np.ascontiguousarray(scan.faces, dtype="<i8").data)
    return KeptScan(scan=scan, path=path, settings=settings, folder=cache / digest.hexdigest()[:32])


def make_field(path: Path, unit: str, settings: Scenes, folder: Path) -> None:
    """Read a scan again and write its distance field; what a process of its own does.

    Raises:
        RawDataError: as :meth:`Field.scene`.
    """
    scan = open_scan(path, unit=unit, need_up=False)
    triangles: Float[ndarray, "faces 3 3"] = scan.vertices[scan.faces]
    extent = triangles.max(axis=(0, 1)) - triangles.min(axis=(0, 1))
    spacing = grid_spacing(extent, settings.sdf_spacing_m, settings.sdf_margin_m, _most_samples(settings))
    try:
        grid = signed_distance_grid(triangles, spacing_m=spacing, margin_m=settings.sdf_margin_m)
    except ValueError as problem:
        raise RawDataError(f"{path}: {problem}; repair the scan") from None
    _save(folder / "field.npz", sdf=grid.values, lower=grid.lower, upper=grid.upper)


def _make_quietly(path: Path, unit: str, settings: Scenes, folder: Path) -> None:
    """:func:`make_field`; whatever is wrong is said by the process that waits."""
    try:
        make_field(path, unit, settings, folder)
    except Exception:  # of any kind: the process that waits does the work again, and its errors are told
        sys.exit(1)


def _most_samples(settings: Scenes) -> int:
    return min(settings.sdf_max_samples, _MOST_SAMPLES)


def _find_voxels(kept: KeptScan) -> Float[ndarray, "voxels 3"]:
    """Those its triangles pass through, or those that hold a point of a cloud."""
    scan, pitch_m = kept.scan, kept.settings.voxel_pitch_m
    corners = scan.vertices[:, None] if scan.is_cloud else scan.vertices[scan.faces]
    check_rounding(kept.path, corners, pitch_m, kept.settings.scan)
    try:
        return cloud_voxels(scan.vertices, pitch_m) if scan.is_cloud else occupied_voxels(corners, pitch_m)
    except ValueError as problem:
        raise RawDataError(f"{kept.path}: {problem}; repair the scan, or give --scan-unit") from None


def _save(path: Path, **arrays: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with publish_file(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)


def _load(path: Path, key: str) -> dict[str, ndarray] | None:
    """All arrays of a file of :func:`_save`; None if it is not there or damaged: then it is made again."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception:  # zipfile, zlib and numpy raise whatever the damaged bytes provoke
        return None
    is_whole = key in arrays and all(np.isfinite(each).all() for each in arrays.values() if each.dtype.kind == "f")
    return arrays if is_whole else None
