"""Linear blend skinning in numpy: shape and pose parameters to vertices, the same bytes on every machine.

Sums go through ``einsum`` and sparse products, never through BLAS, whose rounding depends on the processor.
Source: Loper et al., "SMPL", 2015; Pavlakos et al., "SMPL-X", 2019. Parity with the `smplx` package is a test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sahmr.body.model import BodyModel
from sahmr.errors import BodyModelError

Array = NDArray[np.float64]
_HAND_JOINTS = 15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BodyParams:
    """Parameters of one body: axis-angle radians, metres, in whatever frame ``global_orient`` and ``transl`` are.

    Attributes:
        betas: up to the model's number of shape coefficients.
        global_orient, transl: [3].
        body_pose: [63] (SMPL-H, SMPL-X) or [69] (SMPL).
        left_hand_pose, right_hand_pose: fewer than 45 numbers: PCA coefficients about the *mean* hand (RICH, PROX);
            45 numbers: axis-angles of the 15 joints about the *flat* hand (SMPL-H re-fits). None: the mean hand
            of SMPL-X, the flat hand of SMPL-H.
        flat_hand: what given hand poses are about, flat (True) or mean hand; None: as their lengths say, see above.
        jaw_pose, leye_pose, reye_pose: [3], SMPL-X only.
        expression: [10], SMPL-X only.
    """

    betas: Array
    global_orient: Array
    transl: Array
    body_pose: Array
    left_hand_pose: Array | None = None
    right_hand_pose: Array | None = None
    flat_hand: bool | None = None
    jaw_pose: Array | None = None
    leye_pose: Array | None = None
    reye_pose: Array | None = None
    expression: Array | None = None


def rotation_matrix(axis_angle: Array) -> Array:
    """[3] axis-angle, radians, to a [3, 3] rotation (Rodrigues)."""
    x, y, z = (float(value) for value in axis_angle)
    # R = c I + s [u]x + (1 - c) u u^T with the unit axis u, written out.
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = x / angle, y / angle, z / angle
    s, c = math.sin(angle), math.cos(angle)
    k = 1.0 - c
    return np.array(
        [
            [c + k * x * x, k * x * y - s * z, k * x * z + s * y],
            [k * x * y + s * z, c + k * y * y, k * y * z - s * x],
            [k * x * z - s * y, k * y * z + s * x, c + k * z * z],
        ]
    )


def _hand(model: BodyModel, side: int, pose: Array | None, flat_hand: bool | None) -> Array:
    """[45] axis-angles of one hand; see :class:`BodyParams` for the conventions."""
    assert model.hand_components is not None and model.hand_means is not None
    if pose is None:
        return model.hand_means[side] if model.kind == "smplx" else np.zeros(_HAND_JOINTS * 3)
    if len(pose) > _HAND_JOINTS * 3:
        raise BodyModelError(f"a hand pose has {len(pose)} numbers; allowed: at most {_HAND_JOINTS * 3}")
    is_full = len(pose) == _HAND_JOINTS * 3
    offset: Array = pose if is_full else np.einsum("i,ij->j", pose, model.hand_components[side][: len(pose)])
    is_flat = is_full if flat_hand is None else flat_hand
    return offset if is_flat else model.hand_means[side] + offset


def _full_pose(model: BodyModel, params: BodyParams) -> Array:
    """[joints, 3] axis-angles in the model's joint order."""
    zero = np.zeros(3)
    parts = [params.global_orient, params.body_pose]
    if model.kind == "smplx":
        parts += [zero if part is None else part for part in (params.jaw_pose, params.leye_pose, params.reye_pose)]
    if model.kind != "smpl":
        parts += [
            _hand(model, 0, params.left_hand_pose, params.flat_hand),
            _hand(model, 1, params.right_hand_pose, params.flat_hand),
        ]
    pose = np.concatenate(parts)
    if pose.size != len(model.parents) * 3:
        raise BodyModelError(
            f"the pose has {pose.size} numbers (body_pose {params.body_pose.size}), "
            f"a {model.kind} model takes {len(model.parents) * 3}"
        )
    return pose.reshape(-1, 3)


