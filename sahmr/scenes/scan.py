"""A raw scan's triangles, and whether they can be a room in metres."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.settings import Between, Ends, settings
from sahmr.units import as_if
from sahmr.untrusted.meshes import read_ply

_TYPICAL_M = (1.0, 100.0)  # a room or a car park, to guess the unit of one that is too large or too small
_METRES = "scans are in metres: convert it, and whatever else is in its unit"
_MOST = 0.01  # of the corners at either end of an axis may be wild; more, and the scan itself is that large


@settings
class ScanLimits:
    """What a scan in metres looks like.

    Attributes:
        size_m: (smallest, largest) side: the second longest side is at least, the longest at most so long. A small
            room is 200 m wide if its numbers are centimetres and 2 mm if they are kilometres; a plane is allowed, it
            may be a floor.
        rounding_share: of the voxel pitch. Stores and networks hold float32, whose steps grow with the distance from
            the origin; a surveyor's coordinates (500 km: 31 mm) would move every voxel and every vertex. 5 % of 2 cm
            are 1 mm, met up to 16 km from the origin.
    """

    size_m: Ends = (0.5, 200.0)
    rounding_share: Annotated[float, Between(0.001, 1)] = 0.05


def read_scan(path: Path, limits: ScanLimits | None = None) -> Float[ndarray, "faces 3 3"]:
    """Corners of a scan's triangles exactly as stored, metres.

    Raises:
        RawDataError: as :func:`read_ply`; or if it has no faces, a face names no vertex, or its size is no scan's.
    """
    mesh = read_ply(path)
    vertices, faces = mesh.vertices, mesh.faces
    if len(faces) == 0:
        raise RawDataError(f"{path}: has no faces; voxels and distances need the scanned mesh, not a point cloud")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.max() if faces.max() >= len(vertices) else faces.min()
        raise RawDataError(f"{path}: a face names vertex {wrong} of {len(vertices)}; fetch it again")
    triangles: Float[ndarray, "faces 3 3"] = vertices[faces]
    check_size(path, triangles.reshape(-1, 3), limits or ScanLimits())
    return triangles


def check_size(path: Path, corners: Float[ndarray, "corners 3"], limits: ScanLimits, *, remedy: str = _METRES) -> None:
    """Refuse scans in another unit, wild vertices, lines and points.

    Args:
        path: for messages.
        corners: of faces, or points of a cloud, metres.
        limits: what a scan looks like.
        remedy: for one in another unit.

    Raises:
        RawDataError: saying what it looks like.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    sides = np.sort(high - low)
    smallest, largest = limits.size_m
    if sides[2] > largest:
        within = np.sort(np.diff(np.quantile(corners, (_MOST, 1 - _MOST), axis=0), axis=0)[0])[2]
        what = f"{path}: is {sides[2]:.3g} m wide"
        if within <= largest:
            wild = corners[np.abs(corners - np.median(corners, axis=0)).max(axis=1).argmax()]
            raise RawDataError(
                f"{what}, allowed: {largest:g} m; a vertex lies at {_triple(wild)}, nearly all others within "
                f"{within:.3g} m; fetch it again"
            )
        raise RawDataError(
            f"{what}{as_if(sides[2], *_TYPICAL_M)}; allowed: {largest:g} m (scenes.scan.size_m); {remedy}"
        )
    if sides[1] < smallest:
        more = "" if remedy == _METRES else f"; {remedy}"
        raise RawDataError(
            f"{path}: its longest sides are {sides[2]:.3g} m and {sides[1]:.3g} m{as_if(sides[2], *_TYPICAL_M)}; "
            f"allowed: at least {smallest:g} m each (scenes.scan.size_m); a scan is a surface, in metres{more}"
        )


def check_rounding(
    path: Path, triangles: Float[ndarray, "faces corners 3"], pitch_m: float, limits: ScanLimits
) -> None:
    """Refuse a scan so far from the origin that float32 no longer tells its voxels apart.

    Raises:
        RawDataError: naming an offset that, subtracted from scan, cameras and bodies, would do.
    """
    far = float(np.abs(triangles).max())
    step, allowed = float(np.spacing(np.float32(far))), limits.rounding_share * pitch_m
    if step > allowed:
        offset = np.round(np.median(triangles.reshape(-1, 3), axis=0), -1)
        raise RawDataError(
            f"{path}: lies {far:.6g} m from the origin (a surveyor's offset?), where float32 numbers are {step:.2g} m "
            f"apart; allowed: {allowed:.2g} m, {limits.rounding_share:.0%} of the voxel pitch "
            f"(scenes.scan.rounding_share); subtract one offset, say {_triple(offset)}, from the scan and from the "
            "cameras and bodies that go with it"
        )


def _triple(point: Float[ndarray, "3"]) -> str:
    return f"({', '.join(f'{value:.7g}' for value in point)})"
