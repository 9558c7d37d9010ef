"""Flips and cuts of the bytes of a file, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_EDGE = 300  # bytes at either end of a file, where its headers and directories are


def mutations(content: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    """Endless damages of a file's bytes: what was done, and the result, never equal to the content."""
    choose = random.Random(seed)
    while True:
        act = choose.choice(_ACTS)
        what, damaged = act(content, choose)
        if damaged != content:
            yield what, damaged


def _place(content: bytes, choose: random.Random) -> int:
    """A place in the file; its ends are as likely as all between."""
    size = len(content)
    near = choose.randrange(min(size, _EDGE))
    return choose.choice((near, size - 1 - near, choose.randrange(size)))


def _bit(content: bytes, choose: random.Random) -> tuple[str, bytes]:
    at, bit = _place(content, choose), choose.randrange(8)
    return f"bit {bit} of byte {at} flipped", content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


def _byte(content: bytes, choose: random.Random) -> tuple[str, bytes]:
    at, value = _place(content, choose), choose.randrange(256)
    return f"byte {at} set to {value}", content[:at] + bytes([value]) + content[at + 1 :]


def _cut(content: bytes, choose: random.Random) -> tuple[str, bytes]:
    at = choose.choice((0, 1, _place(content, choose), choose.randrange(len(content))))
    return f"cut to {at} bytes", content[:at]


def _zeros(content: bytes, choose: random.Random) -> tuple[str, bytes]:
    at = _place(content, choose)
    length = min(choose.choice((4, 64, 4096)), len(content) - at)
    return f"{length} zeros from byte {at}", content[:at] + bytes(length) + content[at + length :]


def _lost(content: bytes, choose: random.Random) -> tuple[str, bytes]:
    at = _place(content, choose)
    return f"bytes {at}.. lost", content[:at] + content[at + choose.choice((1, 8, 512)) :]


def _more(content: bytes, choose: random.Random) -> tuple[str, bytes]:
    at = choose.choice((_place(content, choose), len(content)))
    added = choose.randbytes(choose.choice((1, 8, 512)))
    return f"{len(added)} bytes put in at {at}", content[:at] + added + content[at:]


def _mixed(content: bytes, choose: random.Random) -> tuple[str, bytes]:
    """Several flips at once, as of a bad cable."""
    damaged = content
    for _ in range(choose.randint(2, 9)):
        _, damaged = _bit(damaged, choose)
    return "several bits flipped", damaged


_ACTS: tuple[Callable[[bytes, random.Random], tuple[str, bytes]], ...] = (
    _bit, _bit, _bit, _byte, _cut, _cut, _zeros, _lost, _more, _mixed,
)  # fmt: skip
