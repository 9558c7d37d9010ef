"""Damages of a finished file, the same ones every time: flipped bytes everywhere, cuts, zeroed runs."""

from __future__ import annotations

import random
from collections.abc import Iterator

KINDS = ("bit", "byte", "footer", "footer", "head", "cut", "zeros", "hole")


def mutations(sound: bytes, count: int, *, seed: int = 7) -> Iterator[tuple[str, bytes]]:
    """Name and content of ``count`` damaged copies, each different from the sound one."""
    draw = random.Random(seed)
    footer = int.from_bytes(sound[-8:-4], "little") if sound.endswith(b"PAR1") else len(sound) // 3
    done = 0
    while done < count:
        kind = draw.choice(KINDS)
        low = {"footer": max(0, len(sound) - 8 - footer)}.get(kind, 0)
        high = {"head": min(200, len(sound))}.get(kind, len(sound))
        at = draw.randrange(low, high)
        damaged = bytearray(sound)
        if kind == "cut":
            del damaged[at:]
        elif kind == "zeros":
            end = min(len(sound), at + draw.choice((8, 64, 512)))
            damaged[at:end] = bytes(end - at)
        elif kind == "hole":
            del damaged[at : at + draw.choice((1, 7, 100))]
        elif kind == "bit":
            damaged[at] ^= 1 << draw.randrange(8)
        else:
            damaged[at] ^= draw.randrange(1, 256)
        if bytes(damaged) != sound:
            done += 1
            yield f"{kind} at {at} of {len(sound)}", bytes(damaged)
