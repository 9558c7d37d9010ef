"""A distance field that its publisher ships beside a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.scenes.signed_distance import DistanceGrid
from sahmr.untrusted.pickles import load_npy
from sahmr.untrusted.texts import read_json


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
