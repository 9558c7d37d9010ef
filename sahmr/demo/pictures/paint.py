"""Procedural textures: what color a material has at a point of the room."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.places.room import Room

Array = NDArray[np.float64]

_NOISE_SIDE = 256


@lru_cache(maxsize=1)
def _noise_table() -> Array:
    return np.random.default_rng(20230618).random((_NOISE_SIDE, _NOISE_SIDE))


def _noise(u: Array, v: Array, cell: float) -> Array:
    """Smooth random values 0..1 with features of ``cell`` metres."""
    table = _noise_table()
    a, b = u / cell, v / cell
    i, j = np.floor(a).astype(np.int64), np.floor(b).astype(np.int64)
    fa, fb = a - i, b - j
    fa, fb = fa * fa * (3 - 2 * fa), fb * fb * (3 - 2 * fb)
    i0, j0, i1, j1 = i % _NOISE_SIDE, j % _NOISE_SIDE, (i + 1) % _NOISE_SIDE, (j + 1) % _NOISE_SIDE
    low = table[i0, j0] * (1 - fa) + table[i1, j0] * fa
    high = table[i0, j1] * (1 - fa) + table[i1, j1] * fa
    return np.asarray(low * (1 - fb) + high * fb)


def _plane(points: Array, normals: Array) -> tuple[Array, Array]:
    """Two coordinates along the surface: the axes other than the normal's largest one."""
    axis = np.abs(normals).argmax(1)
    u = np.where(axis == 0, points[:, 1], points[:, 0])
    v = np.where(axis == 2, points[:, 1], points[:, 2])
    return u, v


def _grid(u: Array, v: Array, side_u: float, side_v: float, line: float) -> tuple[NDArray[np.bool_], Array]:
    """(True on the joints, a random tint 0..1 per tile) of a tiling, every second row shifted by half."""
    row = np.floor(v / side_v)
    along = u / side_u + 0.5 * np.mod(row, 2)
    column = np.floor(along)
    joint = (np.mod(v, side_v) < line) | ((along - column) * side_u < line)
    tint = _noise_table()[column.astype(np.int64) % _NOISE_SIDE, row.astype(np.int64) % _NOISE_SIDE]
    return joint, tint


def paint(room: Room, owner: NDArray[np.int64], points: Array, normals: Array, fine: bool = True) -> Array:
    """Linear RGB [n, 3] of surface points [n, 3].

    Args:
        owner: index into ``room.boxes`` per point, -1 for the floor.
        points: room frame, metres.
        normals: unit normals, room frame.
        fine: False leaves out the finest grain (for far or vertex colors).
    """
    materials = ["plain", "wood", "fabric", "brick", "asphalt", "tiles", "grass", "parquet"]
    name = [*(box.material for box in room.boxes), room.floor_material]
    number = np.array([materials.index(n) for n in name])[owner]
    color = np.array([*(box.color for box in room.boxes), room.floor_color])[owner]
    u, v = _plane(points, normals)
    shade = 0.9 + 0.2 * _noise(u, v, 0.6)
    grain = _noise(u + 13.7, v - 4.1, 0.03) - 0.5 if fine else np.zeros(len(points))
    for index, material in enumerate(materials):
        which = number == index
        if which.any():
            shade[which] *= _pattern(material, u[which], v[which], grain[which])
    return np.asarray(np.clip(color * shade[:, None], 0.0, 1.0))


def _pattern(material: str, u: Array, v: Array, grain: Array) -> Array:
    if material == "wood":
        return np.asarray(0.85 + 0.3 * _noise(u * 0.25, v, 0.02) + 0.1 * grain)
    if material == "fabric":
        return np.asarray(0.95 + 0.25 * grain)
    if material == "brick":
        joint, tint = _grid(u, v, 0.24, 0.08, 0.012)
        return np.asarray(np.where(joint, 1.25, 0.8 + 0.35 * tint) + 0.2 * grain)
    if material == "asphalt":
        return np.asarray(1.0 + 0.6 * grain + 0.25 * (_noise(u, v, 0.15) - 0.5))
    if material == "tiles":
        joint, tint = _grid(u, v, 0.6, 0.6, 0.018)
        return np.asarray(np.where(joint, 0.55, 0.9 + 0.2 * tint) + 0.1 * grain)
    if material == "grass":
        return np.asarray(0.75 + 0.5 * _noise(u, v, 0.08) + 0.5 * grain)
    if material == "parquet":
        joint, tint = _grid(u, v, 1.1, 0.12, 0.006)
        return np.asarray(np.where(joint, 0.6, 0.8 + 0.35 * tint) + 0.15 * grain)
    return np.asarray(1.0 + 0.12 * grain)


def sky(room: Room, directions: Array) -> Array:
    """Linear RGB [n, 3] behind everything."""
    up = directions[:, 2] / np.sqrt((directions**2).sum(1))
    low, high = np.array(room.sky[0]), np.array(room.sky[1])
    blend = np.clip(up * 2.2, 0.0, 1.0)[:, None]
    return np.asarray(low * (1 - blend) + high * blend)
