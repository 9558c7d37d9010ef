"""Which way is up in a triangle mesh that nobody says anything of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.scenes.upright import densest_direction

_SAMPLES = 4096  # places on the surface that are looked at
_CLEAR_AXIS, _CLEAR_SIGN = 1.15, 1.05  # how much more surface faces up than sideways, and than down
_COS_SAME = float(np.cos(np.radians(20.0)))  # level or upright, with a scan's noise
_COS_ROUGH = float(np.cos(np.radians(45.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanUp:
    """Up, length 1, and shares of the surface that face up, down and to the fullest side."""

    up: Float[ndarray, "3"]
    share_up: float
    share_down: float
    share_side: float


def find_scan_up(vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> ScanUp:
    """The direction that most of the surface faces: floor, seats and tables face up, and ceilings hold less.

    Where the surfaces that face a way lie above those that face the other, normals point out of the room, and all are
    turned first.

    Args:
        vertices, faces: of a mesh, any unit.

    Raises:
        ValueError: if there are no faces, or no direction stands out; the message can be read by users.
    """
    if len(faces) == 0:
        raise ValueError("a point cloud does not say which way is up")
    centres, normals = _surface(vertices, faces)
    if _is_inside_out(centres, normals):
        normals = -normals
    shares = {}
    for axis in (*np.eye(3), *-np.eye(3)):
        level = normals[normals @ axis > _COS_ROUGH]
        if len(level):
            direction = densest_direction(torch.from_numpy(level))[0].numpy()
            shares[tuple(direction)] = float((normals @ direction > _COS_SAME).mean())
    up = np.array(max(shares, key=lambda key: shares[key]))
    share_up, share_down = (float((sign * normals @ up > _COS_SAME).mean()) for sign in (1, -1))
    share_side = max((share for key, share in shares.items() if abs(np.array(key) @ up) < _COS_ROUGH), default=0.0)
    found = f"{share_up:.0%} of the surface face one way, {share_down:.0%} the other, {share_side:.0%} a side"
    if share_up < _CLEAR_SIGN * share_down or share_up < _CLEAR_AXIS * share_side:
        raise ValueError(f"which way is up does not show ({found})")
    return ScanUp(up=up, share_up=share_up, share_down=share_down, share_side=share_side)


def _surface(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> tuple[Float[ndarray, "samples 3"], Float[ndarray, "samples 3"]]:
    """Centres and unit normals of triangles spread evenly over the area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    cross = np.cross(b - a, c - a)
    area = np.sqrt((cross**2).sum(axis=1))
    total = np.cumsum(area)
    if not total[-1] > 0:
        raise ValueError("its triangles have no area, which does not say which way is up")
    at = np.searchsorted(total, (np.arange(_SAMPLES) + 0.5) / _SAMPLES * total[-1])
    return (a[at] + b[at] + c[at]) / 3, cross[at] / area[at, None]


def _is_inside_out(centres: Float[ndarray, "samples 3"], normals: Float[ndarray, "samples 3"]) -> bool:
    """Whether surfaces face away from the middle more than towards it, as a room's seen from outside do."""
    inward = ((np.median(centres, axis=0) - centres) * normals).sum(axis=1)
    return bool((inward > 0).mean() < 0.5)
