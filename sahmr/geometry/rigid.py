"""Rigid transforms of torch points: ``camera_from_world`` applied and undone."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def apply_rigid(transform: Float[Tensor, "4 4"], points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """Move points: ``x_camera = camera_from_world @ x_world``.

    Args:
        transform: rotation and translation, metres; the last row is not read.
        points: in the frame the transform starts from, metres.
    """
    return points @ transform[:3, :3].T + transform[:3, 3]


def undo_rigid(transform: Float[Tensor, "4 4"], points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """Inverse of :func:`apply_rigid`, the rotation taken as orthonormal: ``x_world = R^T (x_camera - t)``."""
    return (points - transform[:3, 3]) @ transform[:3, :3]
