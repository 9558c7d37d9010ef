"""Pieces of furniture with the spots they offer; each is built facing +x at the origin, then turned and moved."""

import math
from dataclasses import dataclass, replace

import numpy as np

from sahmr.demo.places.room import Box, Color, Spot, turned

WOOD: Color = (0.45, 0.28, 0.14)
METAL: Color = (0.25, 0.26, 0.28)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Boxes and spots that belong together."""

    boxes: tuple[Box, ...]
    spots: tuple[Spot, ...] = ()

    def at(self, x: float, y: float, degrees: float = 0.0) -> "Piece":
        """The piece turned by ``degrees`` and moved to (x, y)."""
        yaw = float(np.radians(degrees))
        c, s = math.cos(yaw), math.sin(yaw)
        spots = tuple(
            replace(
                spot,
                center=(x + c * spot.center[0] - s * spot.center[1], y + s * spot.center[0] + c * spot.center[1]),
                facing=None if spot.facing is None else spot.facing + yaw,
            )
            for spot in self.spots
        )
        return Piece(boxes=turned(self.boxes, x, y, yaw), spots=spots)


def _box(low: tuple[float, float, float], high: tuple[float, float, float], material: str, color: Color) -> Box:
    center = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    half = tuple((b - a) / 2 for a, b in zip(low, high, strict=True))
    return Box(center=center, half=half, material=material, color=color)  # type: ignore[arg-type]  # three each


def _legs(x: float, y: float, height: float, thick: float, color: Color) -> tuple[Box, ...]:
    return tuple(
        _box((sx * x - thick, sy * y - thick, 0), (sx * x + thick, sy * y + thick, height), "plain", color)
        for sx in (-1, 1)
        for sy in (-1, 1)
    )


def bench(length: float = 1.8, height: float = 0.45, color: Color = WOOD) -> Piece:
    """A bench without a back; people sit on its +x side."""
    half = length / 2
    seat = _box((-0.2, -half, height - 0.06), (0.2, half, height), "wood", color)
    feet = tuple(
        _box((-0.17, s * (half - 0.2) - 0.05, 0), (0.17, s * (half - 0.2) + 0.05, height - 0.06), "plain", METAL)
        for s in (-1, 1)
    )
    spot = Spot(kinds=("sit",), center=(0.2, 0), extent=(0, half - 0.35), facing=0.0, support=height)
    return Piece(boxes=(seat, *feet), spots=(spot,))


def chair(height: float = 0.45, color: Color = (0.6, 0.15, 0.1)) -> Piece:
    """A chair with a back rest on its -x side."""
    seat = _box((-0.22, -0.22, height - 0.05), (0.22, 0.22, height), "plain", color)
    back = _box((-0.26, -0.21, height), (-0.22, 0.21, height + 0.45), "plain", color)
    spot = Spot(kinds=("sit",), center=(0.22, 0), extent=(0, 0.03), facing=0.0, support=height)
    return Piece(boxes=(seat, back, *_legs(0.19, 0.19, height - 0.05, 0.02, METAL)), spots=(spot,))


def sofa(length: float = 1.9, color: Color = (0.2, 0.3, 0.42)) -> Piece:
    """A sofa: seat 43 cm high, back rest on the -x side, arm rests; one can sit or lie on it."""
    half = length / 2
    seat = _box((-0.33, -half, 0), (0.42, half, 0.43), "fabric", color)
    back = _box((-0.55, -half, 0), (-0.33, half, 0.85), "fabric", color)
    arms = tuple(_box((-0.55, s, 0), (0.42, s + 0.18, 0.6), "fabric", color) for s in (-half - 0.18, half))
    sit = Spot(kinds=("sit",), center=(0.42, 0), extent=(0, half - 0.4), facing=0.0, support=0.43)
    lie = Spot(kinds=("lie",), center=(0.08, 0), extent=(0.02, 0.02), facing=float(np.pi / 2), support=0.43)
    return Piece(boxes=(seat, back, *arms), spots=(sit, *((lie,) if length >= 2.0 else ())))


def table(length: float = 1.4, depth: float = 0.8, height: float = 0.74, color: Color = WOOD) -> Piece:
    """A table; people lean on its +x edge."""
    half = length / 2
    top = _box((-depth / 2, -half, height - 0.05), (depth / 2, half, height), "wood", color)
    legs = _legs(depth / 2 - 0.07, half - 0.07, height - 0.05, 0.035, METAL)
    spot = Spot(kinds=("lean",), center=(depth / 2, 0), extent=(0, half - 0.35), facing=float(np.pi), touch=height)
    return Piece(boxes=(top, *legs), spots=(spot,))


def crate(side: float = 0.46, color: Color = (0.5, 0.36, 0.2), material: str = "wood") -> Piece:
    """A cube to sit on, from any of its four sides."""
    half = side / 2
    body = _box((-half, -half, 0), (half, half, side), material, color)
    spots = tuple(
        Spot(
            kinds=("sit",),
            center=(float(half * math.cos(a)), float(half * math.sin(a))),
            extent=(0, 0.02),
            facing=float(a),
            support=side,
        )
        for a in (0.0, np.pi / 2, np.pi, -np.pi / 2)
    )
    return Piece(boxes=(body,), spots=spots)


def low_wall(length: float = 3.0, height: float = 0.48, color: Color = (0.5, 0.47, 0.43)) -> Piece:
    """A stone wall of seat height; people sit on its +x side."""
    half = length / 2
    body = _box((-0.2, -half, 0), (0.2, half, height), "brick", color)
    spot = Spot(kinds=("sit",), center=(0.2, 0), extent=(0, half - 0.35), facing=0.0, support=height)
    return Piece(boxes=(body,), spots=(spot,))


def wall(length: float = 8.0, height: float = 2.6, color: Color = (0.7, 0.68, 0.62), material: str = "plain") -> Piece:
    """A wall whose front is the plane x = 0, solid towards -x; people push against it."""
    half = length / 2
    body = _box((-0.2, -half, 0), (0.0, half, height), material, color)
    spot = Spot(kinds=("lean",), center=(0, 0), extent=(0, half - 0.8), facing=float(np.pi))
    return Piece(boxes=(body,), spots=(spot,))


def mat(length: float = 2.0, width: float = 1.0, color: Color = (0.1, 0.3, 0.5)) -> Piece:
    """A gymnastics mat, 4 cm thick, along x."""
    body = _box((-length / 2, -width / 2, 0), (length / 2, width / 2, 0.04), "fabric", color)
    spot = Spot(kinds=("lie", "squat", "reach"), center=(0, 0), extent=(0.05, 0.1), facing=0.0, support=0.04)
    return Piece(boxes=(body,), spots=(spot,))


def shelf(length: float = 1.2, height: float = 1.8, color: Color = (0.55, 0.42, 0.3)) -> Piece:
    """A closed cupboard, only to look at."""
    return Piece(boxes=(_box((-0.2, -length / 2, 0), (0.2, length / 2, height), "wood", color),))


def floor_spots(width: float, depth: float) -> tuple[Spot, ...]:
    """Free floor of the given half sizes round the origin."""
    free = ("stand", "walk", "squat", "reach")
    return tuple(Spot(kinds=(kind,), center=(0, 0), extent=(width, depth)) for kind in free)
