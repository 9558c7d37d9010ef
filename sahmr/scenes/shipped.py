"""What publishers ship of a scan: its distance field, and its voxels in place of the mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial import cKDTree

from sahmr.errors import RawDataError
from sahmr.scenes.scan import ScanLimits
from sahmr.scenes.signed_distance import DistanceGrid
from sahmr.scenes.voxels import morton_code
from sahmr.untrusted.arrays import to_array
from sahmr.untrusted.pickles import load_npy
from sahmr.untrusted.texts import read_json

VOXELS_SUFFIX = ".npy"  # of a scan that is its voxels; meshes are .ply
_PITCHES_M = (0.001, 1.0)  # the authors' is 0.02
_PITCH_SAMPLES = 2_000


def read_shipped_distance(values_file: Path, info_file: Path) -> DistanceGrid:
    """A distance field as PROX ships it: a flat array beside a JSON with ``min``, ``max`` and ``dim``.

    Raises:
        RawDataError: if a file is missing or damaged, the length is not dim cubed, or a value is not finite.
    """
    lower, upper, side = _read_info(info_file)
    values = load_npy(values_file)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        found = getattr(values, "dtype", type(values).__name__)
        raise RawDataError(f"{values_file}: must be a .npy of real numbers, found {found}; fetch it again")
    if side < 2 or values.size != side**3:
        raise RawDataError(f"{values_file}: holds {values.size} numbers, {info_file.name} promises {side}^3={side**3}")
    if tuple(length for length in values.shape if length != 1) not in ((side**3,), (side, side, side)):
        raise RawDataError(
            f"{values_file}: has the shape {values.shape}, {info_file.name} promises dim {side}; allowed: flat, or "
            f"{side} x {side} x {side}; the two do not belong together"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        grid = np.reshape(values, (side, side, side)).astype(np.float32)
    if not np.isfinite(grid).all():
        raise RawDataError(f"{values_file}: holds NaN or infinite distances; fetch it again")
    return DistanceGrid(values=grid, lower=lower, upper=upper)


def read_voxels(path: Path, limits: ScanLimits) -> tuple[Float[ndarray, "voxels 3"], float]:
    """Voxel centres as ``<scan>_voxel_world.npy`` holds them (formats b): a pickled dict with ``points`` and ``pitch``.

    The grid they lie on may be turned and shifted: the authors made it along gravity.

    Args:
        path: the file.
        limits: what a scan in metres looks like.

    Returns:
        Centres, world frame, metres, float32, in Morton order; and the voxels' side, metres.

    Raises:
        RawDataError: if the file is missing or damaged, has other keys, no points or some that are not finite, or the
            points are not about a pitch apart or of no scan's size.
    """
    content = load_npy(path)
    if not isinstance(content, dict) or not {"points", "pitch"} <= set(content):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise RawDataError(f"{path}: must be a pickled dict with 'points' and 'pitch', found {found}; fetch it again")
    try:
        points = np.asarray(to_array(content["points"]), dtype=np.float64)
        pitch_m = float(np.ravel(np.asarray(to_array(content["pitch"]), dtype=np.float64))[0])
    except (TypeError, ValueError, OverflowError, IndexError) as problem:
        raise RawDataError(f"{path}: 'points' or 'pitch' are no numbers ({problem}); fetch it again") from None
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or not np.isfinite(points).all():
        raise RawDataError(f"{path}: 'points' is {points.shape}, or not finite; allowed: finite (n, 3), n > 0")
    smallest, largest = limits.size_m
    sides = np.sort(np.ptp(points, axis=0))
    if not smallest <= sides[1] <= sides[2] <= largest:
        raise RawDataError(
            f"{path}: its longest sides are {sides[2]:.3g} m and {sides[1]:.3g} m; allowed: {smallest:g} to "
            f"{largest:g} m (scenes.scan.size_m); points are in metres: convert them, or fetch the file again"
        )
    _check_pitch(path, points, pitch_m)
    index = np.floor((points - points.min(axis=0)) / pitch_m).astype(np.int64)
    return points[np.argsort(morton_code(index), kind="stable")].astype(np.float32), pitch_m


def _check_pitch(path: Path, points: Float[ndarray, "voxels 3"], pitch_m: float) -> None:
    """Neighbours of occupied voxels are occupied, so that most points have one a pitch away, however the grid lies."""
    if not _PITCHES_M[0] <= pitch_m <= _PITCHES_M[1]:
        raise RawDataError(
            f"{path}: 'pitch' is {pitch_m:g}; allowed: {_PITCHES_M[0]:g} to {_PITCHES_M[1]:g} m; fetch it again"
        )
    some = points[:: max(1, len(points) // _PITCH_SAMPLES)]
    gap = float(np.median(cKDTree(points).query(some, k=2)[0][:, 1])) if len(points) > 1 else pitch_m
    if not abs(gap - pitch_m) <= pitch_m / 4:
        raise RawDataError(
            f"{path}: neighbouring points are {gap:.3g} m apart, 'pitch' says {pitch_m:g} m; the two do not belong "
            "together; fetch it again"
        )


def _read_info(info_file: Path) -> tuple[Float[ndarray, "3"], Float[ndarray, "3"], int]:
    """Centres of the first and last sample, and samples per axis."""
    info = read_json(info_file)
    try:
        lower, upper = (np.array(info[key], dtype=np.float64) for key in ("min", "max"))
        dim = info["dim"]
        side = int(dim)
    except Exception as problem:  # of a few bytes of JSON, none of them ours
        reason = f"{type(problem).__name__}: {problem}"
        raise RawDataError(f"{info_file}: not a readable JSON with min, max, dim ({reason}); fetch it again") from None
    if isinstance(dim, bool | str) or side != dim:
        raise RawDataError(f"{info_file}: dim is {dim!r}; it must be a whole number, the samples along each axis")
    if lower.shape != (3,) or upper.shape != (3,) or not np.isfinite(upper - lower).all() or not (upper > lower).all():
        raise RawDataError(f"{info_file}: min {lower.tolist()} and max {upper.tolist()} must be 3 numbers, min < max")
    return lower, upper, side
