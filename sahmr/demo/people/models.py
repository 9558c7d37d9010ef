"""Bends SMPL-X bodies out of the body-model files, and says what the people wear.

Body frame: y up, facing +z, metres. All sums are einsum or sparse products in double precision, never BLAS, so the
bytes that come out do not depend on threads or workers.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]

NUM_BETAS, NUM_EXPRESSIONS, NUM_HAND_PCA = 10, 10, 12
# SMPL-X joint numbers
PELVIS, L_HIP, R_HIP, L_KNEE, R_KNEE, L_ANKLE, R_ANKLE = 0, 1, 2, 4, 5, 7, 8
L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST = 16, 17, 18, 19, 20, 21


def rotation_matrices(vectors: Array) -> Array:
    """Axis-angle vectors [n, 3] to rotation matrices [n, 3, 3]."""
    angle = np.sqrt((vectors**2).sum(1))
    axis = vectors / np.maximum(angle, 1e-12)[:, None]
    cross = np.zeros((len(vectors), 3, 3))
    cross[:, [2, 0, 1], [1, 2, 0]] = axis
    cross[:, [1, 2, 0], [2, 0, 1]] = -axis
    square = np.einsum("nij,njk->nik", cross, cross)
    s, c = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.asarray(np.eye(3) + s * cross + (1 - c) * square)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyParams:
    """SMPL-X parameters of one body, axis-angle radians and metres; hands are PCA coefficients."""

    betas: Array
    global_orient: Array
    transl: Array
    body_pose: Array
    left_hand_pose: Array
    right_hand_pose: Array
    jaw_pose: Array = field(default_factory=lambda: np.zeros(3))
    leye_pose: Array = field(default_factory=lambda: np.zeros(3))
    reye_pose: Array = field(default_factory=lambda: np.zeros(3))
    expression: Array = field(default_factory=lambda: np.zeros(NUM_EXPRESSIONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyModel:
    """One sex of SMPL-X, as read from ``smplx/SMPLX_<GENDER>.npz``."""

    template: Array
    shape_directions: Array
    pose_directions: NDArray[np.float32]
    regressor: sp.csr_matrix
    weights: Array
    sparse_weights: sp.csr_matrix
    parents: tuple[int, ...]
    faces: NDArray[np.int64]
    hand_components: tuple[Array, Array]
    hand_mean: tuple[Array, Array]

    def rest(self, betas: Array, expression: Array) -> Array:
        """Shaped T-pose vertices [10475, 3]."""
        offsets = np.einsum("vkb,b->vk", self.shape_directions, np.concatenate([betas, expression]))
        return np.asarray(self.template + offsets)

    def joints(self, rest: Array) -> Array:
        """Rest joints [55, 3] of a shaped body."""
        return np.asarray(self.regressor @ rest)

    def full_pose(self, params: BodyParams) -> Array:
        """All 55 joint rotations [55, 3]; hands as the library makes them with ``flat_hand_mean=False``."""
        hands = [
            mean + np.einsum("c,cp->p", coefficients, components[:NUM_HAND_PCA])
            for coefficients, components, mean in zip(
                (params.left_hand_pose, params.right_hand_pose), self.hand_components, self.hand_mean, strict=True
            )
        ]
        parts = [params.global_orient, params.body_pose, params.jaw_pose, params.leye_pose, params.reye_pose, *hands]
        return np.concatenate(parts).reshape(-1, 3)

    def transforms(self, rest_joints: Array, rotations: Array) -> tuple[Array, Array]:
        """Global rotations [55, 3, 3] and positions [55, 3] of the joints, root at its rest place."""
        turn, place = np.zeros((55, 3, 3)), np.zeros((55, 3))
        turn[0], place[0] = rotations[0], rest_joints[0]
        for j in range(1, 55):
            p = self.parents[j]
            turn[j] = np.einsum("ij,jk->ik", turn[p], rotations[j])
            place[j] = place[p] + np.einsum("ij,j->i", turn[p], rest_joints[j] - rest_joints[p])
        return turn, place

    def vertices(self, params: BodyParams) -> Array:
        """Posed vertices [10475, 3], in whatever frame ``global_orient`` and ``transl`` are given in."""
        rest = self.rest(params.betas, params.expression)
        rest_joints = self.joints(rest)
        rotations = rotation_matrices(self.full_pose(params))
        feature = (rotations[1:] - np.eye(3)).reshape(-1).astype(np.float32)
        offsets = np.zeros(rest.size, np.float32)
        for start in range(0, len(feature), 9):  # nine rows at a time: stays in cache and is never a BLAS call
            if np.abs(feature[start : start + 9]).max() > 1e-6:
                for row in range(start, start + 9):
                    offsets += feature[row] * self.pose_directions[row]
        shaped = rest + offsets.reshape(-1, 3)
        turn, place = self.transforms(rest_joints, rotations)
        shift = place - np.einsum("jik,jk->ji", turn, rest_joints)
        motion = self.sparse_weights @ np.concatenate([turn.reshape(55, 9), shift], 1)
        posed = np.einsum("vik,vk->vi", motion[:, :9].reshape(-1, 3, 3), shaped) + motion[:, 9:]
        return np.asarray(posed + params.transl)


@lru_cache(maxsize=3)
def load_body_model(root: Path, gender: str) -> BodyModel:
    """Read one SMPL-X file below the body-model root; ``gender`` is male, female or neutral."""
    with np.load(root / "smplx" / f"SMPLX_{gender.upper()}.npz", allow_pickle=True) as file:
        shapes = np.asarray(file["shapedirs"], dtype=np.float64)
        middle = 300 if shapes.shape[2] > 300 else shapes.shape[2] - NUM_EXPRESSIONS
        picked = [*range(NUM_BETAS), *range(middle, middle + NUM_EXPRESSIONS)]
        pose = np.asarray(file["posedirs"], dtype=np.float32)
        parents = np.asarray(file["kintree_table"])[0].astype(np.int64)
        weights = np.asarray(file["weights"], dtype=np.float64)
        return BodyModel(
            template=np.asarray(file["v_template"], dtype=np.float64),
            shape_directions=np.ascontiguousarray(shapes[:, :, picked]),
            pose_directions=np.ascontiguousarray(pose.reshape(-1, pose.shape[2]).T),
            regressor=sp.csr_matrix(np.asarray(file["J_regressor"], dtype=np.float64)),
            weights=weights,
            sparse_weights=sp.csr_matrix(weights),
            parents=(-1, *(int(p) for p in parents[1:])),
            faces=np.asarray(file["f"]).astype(np.int64),
            hand_components=(np.asarray(file["hands_componentsl"]), np.asarray(file["hands_componentsr"])),
            hand_mean=(np.asarray(file["hands_meanl"]).reshape(-1), np.asarray(file["hands_meanr"]).reshape(-1)),
        )
