"""Where a body and its surroundings are looked at from: aside of the photograph's camera, and from above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.report.shading import unit

_TURNS_DEG, _ABOVE_DEG = (65.0, -65.0, 100.0, -100.0, 35.0, -35.0), 24.0  # from the photograph's direction; and down
_FEW = 40  # scene points of those asked: more hide the bodies
_HALF_VIEW = 0.27  # tangent of half the vertical angle of view
_EVERY = 8  # of the scene's points is asked whether it is in the way
_NEAREST_M, _FARTHEST_M = 2.8, 8.5
_ROOM = 1.13  # round the bodies


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewpoint:
    """A pinhole camera. Everything in the photograph's camera frame, metres.

    Attributes:
        eye: where it stands.
        target: what is in the middle of its picture.
        axes: its x (right), y (down) and z (forward) axes as rows, length 1.
        focal: pixels.
        size: (width, height) of its picture, pixels.
    """

    eye: Float[ndarray, "3"]
    target: Float[ndarray, "3"]
    axes: Float[ndarray, "3 3"]
    focal: float
    size: tuple[int, int]

    def look(self, points: Float[ndarray, "*n 3"]) -> tuple[Float[ndarray, "*n 2"], Float[ndarray, "*n"]]:
        """Pixels and depths of points; pixels of points that are not in front mean nothing."""
        turned = (points - self.eye) @ self.axes.T
        depth = turned[..., 2]
        safe = np.where(depth > 1e-3, depth, 1e-3)[..., None]
        middle = (np.array(self.size) - 1) / 2
        return turned[..., :2] / safe * self.focal + middle, depth


def find_viewpoint(
    bodies: Float[ndarray, "vertices 3"],
    up: Float[ndarray, "3"],
    walls: Float[ndarray, "points 3"],
    normals: Float[ndarray, "points 3"],
    size: tuple[int, int],
) -> Viewpoint:
    """Look at bodies from where they are seen at their widest: who lies from aside, two of them side by side.

    Directions from which scene points hide them come last; of equal ones the first is taken.

    Args:
        bodies: vertices of all of them, camera frame, metres.
        up: against gravity, same frame, length 1.
        walls, normals: points of the scene and which way they face, same frame.
        size: (width, height) of the picture, pixels.
    """
    low, high = np.percentile(bodies, [0.5, 99.5], axis=0)  # single vertices may run away
    middle, ahead = (low + high) / 2, np.array([0.0, 0, 1])
    level = unit(ahead - (ahead @ up) * up if abs(ahead @ up) < 0.95 else np.array([0.0, -1, 0]))
    views = [_placed(bodies, middle, up, _turned(level, up, turn), size) for turn in _TURNS_DEG]
    return min(views, key=lambda view: (_in_the_way(view, walls, normals) > _FEW, -_width(view, bodies)))


def _turned(level: Float[ndarray, "3"], up: Float[ndarray, "3"], degrees: float) -> Float[ndarray, "3"]:
    """A level direction turned about up, clockwise seen from above, and tipped down."""
    turn, tip = np.deg2rad(degrees), np.deg2rad(_ABOVE_DEG)
    around = np.cos(turn) * level + np.sin(turn) * np.cross(level, up)
    forward: Float[ndarray, "3"] = np.cos(tip) * around - np.sin(tip) * up
    return forward


def _placed(
    bodies: Float[ndarray, "vertices 3"],
    middle: Float[ndarray, "3"],
    up: Float[ndarray, "3"],
    forward: Float[ndarray, "3"],
    size: tuple[int, int],
) -> Viewpoint:
    """As far away as the bodies need to be seen whole."""
    right = unit(np.cross(forward, up))
    axes = np.stack([right, np.cross(forward, right), forward])
    across, along, ahead = np.moveaxis((bodies - middle) @ axes.T, 1, 0)
    wanted = np.maximum(np.abs(along), np.abs(across) * size[1] / size[0]) / _HALF_VIEW - ahead  # of every vertex
    away = np.clip(np.percentile(wanted, 99.5) * _ROOM, _NEAREST_M, _FARTHEST_M)
    return Viewpoint(eye=middle - forward * away, target=middle, axes=axes, focal=size[1] / 2 / _HALF_VIEW, size=size)


def _width(view: Viewpoint, bodies: Float[ndarray, "vertices 3"]) -> float:
    """How far apart the vertices are in the picture, across; rounded, so that equals are equal."""
    return round(float(((bodies - view.target) @ view.axes[0]).std()), 3)


def _in_the_way(view: Viewpoint, walls: Float[ndarray, "points 3"], normals: Float[ndarray, "points 3"]) -> float:
    """Scene points that face the viewer and lie before the bodies' middle, in the middle of the picture.

    One at half of the middle's depth covers as much as four at that depth, and counts as much.
    """
    walls, normals = walls[::_EVERY], normals[::_EVERY]
    uv, depth = view.look(walls)
    goal = float((view.target - view.eye) @ view.axes[2])
    aside = np.abs(uv - (np.array(view.size) - 1) / 2) / np.array(view.size)  # [points, 2]
    before = (depth > 0) & (depth < goal - 0.35) & (aside[:, 0] < 0.2) & (aside[:, 1] < 0.35)
    before &= ((view.eye - walls) * normals).sum(axis=1) > 0
    return float(((goal / depth[before]) ** 2).sum())
