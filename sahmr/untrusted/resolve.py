"""Stand-ins of a stranger's pickle to what they stand for, checked; what numpy and scipy build is paid for before.

Numpy's own classes believe what a pickle says of them: the list in the state of an object array is read past its end,
a shape of 2**40 is allocated at once. So every array, dtype and matrix comes back as a stand-in that keeps what was
said; :func:`plain` checks it and builds the array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.untrusted.arrays import check_shape, to_array
from sahmr.untrusted.budget import Budget, RefusedError

_DEEPEST = 64  # levels of containers; published files have 5
_REFERENCE = 16  # bytes a value counts for wherever it is referred to, besides its content
_OPEN = (None, 0)  # being resolved
_ARRAYS, _RAW, _FIXED = (
    (np.ndarray, np.generic),
    (bytes, bytearray, memoryview),
    {int, float, bool, complex, type(None)},
)


class StandIn:
    """Keeps the state of an object whose class we do not run; this one stands for chumpy's."""

    kind = "chumpy"

    state: dict[str, Any]

    def __new__(cls, *_: object) -> StandIn:  # noqa: D102
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: object) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.state.update({text_of(key): value for key, value in part.items()})


_RESOLVED = (StandIn, dict, list, tuple, set, frozenset)


class CscStandIn(StandIn):
    """``csc_matrix``."""

    kind = "csc"


class CsrStandIn(StandIn):
    """``csr_matrix``."""

    kind = "csr"


class CooStandIn(StandIn):
    """``coo_matrix``."""

    kind = "coo"


class DtypeStandIn(StandIn):
    """``dtype`` of numbers, text or objects."""

    kind = "dtype"

    def __setstate__(self, state: object) -> None:
        """``(version, byte order, base, names, fields, ...)``."""
        if not isinstance(state, tuple) or any(part is not None for part in state[2:5]):
            raise RefusedError("a structured dtype")
        self.state["dtype"] = self.state["dtype"].newbyteorder(text_of(state[1]))


