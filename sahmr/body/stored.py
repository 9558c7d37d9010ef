"""Columns of a predictions table that follow from a body's vertices, its root and its camera."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid


def camera_to_world(
    camera_from_world: Float[ndarray, "bodies 4 4"], points: Float[ndarray, "bodies points 3"]
) -> Float[ndarray, "bodies points 3"]:
    """Camera-frame points of several bodies, each with its camera, in the world frame, metres, float64.

    By the exact inverse, not a transpose: published rotations are rounded to about 1e-5.
    """
    pairs = zip(camera_from_world.astype(np.float64), points.astype(np.float64), strict=True)
    moved = [apply_rigid(invert_rigid(camera), body) for camera, body in pairs]
    return np.stack(moved) if moved else points.astype(np.float64)


def body_columns(
    camera_from_world: Float[ndarray, "bodies 4 4"],
    root: Float[ndarray, "bodies 3"],
    vertices: Float[ndarray, "bodies 6890 3"],
    joint_regressor: Float[ndarray, "17 6890"],
) -> dict[str, Float[ndarray, "bodies ..."]]:
    """Camera and joints, and root, vertices and joints in the world frame, under the names of ``PREDICTION_SCHEMA``.

    Args:
        camera_from_world: of each body.
        root, vertices: camera frame, metres.
        joint_regressor: H36M regressor.
    """
    camera = {"root": root[:, None], "vertices": vertices, "joints": joint_regressor @ vertices}
    world = {f"{name}_world": camera_to_world(camera_from_world, points) for name, points in camera.items()}
    return {"camera_from_world": camera_from_world, "joints": camera["joints"], **world}
