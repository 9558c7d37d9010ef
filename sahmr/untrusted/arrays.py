"""Numbers out of a stranger's lists and sparse matrices, none larger than what was read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

MOST_SIDES = 64  # numpy's own
_LONGEST_SIDE = 1 << 48  # no product of 64 of them takes long
_LARGEST_DENSE = 1 << 29  # bytes; the largest published array has 122 MB
_WHOLE = (int, np.integer)
_PLAIN = (bool, int, float, complex)


def to_array(value: Any) -> NDArray[Any]:
    """A value as an array: an array as it is, a sparse matrix dense, lists only if they hold numbers and their arrays.

    Numpy would make each entry of a list of texts as wide as the longest.

    Raises:
        ValueError, TypeError: if it holds anything else, or is ragged or too large.
    """
    if sp.issparse(value):
        if math.prod(value.shape) * value.dtype.itemsize > _LARGEST_DENSE:
            raise ValueError(f"a sparse matrix of {value.shape[0]} x {value.shape[1]} is too large")
        return np.asarray(value.toarray())
    if isinstance(value, list | tuple):
        _check_numbers(value)
    return np.asarray(value)


def _check_numbers(values: list[Any] | tuple[Any, ...]) -> None:
    for value in values:
        if isinstance(value, list | tuple):
            _check_numbers(value)
        elif not isinstance(value, _PLAIN) and getattr(getattr(value, "dtype", None), "kind", "O") not in "biufc":
            raise TypeError(f"a list that holds {type(value).__name__}")


def check_shape(shape: Any) -> tuple[int, ...]:
    """A shape as stored: at most 64 sides, each a whole number and not negative.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(shape, list | tuple) or len(shape) > MOST_SIDES:
        count = f" of {len(shape)} sides" if isinstance(shape, list | tuple) else ""
        raise ValueError(f"a shape that is a {type(shape).__name__}{count}; allowed: up to {MOST_SIDES} sides")
    for side in shape:
        if not isinstance(side, _WHOLE) or not 0 <= side <= _LONGEST_SIDE:
            found = f"{side!s:.40}" if isinstance(side, _WHOLE) else f"a {type(side).__name__}"
            raise ValueError(f"a shape with the side {found}")
    return tuple(int(side) for side in shape)