class ArrayStandIn(StandIn):
    """``ndarray``, filled by its state or by ``_frombuffer``."""

    kind = "array"

    def __setstate__(self, state: object) -> None:
        """``(version, shape, dtype, whether in Fortran's order, bytes or list of objects)``; once without version."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ValueError("an array's state must have 4 or 5 parts")
        shape, dtype, is_fortran, content = state[-4:]
        self.state = {"shape": shape, "dtype": dtype, "order": "F" if is_fortran else "C", "content": content}


def text_of(key: object) -> str:
    """A key or name as text; whatever else stands there is not printed, that might take for ever."""
    if isinstance(key, bytes):
        return key.decode("latin1")
    if isinstance(key, str):
        return key
    raise RefusedError(f"{brief(key)} in place of a name")


def bytes_of(content: Any) -> bytes:
    """The bytes of an array, which old pickles hold as text."""
    return content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))


def brief(value: object) -> str:
    """A few words for a message."""
    if isinstance(value, str | bytes):
        return repr(value[:40])
    if isinstance(value, int | float | None):
        return repr(value)[:40]
    return str(getattr(value, "__name__", f"a {type(value).__name__}"))[:40]


def plain(value: Any, budget: Budget) -> Any:
    """Replace every stand-in inside a value by what it stands for; byte-string keys become text.

    Raises:
        RefusedError: if a container holds itself, is nested too deeply, or there is more than the budget allows,
            counted as often as it is referred to: what is shared would be multiplied by whoever walks through it.
        Exception: any other, if a state makes no sense.
    """
    return _Resolver(budget).counted(value, 0)[0]


class _Resolver:
    """Makes every object once, however often it is referred to."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._done: dict[int, tuple[Any, int]] = {}  # id -> what it stands for, its bytes as a tree

    def counted(self, value: Any, depth: int) -> tuple[Any, int]:
        """What a value stands for, and its bytes as a tree."""
        if not isinstance(value, _RESOLVED):
            return value, _weight(value)
        known = self._done.get(id(value))
        if known is _OPEN:
            raise RefusedError(f"a {type(value).__name__} that holds itself")
        if known is not None:
            return known
        if depth > _DEEPEST:
            raise RefusedError(f"containers nested deeper than {_DEEPEST} levels")
        self._done[id(value)] = _OPEN
        made, count = self._made(value, depth + 1)
        if count > self._budget.most:
            raise self._budget.exceeded()
        self._done[id(value)] = made, count
        return made, count

    def _made(self, value: Any, depth: int) -> tuple[Any, int]:
        if isinstance(value, StandIn):
            return self._stood_for(value.kind, value.state, depth)
        if isinstance(value, set | frozenset):  # of text and numbers alone
            return value, _REFERENCE + sum(map(_weight, value))
        items = [self.counted(item, depth) for item in (value.values() if isinstance(value, dict) else value)]
        count = _REFERENCE + sum(size for _, size in items)
        made = [item for item, _ in items]
        if not isinstance(value, dict):
            return type(value)(made), count
        named = dict(zip([text_of(key) if isinstance(key, bytes) else key for key in value], made, strict=True))
        if len(named) < len(value):
            raise RefusedError("a dict with one key as text and as bytes")
        return named, count + sum(map(_weight, value))

    def _stood_for(self, kind: str, state: Mapping[str, Any], depth: int) -> tuple[Any, int]:
        if kind == "array":
            return self._array(state, depth)
        if kind == "dtype":
            made = state["dtype"]
        else:
            made = self._chumpy(state, depth) if kind == "chumpy" else self._sparse(kind, state, depth)
        return made, _weight(made)

    def _array(self, state: Mapping[str, Any], depth: int) -> tuple[NDArray[Any], int]:
        shape = check_shape(state["shape"])
        dtype: np.dtype[Any] = state["dtype"].state["dtype"]
        if dtype.hasobject:
            items, count = self.counted(state["content"], depth)
            if not isinstance(items, list) or len(items) != math.prod(shape):
                raise ValueError(f"an object array of shape {shape} with {brief(items)}")
            self._budget.spend(_REFERENCE * len(items))
            objects = np.empty(len(items), dtype=object)
            for index, item in enumerate(items):
                objects[index] = item
            return objects.reshape(shape), count + _REFERENCE
        self._budget.spend(len(state["content"]))
        flat = np.frombuffer(bytes_of(state["content"]), dtype=dtype)
        if flat.size != math.prod(shape):
            raise ValueError(f"an array of shape {shape} with {flat.size} numbers")
        if state.get("axes") is not None:
            array = flat.reshape(shape).transpose(state["axes"])
        else:
            array = flat.reshape(shape, order="F" if state["order"] == "F" else "C")
        return array.copy(order="K"), _weight(flat)

    def _chumpy(self, state: Mapping[str, Any], depth: int) -> NDArray[Any]:
        """The array a chumpy object stands for: its own values, or a selection from another one."""
        if "x" in state:
            return self._numbers(state["x"], depth)
        if "a" in state and "idxs" in state:
            values, chosen = (self._numbers(state[key], depth) for key in ("a", "idxs"))
            self._budget.spend(chosen.size * values.itemsize)
            picked: NDArray[Any] = values.ravel()[chosen]
            shape, _ = self.counted(state.get("preferred_shape"), depth)
            return picked if shape is None else picked.reshape(check_shape(shape))
        found = ", ".join(sorted(state)[:9])[:80]
        raise ValueError(f"a chumpy expression with the terms {found}; only plain arrays and selections are known")

    def _numbers(self, value: Any, depth: int) -> NDArray[Any]:
        made, count = self.counted(value, depth)
        self._budget.spend(count)
        return to_array(made)

    def _sparse(self, kind: str, state: Mapping[str, Any], depth: int) -> Any:
        """Rebuild the matrix so that scipy checks indices and shape."""
        shape = check_shape(state["_shape"])
        if kind == "coo":
            pair, _ = self.counted(state["coords"] if "coords" in state else (state["row"], state["col"]), depth)
            indices = tuple(self._numbers(axis, depth) for axis in pair)
        else:
            indices = tuple(self._numbers(state[key], depth) for key in ("indices", "indptr"))
        data = self._numbers(state["data"], depth)
        if data.dtype.kind not in "biufc" or any(axis.dtype.kind not in "iu" for axis in indices):
            raise ValueError(f"a sparse matrix of {data.dtype} with indices of {[str(axis.dtype) for axis in indices]}")
        if kind == "coo":
            return sp.coo_matrix((data, indices), shape=shape)
        make: Callable[..., Any] = sp.csc_matrix if kind == "csc" else sp.csr_matrix
        matrix = make((data, *indices), shape=shape)
        matrix.check_format(full_check=True)
        return matrix


def _weight(value: Any) -> int:
    """Bytes of one value that is no container; text as wide as numpy makes it."""
    if type(value) in _FIXED:
        return _REFERENCE
    if isinstance(value, _ARRAYS):
        return _REFERENCE + value.nbytes
    if isinstance(value, str):
        return _REFERENCE + 4 * len(value)
    if isinstance(value, _RAW):
        return _REFERENCE + len(value)
    return _REFERENCE + (2 * int(value.data.nbytes) if sp.issparse(value) else 0)
