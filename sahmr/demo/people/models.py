"""The demo's SMPL-X bodies: models read back from the files it wrote, and what posing them needs besides."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.body.model import BodyModel, body_model, read_official
from sahmr.body.skinning import shape_vertices

Array = NDArray[np.float64]

_NUM_BETAS = 10


@lru_cache(maxsize=3)
def load_body_model(root: Path, gender: str) -> BodyModel:
    """Read one SMPL-X file below the body-model root; ``gender`` is male, female or neutral."""
    path = root / "smplx" / f"SMPLX_{gender.upper()}.npz"
    return body_model(read_official(path, "smplx", num_betas=_NUM_BETAS), "smplx", _NUM_BETAS)


def rest_joints(model: BodyModel, betas: Array, expression: Array) -> Array:
    """Joints [55, 3] of a shaped body in T-pose, body frame (y up, facing +z), metres."""
    return np.asarray(model.joint_regressor @ shape_vertices(model, betas, expression))


@lru_cache(maxsize=3)
def leading_joints(model: BodyModel) -> NDArray[np.int64]:
    """Per vertex the joint that moves it most; kept per model, read-only."""
    found = np.asarray(model.weights.argmax(axis=1), dtype=np.int64).ravel()
    found.setflags(write=False)
    return found


def rotation_vector(matrix: Array) -> Array:
    """A rotation matrix [3, 3] to its axis-angle vector [3], angle in 0..pi."""
    quaternion = np.array([1 + np.trace(matrix), *(1 + 2 * matrix[k, k] - np.trace(matrix) for k in range(3))])
    big = int(np.argmax(quaternion))
    odd = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    if big == 0:
        w, xyz = quaternion[0], odd
    else:
        k = big - 1
        w, xyz = odd[k], matrix[k] + matrix[:, k]
        xyz[k] = quaternion[big]
    norm = np.sqrt(w * w + (xyz**2).sum())
    w, xyz = (w, xyz) if w >= 0 else (-w, -xyz)
    length = np.sqrt((xyz**2).sum())
    if length < 1e-12 * norm:
        return np.zeros(3)
    return np.asarray(xyz / length * 2 * np.arctan2(length, w))
