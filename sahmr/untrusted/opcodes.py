"""The opcodes of a pickle that could claim time or memory, each paid for and bounded before it runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from sahmr.untrusted.budget import RefusedError
from sahmr.untrusted.names import LONGEST_NUMBER, checked_keys, filled
from sahmr.untrusted.resolve import StandIn, brief

_DEEPEST_MARKS = 1000  # started containers within each other
_SMALL = {int, float, bool, type}
_OPCODES: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch


def _costing(code: bytes, count: int) -> Callable[[Any], None]:
    run = _OPCODES[code[0]]

    def load(unpickler: Any) -> None:
        budget = unpickler.budget
        budget.left -= count  # as Budget.spend, which would take longer than the opcode
        if budget.left < 0:
            raise budget.exceeded()
        run(unpickler)

    return load


def _calling(code: bytes) -> Callable[[Any], None]:
    """An opcode that makes an object: what it is made of may be copied."""
    run, is_marked = _OPCODES[code[0]], code in (pickle.OBJ, pickle.INST)

    def load(unpickler: Any) -> None:
        args = unpickler.stack if is_marked else unpickler.stack[-1]
        if not is_marked and type(args) is not tuple:
            raise RefusedError(f"a call with {brief(args)}")
        count = 256
        for arg in args:
            if type(arg) not in _SMALL and hasattr(arg, "__len__"):
                count += 8 * len(arg)
        unpickler.budget.spend(count)
        run(unpickler)

    return load


def _build(unpickler: Any) -> None:
    """The opcode that hands an object its state: for stand-ins alone, any other object would take attributes."""
    state, target = unpickler.stack[-1], unpickler.stack[-2]
    if not isinstance(target, StandIn):
        raise RefusedError(f"state for {brief(target)}")
    parts = state if isinstance(state, tuple) else (state,)
    unpickler.budget.spend(16 * len(parts) + 100 * sum(len(part) for part in parts if isinstance(part, dict)))
    _OPCODES[pickle.BUILD[0]](unpickler)


def _append(unpickler: Any) -> None:
    item = unpickler.stack.pop()
    _list(unpickler).append(item)


def _appends(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    _list(unpickler).extend(items)


def _list(unpickler: Any) -> list[Any]:
    target = unpickler.stack[-1]
    if type(target) is not list:
        raise RefusedError(f"items for {brief(target)}")
    return target


def _set_item(unpickler: Any) -> None:
    value, key = unpickler.stack.pop(), unpickler.stack.pop()
    filled(unpickler.stack[-1], (key, value))


def _set_items(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    filled(unpickler.stack[-1], items)


def _add_items(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    if type(unpickler.stack[-1]) is not set:
        raise RefusedError(f"members for {brief(unpickler.stack[-1])}")
    unpickler.stack[-1].update(checked_keys(items))


def _dict(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    unpickler.append(filled({}, items))


def _frozenset(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    unpickler.append(frozenset(checked_keys(items)))


def _mark(unpickler: Any) -> None:
    unpickler.budget.spend(64)
    if len(unpickler.metastack) >= _DEEPEST_MARKS:
        raise RefusedError(f"more than {_DEEPEST_MARKS:,} containers within each other")
    _OPCODES[pickle.MARK[0]](unpickler)


def _number_line(unpickler: Any) -> bytes:
    line: bytes = unpickler.readline()[:-1]
    if len(line) > LONGEST_NUMBER:
        raise RefusedError(f"a number of {len(line):,} digits")
    return line


def _int(unpickler: Any) -> None:
    line = _number_line(unpickler)
    unpickler.append({b"00": False, b"01": True}.get(line) if line in (b"00", b"01") else int(line, 0))


def _long4(unpickler: Any) -> None:
    count = int.from_bytes(unpickler.read(4), "little")
    if count > 255:
        raise RefusedError(f"a number of {count:,} bytes")
    unpickler.append(pickle.decode_long(unpickler.read(count)))


def _byte_array(unpickler: Any) -> None:
    count = int.from_bytes(unpickler.read(8), "little")
    if count > unpickler.budget.size:
        raise ValueError(f"{count:,} bytes are claimed, it has {unpickler.budget.size:,}")
    unpickler.append(bytearray(unpickler.read(count)))


def _with_keywords(_: Any) -> None:
    raise RefusedError("a call with keywords")


def _memoized(read_place: Callable[[Any], int]) -> Callable[[Any], None]:
    """An opcode that remembers a value at a place, of which there are never more than bytes.

    BINPUT stays as it is: it has 256 places.
    """

    def load(unpickler: Any) -> None:
        unpickler.budget.spend(100)
        place = read_place(unpickler)
        if not 0 <= place <= unpickler.budget.size:
            raise RefusedError(f"the place {place!s:.40} in a memo")
        unpickler.memo[place] = unpickler.stack[-1]

    return load


OPCODES: dict[int, Callable[[Any], None]] = {
    **_OPCODES,
    **{
        code[0]: _costing(code, count)
        for code, count in {
            pickle.EMPTY_LIST: 64, pickle.EMPTY_DICT: 64, pickle.EMPTY_SET: 216, pickle.TUPLE1: 64, pickle.TUPLE2: 64,
            pickle.TUPLE3: 64,
        }.items()
    },
    **{code[0]: _calling(code) for code in (pickle.REDUCE, pickle.NEWOBJ, pickle.OBJ, pickle.INST)},
    pickle.BUILD[0]: _build,
    pickle.APPEND[0]: _append,
    pickle.APPENDS[0]: _appends,
    pickle.SETITEM[0]: _set_item,
    pickle.SETITEMS[0]: _set_items,
    pickle.ADDITEMS[0]: _add_items,
    pickle.DICT[0]: _dict,
    pickle.FROZENSET[0]: _frozenset,
    pickle.MARK[0]: _mark,
    pickle.INT[0]: _int,
    pickle.LONG[0]: lambda unpickler: unpickler.append(int(_number_line(unpickler).rstrip(b"L"), 0)),
    pickle.FLOAT[0]: lambda unpickler: unpickler.append(float(_number_line(unpickler))),
    pickle.LONG4[0]: _long4,
    pickle.BYTEARRAY8[0]: _byte_array,
    pickle.PUT[0]: _memoized(lambda unpickler: int(_number_line(unpickler))),
    pickle.LONG_BINPUT[0]: _memoized(lambda unpickler: int.from_bytes(unpickler.read(4), "little")),
    pickle.MEMOIZE[0]: _memoized(lambda unpickler: len(unpickler.memo)),
    pickle.NEWOBJ_EX[0]: _with_keywords,
}  # fmt: skip
