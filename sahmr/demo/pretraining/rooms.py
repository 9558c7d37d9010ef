"""Rooms furnished at random: none is a place of the demo."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

from sahmr.demo.places.furniture import (
    Piece,
    bench,
    chair,
    crate,
    floor_spots,
    low_wall,
    mat,
    shelf,
    sofa,
    table,
    wall,
)
from sahmr.demo.places.room import Color, Room

_GROUNDS = ("asphalt", "tiles", "grass", "parquet")
_MATERIALS = ("plain", "wood", "fabric", "brick")
_TRIES = 40


def random_room(name: str, rng: np.random.Generator) -> Room:
    """A room with up to two walls and four to eight pieces that do not overlap; z up, floor at 0, metres.

    Args:
        name: of the room.
        rng: decides everything.
    """
    indoor = bool(rng.random() < 0.5)
    half = float(rng.uniform(2.7, 4.2))
    pieces = _walls(half, indoor, rng) + _standing(half, rng)
    ground = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.6), rng.uniform(0.15, 0.5)))
    bright = rng.uniform(0.6, 0.9, 3) if indoor else np.array([0.75, 0.8, 0.85]) * rng.uniform(0.8, 1.1)
    high = rng.uniform(0.7, 0.9, 3) if indoor else np.array([0.35, 0.5, 0.8]) * rng.uniform(0.7, 1.2)
    angle, tilt = rng.uniform(-np.pi, np.pi), rng.uniform(0.25, 0.8)
    return Room(
        name=name,
        boxes=tuple(box for piece in pieces for box in piece.boxes),
        spots=tuple(spot for piece in pieces for spot in piece.spots) + floor_spots(0.55 * half, 0.55 * half),
        floor=(half, half),
        floor_material=str(rng.choice(_GROUNDS[1::2] if indoor else _GROUNDS)),
        floor_color=_triple(ground),
        light=(float(tilt * np.cos(angle)), float(tilt * np.sin(angle)), 0.9),
        sky=(_triple(bright), _triple(high)),
        indoor=indoor,
        reach=float(half + rng.uniform(1.5, 4.0)) if indoor else 60.0,
    )


def _standing(half: float, rng: np.random.Generator) -> list[Piece]:
    """Furniture on the floor of a room of twice ``half`` metres; what finds no free place in 40 tries is left out."""
    pieces: list[Piece] = []
    taken: list[tuple[float, float, float]] = []  # x, y, radius
    for _ in range(int(rng.integers(4, 9))):
        piece = _furniture(rng)
        radius = _radius(piece)
        for _ in range(_TRIES):
            x, y = rng.uniform(-0.75 * half, 0.75 * half, 2)
            if all(np.hypot(x - a, y - b) > radius + other for a, b, other in taken):
                taken.append((float(x), float(y), radius))
                # Half of them look roughly to the middle, as furniture does, where most cameras see it from the front.
                inward = np.degrees(np.arctan2(-y, -x)) + rng.normal(0, 30)
                pieces.append(piece.at(float(x), float(y), float(rng.choice([inward, rng.uniform(-180, 180)]))))
                break
    return pieces


def _walls(half: float, indoor: bool, rng: np.random.Generator) -> list[Piece]:
    """Walls at the border, facing inwards: always indoors, sometimes outdoors."""
    count = int(rng.integers(1, 3)) if indoor else int(rng.integers(0, 2))
    first = int(rng.integers(4))
    made = []
    for number in range(count):
        angle = 90 * (first + number)
        turn = np.radians(angle)
        distance = half * rng.uniform(0.75, 0.92)
        piece = wall(
            2 * half, float(rng.uniform(2.2, 3.2)), _pale(rng), str(rng.choice(("plain", "plain", "brick", "wood")))
        )
        made.append(piece.at(float(-distance * np.cos(turn)), float(-distance * np.sin(turn)), float(angle)))
    return made


def _furniture(rng: np.random.Generator) -> Piece:
    """One piece of any kind, size and color."""
    make: dict[str, Callable[[], Piece]] = {
        "bench": lambda: bench(float(rng.uniform(1.3, 2.1)), float(rng.uniform(0.4, 0.5)), _color(rng)),
        "chair": lambda: chair(float(rng.uniform(0.42, 0.48)), _color(rng)),
        "sofa": lambda: sofa(float(rng.uniform(1.6, 2.3)), _color(rng)),
        "table": lambda: table(
            float(rng.uniform(1.1, 1.9)), float(rng.uniform(0.65, 0.9)), float(rng.uniform(0.72, 0.9)), _color(rng)
        ),
        "crate": lambda: crate(float(rng.uniform(0.4, 0.55)), _color(rng), str(rng.choice(_MATERIALS))),
        "low wall": lambda: low_wall(float(rng.uniform(1.8, 3.5)), float(rng.uniform(0.44, 0.54)), _pale(rng)),
        "mat": lambda: mat(float(rng.uniform(1.8, 2.2)), float(rng.uniform(0.8, 1.2)), _color(rng)),
        "shelf": lambda: shelf(float(rng.uniform(0.9, 1.5)), float(rng.uniform(1.3, 2.0)), _color(rng)),
    }  # fmt: skip
    return make[str(rng.choice(list(make), p=(0.15, 0.17, 0.16, 0.12, 0.12, 0.07, 0.16, 0.05)))]()


def _radius(piece: Piece) -> float:
    """Of the circle round a piece at the origin."""
    return max(float(np.hypot(box.center[0], box.center[1]) + np.hypot(*box.half[:2])) for box in piece.boxes)


def _color(rng: np.random.Generator) -> Color:
    """Of furniture: anything but glaring."""
    return _triple(np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.85), rng.uniform(0.08, 0.7))))


def _pale(rng: np.random.Generator) -> Color:
    """Of walls."""
    return _triple(np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.3), rng.uniform(0.35, 0.8))))


def _triple(values: np.ndarray) -> Color:
    red, green, blue = (float(np.clip(value, 0.0, 1.0)) for value in values)
    return red, green, blue
