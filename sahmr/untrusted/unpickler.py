"""A stranger's pickle as plain data: none of its code runs, and a few bytes cannot claim all memory.

Numpy's own classes believe what a pickle says of them: the list in the state of an object array is read past its end,
a shape of 2**40 is allocated at once. So every array, dtype and matrix comes back as a stand-in that keeps what was
said; :func:`plain` checks it and builds the array.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

ALLOWED = "numbers, text, plain containers, numpy arrays, scipy csc/csr/coo matrices, chumpy arrays"
_MOST_ITEMS = 10_000_000  # of all containers, counted as often as they are referred to
_DTYPE = re.compile(r"[biufcSUO]\d{0,9}")
_OPEN = (None, 0)  # being resolved


class RefusedError(pickle.UnpicklingError):
    """A sound pickle holds something that is not allowed."""


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
                self.state.update({_text(key): value for key, value in part.items()})


class _Csc(StandIn):
    kind = "csc"


class _Csr(StandIn):
    kind = "csr"


class _Coo(StandIn):
    kind = "coo"


class _Dtype(StandIn):
    """``dtype`` of numbers, text or objects."""

    kind = "dtype"

    def __setstate__(self, state: object) -> None:
        """``(version, byte order, base, names, fields, ...)``."""
        if not isinstance(state, tuple) or any(part is not None for part in state[2:5]):
            raise RefusedError("a structured dtype")
        self.state["dtype"] = self.state["dtype"].newbyteorder(_text(state[1]))


class _Array(StandIn):
    """``ndarray``, filled by its state or by ``_frombuffer``."""

    kind = "array"

    def __setstate__(self, state: object) -> None:
        """``(version, shape, dtype, whether in Fortran's order, bytes or list of objects)``; once without version."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ValueError("an array's state must have 4 or 5 parts")
        shape, dtype, is_fortran, content = state[-4:]
        self.state = {"shape": shape, "dtype": dtype, "order": "F" if is_fortran else "C", "content": content}


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _brief(value: object) -> str:
    is_short = isinstance(value, str | bytes | int | float | None)
    return repr(value)[:40] if is_short else str(getattr(value, "__name__", f"a {type(value).__name__}"))


def _reconstructor(cls: object, *_: object) -> StandIn:
    """``copyreg._reconstructor`` for the classes above, and for nothing else."""
    if isinstance(cls, type) and issubclass(cls, StandIn):
        return cls.__new__(cls)
    raise RefusedError(f"object of class {_brief(cls)}")


def _dtype(code: object, *_: object) -> StandIn:
    """``numpy.dtype``; the state that follows has the byte order."""
    if not isinstance(code, str | bytes) or not _DTYPE.fullmatch(_text(code)):
        raise RefusedError(f"dtype {_brief(code)}")
    made = _Dtype()
    made.state["dtype"] = np.dtype(_text(code))
    return made


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """``_codecs.encode`` as protocol-2 pickles of byte strings use it."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"text encoding {encoding!r}")
    return text.encode("latin1")


def _from_buffer(content: Any, dtype: Any, shape: Any, order: str, axis_order: Any = None) -> StandIn:
    """``numpy._core.numeric._frombuffer`` of protocol 5."""
    made = _Array()
    made.state = {"shape": shape, "dtype": dtype, "order": order, "content": content, "axes": axis_order}
    return made


def _scalar(dtype: StandIn, content: str | bytes = b"") -> Any:
    (value,) = np.frombuffer(_bytes(content), dtype=dtype.state["dtype"])
    return value


def _bytes(content: Any) -> bytes:
    return content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))


# Built-in types a pickle may call, and with what: given a number, some would claim that number of bytes.
_TAKES: dict[type, tuple[type, ...]] = {
    set: (list, tuple), frozenset: (list, tuple), list: (list, tuple), tuple: (list, tuple), dict: (list, tuple),
    bytearray: (bytes, str), bytes: (bytes, str), str: (bytes, str), complex: (int, float), int: (int, float, str),
    float: (int, float, str), bool: (int,),
}  # fmt: skip


def _builtin(kind: type) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if not all(isinstance(arg, _TAKES[kind]) for arg in args):
            raise RefusedError(f"a call of {kind.__name__} with {', '.join(map(_brief, args))[:80]}")
        return kind(*args)

    make.__name__ = kind.__name__  # for messages
    return make


def _allowed_globals() -> dict[tuple[str, str], Any]:
    """What the pickles of numpy 1 and 2, scipy and plain containers name."""
    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _dtype}
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _reconstructor
        table[f"{core}.multiarray", "scalar"] = _scalar
        table[f"{core}.numeric", "_frombuffer"] = _from_buffer
    for builtins in ("builtins", "__builtin__"):
        table |= {(builtins, kind.__name__): _builtin(kind) for kind in _TAKES}
        table[builtins, "object"] = object
        table[builtins, "unicode"], table[builtins, "long"] = _builtin(str), _builtin(int)
    table["collections", "OrderedDict"] = OrderedDict
    table["_codecs", "encode"] = _encode
    for module in ("copyreg", "copy_reg"):
        table[module, "_reconstructor"] = _reconstructor
    for stub in (_Csc, _Csr, _Coo):
        for module in (f"scipy.sparse.{stub.kind}", f"scipy.sparse._{stub.kind}"):
            for suffix in ("matrix", "array"):
                table[module, f"{stub.kind}_{suffix}"] = stub
    return table


_GLOBALS = _allowed_globals()


_OPCODES: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch


def _build(unpickler: Any) -> None:
    """The opcode that hands an object its state: for stand-ins alone, any other object would take attributes."""
    if not isinstance(unpickler.stack[-2], StandIn):
        raise RefusedError(f"state for {_brief(unpickler.stack[-2])}")
    _OPCODES[pickle.BUILD[0]](unpickler)


class RestrictedUnpickler(pickle._Unpickler):
    """Finds the names of the table above and stand-ins for chumpy; everything else is refused.

    Built on Python's own implementation: the one in C claims a table as long as the largest index into its memo, 32 GB
    for a pickle of ten bytes. Arrays are one step each, so little is lost.
    """

    dispatch = {**_OPCODES, pickle.BUILD[0]: _build}  # noqa: RUF012  # as its base has it

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in or function for a global name."""
        if (module, name) in _GLOBALS:
            return _GLOBALS[module, name]
        if module.split(".")[0] == "chumpy":
            return StandIn
        raise RefusedError(f"class '{module}.{name}'")


def plain(value: Any) -> Any:
    """Replace every stand-in inside a value by what it stands for; byte-string keys become text.

    Raises:
        RefusedError: if a container holds itself, or too many items to walk through.
        Exception: any other, if a state makes no sense.
    """
    return _Resolver().resolve(value)


class _Resolver:
    """Makes every object once, however often it is referred to."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, int]] = {}  # id -> what it stands for, items as a tree

    def resolve(self, value: Any) -> Any:
        return self._counted(value)[0]

    def _counted(self, value: Any) -> tuple[Any, int]:
        if not isinstance(value, StandIn | dict | list | tuple):
            return value, 1
        known = self._done.get(id(value))
        if known is _OPEN:
            raise RefusedError(f"a {type(value).__name__} that holds itself")
        if known is not None:
            return known
        self._done[id(value)] = _OPEN
        made, count = self._made(value)
        if count > _MOST_ITEMS:
            raise RefusedError(f"containers with more than {_MOST_ITEMS:,} items in all")
        self._done[id(value)] = made, count
        return made, count

    def _made(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, StandIn):
            return self._array(value.state) if value.kind == "array" else (self._other(value.kind, value.state), 1)
        items = [self._counted(item) for item in (value.values() if isinstance(value, dict) else value)]
        count = 1 + sum(size for _, size in items)
        made = [item for item, _ in items]
        if isinstance(value, dict):
            return dict(zip([_text(k) if isinstance(k, bytes) else k for k in value], made, strict=True)), count
        return type(value)(made), count

    def _other(self, kind: str, state: Mapping[str, Any]) -> Any:
        if kind == "dtype":
            return state["dtype"]
        return self._chumpy(state) if kind == "chumpy" else self._sparse(kind, state)

    def _array(self, state: Mapping[str, Any]) -> tuple[NDArray[Any], int]:
        shape = tuple(int(side) for side in state["shape"])
        dtype: np.dtype[Any] = state["dtype"].state["dtype"]
        if dtype.hasobject:
            items, count = self._counted(state["content"])
            if not isinstance(items, list) or min(shape, default=1) < 0 or len(items) != math.prod(shape):
                raise ValueError(f"an object array of shape {shape} with {_brief(items)}")
            objects = np.empty(len(items), dtype=object)
            for index, item in enumerate(items):
                objects[index] = item
            return objects.reshape(shape), count
        flat = np.frombuffer(_bytes(state["content"]), dtype=dtype)
        if min(shape, default=1) < 0 or flat.size != math.prod(shape):
            raise ValueError(f"an array of shape {shape} with {flat.size} numbers")
        if state.get("axes") is not None:
            return flat.reshape(shape).transpose(state["axes"]).copy(order="K"), 1
        return flat.reshape(shape, order="F" if state["order"] == "F" else "C").copy(order="K"), 1

    def _chumpy(self, state: Mapping[str, Any]) -> NDArray[Any]:
        """The array a chumpy object stands for: its own values, or a selection from another one."""
        if "x" in state:
            return np.asarray(self.resolve(state["x"]))
        if "a" in state and "idxs" in state:
            values, chosen = (np.asarray(self.resolve(state[key])) for key in ("a", "idxs"))
            shape = self.resolve(state.get("preferred_shape"))
            picked: NDArray[Any] = values.ravel()[chosen]
            return picked if shape is None else picked.reshape(shape)
        known = "only plain arrays and selections are known"
        raise ValueError(f"a chumpy expression with the terms {sorted(state)}; {known}")

    def _sparse(self, kind: str, state: Mapping[str, Any]) -> Any:
        """Rebuild the matrix so that scipy checks indices and shape."""
        given = {key: self.resolve(value) for key, value in state.items()}
        shape = tuple(int(side) for side in given["_shape"])
        if kind == "coo":
            row, col = given["coords"] if "coords" in given else (given["row"], given["col"])
            return sp.coo_matrix((given["data"], (row, col)), shape=shape)
        make: Callable[..., Any] = sp.csc_matrix if kind == "csc" else sp.csr_matrix
        matrix = make((given["data"], given["indices"], given["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
        return matrix
