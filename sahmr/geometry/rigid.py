"""Rigid transforms of torch points; :func:`sahmr.geometry.rigid_numpy.invert_rigid` gives the way back."""

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