def shape_vertices(model: BodyModel, betas: Array, expression: Array | None = None) -> Array:
    """[V, 3] rest vertices of one shape; a model without expressions ignores them.

    Raises:
        BodyModelError: if there are more coefficients than directions in the model.
    """
    if len(betas) > model.num_betas:
        raise BodyModelError(f"{len(betas)} betas, the model keeps {model.num_betas}; raise bodies.num_betas")
    coefficients = np.zeros(model.shape_dirs.shape[2])
    coefficients[: len(betas)] = betas
    if expression is not None and model.kind == "smplx":
        coefficients[model.num_betas : model.num_betas + len(expression)] = expression
    vertices: Array = model.v_template + np.einsum("vci,i->vc", model.shape_dirs, coefficients)
    return vertices


def rotation_matrices(model: BodyModel, params: BodyParams) -> Array:
    """[joints, 3, 3] rotation of every joint against its parent.

    Raises:
        BodyModelError: if the parameters do not fit the model.
    """
    return np.stack([rotation_matrix(axis_angle) for axis_angle in _full_pose(model, params)])


def place_joints(model: BodyModel, rotations: Array, rest_joints: Array) -> tuple[Array, Array]:
    """Follow the kinematic tree from the root, which stays where it rests.

    Args:
        model: whose tree.
        rotations: [joints, 3, 3] against the parent.
        rest_joints: [joints, 3], metres, body frame.

    Returns:
        Rotation [joints, 3, 3] against the frame of ``global_orient``, and position [joints, 3] in it, metres.
    """
    turn, place = np.empty_like(rotations), np.empty_like(rest_joints)  # forward kinematics: parents come first
    turn[0], place[0] = rotations[0], rest_joints[0]
    for joint, parent in enumerate(model.parents[1:], start=1):
        turn[joint] = np.einsum("ij,jk->ik", turn[parent], rotations[joint])
        place[joint] = place[parent] + np.einsum("ij,j->i", turn[parent], rest_joints[joint] - rest_joints[parent])
    return turn, place


def _pose_offsets(model: BodyModel, rotations: Array) -> Array:
    """[V, 3] pose-dependent offsets; joints at rest cost nothing. Summed in float32, as the files store them."""
    total = np.zeros(model.pose_dirs.shape[1], dtype=np.float32)  # [3 V]
    # [joints - 1, 9]; R - I, SMPL's pose feature
    features = (rotations[1:] - np.eye(3)).reshape(-1, 9).astype(np.float32)
    for joint in np.flatnonzero(features.any(axis=1)):
        for feature, direction in zip(features[joint], model.pose_dirs[9 * joint : 9 * joint + 9], strict=True):
            total += feature * direction
    return total.reshape(-1, 3).astype(np.float64)


def pose_body(model: BodyModel, params: BodyParams) -> Array:
    """Vertices of a posed body.

    Returns:
        [V, 3] float64, metres, in the frame of ``global_orient`` and ``transl``.

    Raises:
        BodyModelError: if the parameters do not fit the model.
    """
    rest = shape_vertices(model, params.betas, params.expression)  # [V, 3]
    rest_joints = model.joint_regressor @ rest  # [joints, 3]
    rotations = rotation_matrices(model, params)
    turn, place = place_joints(model, rotations, rest_joints)
    shift = place - np.einsum("jik,jk->ji", turn, rest_joints)  # a joint moves x to turn x + shift
    motion = model.weights @ np.concatenate([turn.reshape(-1, 9), shift], axis=1)  # [V, 12], blended
    shaped = rest + _pose_offsets(model, rotations)
    posed = np.einsum("vik,vk->vi", motion[:, :9].reshape(-1, 3, 3), shaped) + motion[:, 9:]
    return np.asarray(posed + params.transl)
