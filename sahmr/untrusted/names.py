"""What a stranger's pickle may name: stand-ins and builders that check what they are given."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sahmr.untrusted.budget import RefusedError
from sahmr.untrusted.resolve import (
    ArrayStandIn,
    CooStandIn,
    CscStandIn,
    CsrStandIn,
    DtypeStandIn,
    StandIn,
    brief,
    bytes_of,
    text_of,
)

_DTYPE = re.compile(r"[biufcSUO]\d{0,9}")
_ENCODINGS = ("latin1", "latin-1", "ascii", "utf-8", "utf8")  # of others some take the square of the length
# Hashing a tuple goes as deep as it is nested, and through whatever it shares; complex numbers, wide floats and wide
# whole numbers are easily given equal hashes.
_KEYS = {
    str, bytes, bool, int, float, type(None), np.str_, np.bytes_, np.bool_, np.float16, np.float32, np.float64,
    *(np.dtype(code).type for code in "bBhHiIlLqQ"),
}  # fmt: skip
LONGEST_NUMBER = 700  # digits; or 255 bytes


def _reconstructor(cls: object, *_: object) -> StandIn:
    """``copyreg._reconstructor`` for stand-ins, and for nothing else."""
    if isinstance(cls, type) and issubclass(cls, StandIn):
        return cls.__new__(cls)
    raise RefusedError(f"object of class {brief(cls)}")


def _dtype(code: object, *_: object) -> StandIn:
    """``numpy.dtype``; the state that follows has the byte order."""
    if not isinstance(code, str | bytes) or not _DTYPE.fullmatch(text_of(code)):
        raise RefusedError(f"dtype {brief(code)}")
    made = DtypeStandIn()
    made.state["dtype"] = np.dtype(text_of(code))
    return made


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """``_codecs.encode`` as protocol-2 pickles of byte strings use it."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"text encoding {brief(encoding)}")
    return text.encode("latin1")


def _from_buffer(content: Any, dtype: Any, shape: Any, order: str, axis_order: Any = None) -> StandIn:
    """``numpy._core.numeric._frombuffer`` of protocol 5."""
    made = ArrayStandIn()
    made.state = {"shape": shape, "dtype": dtype, "order": order, "content": content, "axes": axis_order}
    return made


def _scalar(dtype: StandIn, content: str | bytes = b"") -> Any:
    (value,) = np.frombuffer(bytes_of(content), dtype=dtype.state["dtype"])
    return value


# Built-in types a pickle may call, and with what: given a number, some would claim that number of bytes.
_TAKES: dict[type, tuple[type, ...]] = {
    list: (list, tuple), tuple: (list, tuple), bytearray: (bytes, str), bytes: (bytes, str), str: (bytes, str),
    complex: (int, float), int: (int, float, str), float: (int, float, str), bool: (int,),
}  # fmt: skip


def _builtin(kind: type) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if not all(isinstance(arg, _TAKES[kind]) for arg in args):
            raise RefusedError(f"a call of {kind.__name__} with {', '.join(map(brief, args[:9]))[:80]}")
        if kind in (str, bytes, bytearray) and args:
            _check_text(kind, args)
        if kind in (int, float) and isinstance(args[0] if args else 0, str) and len(args[0]) > LONGEST_NUMBER:
            raise RefusedError(f"a number of {len(args[0]):,} digits")
        return kind(*args)

    make.__name__ = kind.__name__  # for messages
    return make


def _check_text(kind: type, args: Sequence[Any]) -> None:
    """Text to bytes and back take an encoding; ``str`` of bytes alone would print them, four times as long."""
    is_converted = isinstance(args[0], str) != (kind is str)
    if len(args) > 2 or is_converted != (len(args) == 2) or not set(map(text_of, args[1:])) <= set(_ENCODINGS):
        raise RefusedError(f"a call of {kind.__name__} with {', '.join(map(brief, args[:9]))[:80]}")


def _set_of(kind: type) -> Callable[..., Any]:
    def make(items: object = ()) -> Any:
        if not isinstance(items, list | tuple):
            raise RefusedError(f"a call of {kind.__name__} with {brief(items)}")
        return kind(checked_keys(items))

    make.__name__ = kind.__name__
    return make


def _dict_of(kind: type) -> Callable[..., Any]:
    def make(pairs: object = ()) -> Any:
        if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            raise RefusedError(f"a call of {kind.__name__} with {brief(pairs)}")
        return filled(kind(), [part for pair in pairs for part in pair])

    make.__name__ = kind.__name__
    return make


def checked_keys(keys: Sequence[Any]) -> Sequence[Any]:
    """Keys or set members that can be hashed in no time, and in as many ways as there are of them."""
    for key in keys:
        if type(key) not in _KEYS:
            raise RefusedError(f"{brief(key)} as a key or member of a set; allowed: text, bytes, real numbers")
        if type(key) is int and not -(1 << 63) <= key < 1 << 64:
            raise RefusedError(f"a key of {key.bit_length()} bits")
    return keys


def filled(target: Any, items: Sequence[Any]) -> Any:
    """A dict with keys and values added, which follow each other in ``items``."""
    if type(target) not in (dict, OrderedDict):
        raise RefusedError(f"keys for {brief(target)}")
    checked_keys(items[::2])
    for key, value in zip(items[::2], items[1::2], strict=True):
        if key in target:
            raise RefusedError(f"key {brief(key)} twice in one dict")
        target[key] = value
    return target


def _allowed_globals() -> dict[tuple[str, str], Any]:
    """What the pickles of numpy 1 and 2, scipy and plain containers name."""
    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): ArrayStandIn, ("numpy", "dtype"): _dtype}
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _reconstructor
        table[f"{core}.multiarray", "scalar"] = _scalar
        table[f"{core}.numeric", "_frombuffer"] = _from_buffer
    makers = [*map(_builtin, _TAKES), _set_of(set), _set_of(frozenset), _dict_of(dict)]
    for builtins in ("builtins", "__builtin__"):
        table |= {(builtins, make.__name__): make for make in makers}
        table[builtins, "object"] = object
        table[builtins, "unicode"], table[builtins, "long"] = _builtin(str), _builtin(int)
    table["collections", "OrderedDict"] = _dict_of(OrderedDict)
    table["_codecs", "encode"] = _encode
    for module in ("copyreg", "copy_reg"):
        table[module, "_reconstructor"] = _reconstructor
    for stub in (CscStandIn, CsrStandIn, CooStandIn):
        for module in (f"scipy.sparse.{stub.kind}", f"scipy.sparse._{stub.kind}"):
            for suffix in ("matrix", "array"):
                table[module, f"{stub.kind}_{suffix}"] = stub
    return table


GLOBALS = _allowed_globals()
