"""Which unit a length was probably written in, for the messages about lengths that cannot be metres."""

from __future__ import annotations

# Metres per unit, in order of how often such files meet a pipeline that wants metres. Kilometres: metres divided by
# 1000 once too often.
METRES = {"millimetres": 1e-3, "centimetres": 1e-2, "inches": 0.0254, "feet": 0.3048, "kilometres": 1e3}


def as_if(length: float, low_m: float, high_m: float) -> str:
    """``", as if in millimetres"``: the first unit in which a length lies between two bounds; "" if none does."""
    for unit, metres in METRES.items():
        if low_m <= length * metres <= high_m:
            return f", as if in {unit}"
    return ""
