"""Skeleton of the made-up person: joints, smooth skinning weights, joint regressor, pose corrections, hands.

Body frame (y up, facing +z, +x is the person's left), metres. Joint order and parents are those of SMPL, SMPL-H
and SMPL-X. Weights are functions of position alone, so meshes of different topology deform alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

BODY_JOINTS = np.array([
    [0, -0.22, 0.0], [0.078, -0.315, -0.004], [-0.078, -0.315, -0.004], [0, -0.10, -0.015],
    [0.100, -0.69, 0.0], [-0.100, -0.69, 0.0], [0, 0.03, -0.015], [0.092, -1.09, -0.03], [-0.092, -1.09, -0.03],
    [0, 0.09, -0.012], [0.106, -1.148, 0.088], [-0.106, -1.148, 0.088], [0, 0.285, -0.018],
    [0.08, 0.205, -0.012], [-0.08, 0.205, -0.012], [0, 0.375, 0.004], [0.172, 0.226, -0.014], [-0.172, 0.226, -0.014],
    [0.43, 0.22, -0.03], [-0.43, 0.22, -0.03], [0.685, 0.22, -0.03], [-0.685, 0.22, -0.03],
    [0.765, 0.217, -0.029], [-0.765, 0.217, -0.029],
])  # fmt: skip
BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
FACE_JOINTS = np.array([[0, 0.405, 0.018], [0.031, 0.443, 0.092], [-0.031, 0.443, 0.092]])  # jaw, left eye, right eye
# First joint and tip of index, middle, pinky, ring, thumb of the left hand: the order of the publishers' hand joints.
FINGERS = np.array([
    [[0.772, 0.217, 0.0], [0.864, 0.212, 0.006]], [[0.774, 0.217, -0.0205], [0.874, 0.212, -0.0195]],
    [[0.764, 0.217, -0.0605], [0.844, 0.212, -0.0695]], [[0.770, 0.217, -0.041], [0.866, 0.212, -0.044]],
    [[0.706, 0.212, -0.004], [0.757, 0.200, 0.050]],
])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Rest joints [j, 3] and parents (-1 for the root)."""

    joints: Array
    parents: tuple[int, ...]


# joint: (direction of the plane through the joint that parts it from its parent, half width of the seam, metres)
_SEAMS: dict[int, tuple[tuple[float, float, float], float]] = {
    1: ((0.42, -0.90, 0.12), 0.085), 3: ((0, 1, 0), 0.07), 4: ((0, -1, 0), 0.055), 6: ((0, 1, 0), 0.06),
    7: ((0, -0.88, 0.48), 0.040), 9: ((0, 1, 0), 0.06), 10: ((0, -0.25, 0.97), 0.030), 12: ((0, 1, 0.1), 0.035),
    13: ((0.95, 0.30, 0), 0.060), 15: ((0, 0.90, 0.43), 0.045), 16: ((0.92, 0.40, 0), 0.060),
    18: ((1, 0, 0), 0.050), 20: ((1, 0, 0), 0.030), 22: ((1, 0, 0), 0.020),
}  # fmt: skip


def skeleton(kind: str) -> Skeleton:
    """The rest skeleton of ``smpl`` (24 joints), ``smplh`` (52) or ``smplx`` (55)."""
    if kind == "smpl":
        return Skeleton(joints=BODY_JOINTS.copy(), parents=BODY_PARENTS)
    joints, parents = [BODY_JOINTS[:22]], list(BODY_PARENTS[:22])
    if kind == "smplx":
        joints.append(FACE_JOINTS)
        parents += [15, 15, 15]
    for wrist, mirror in ((20, 1.0), (21, -1.0)):
        for finger in FINGERS:
            first = len(parents)
            steps = np.array([0.0, 0.42, 0.70])[:, None]
            joints.append((finger[0] + steps * (finger[1] - finger[0])) * [mirror, 1.0, 1.0])
            parents += [wrist, first, first + 1]
    return Skeleton(joints=np.concatenate(joints), parents=tuple(parents))


def _ramp(value: Array, half_width: float) -> Array:
    """0 below -half_width, 1 above half_width, smooth between."""
    t = np.clip(value / (2 * half_width) + 0.5, 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def _seam(points: Array, joint: int) -> Array:
    """How far points [n, 3] are past a body joint, 0..1; right joints use the mirrored seam."""
    mirror = 1.0
    if joint not in _SEAMS:  # a right joint follows its left twin
        joint, mirror = joint - 1, -1.0
    normal, width = _SEAMS[joint]
    local = points * [mirror, 1.0, 1.0] - BODY_JOINTS[joint]
    past = _ramp(local @ (np.array(normal) / np.linalg.norm(normal)), width)
    if joint == 1:  # the two thighs share the crotch
        past = past * _ramp(points[:, 0] * mirror, 0.022)
    if joint == 13:
        past = past * _ramp(points[:, 1] - 0.135, 0.07) * _ramp(0.36 - points[:, 1], 0.05)
    if joint in (4, 7, 10):  # a leg never takes the other leg along
        past = past * (points[:, 0] * mirror > 0)
    return past


def skin_weights(points: Array, kind: str) -> Array:
    """Skinning weights [n, j] of points [n, 3] near the rest surface; rows are >= 0 and sum to 1."""
    bones = skeleton(kind)
    mass = np.zeros((len(points), len(bones.parents)))
    mass[:, 0] = 1.0
    for parent in range(len(bones.parents)):
        children = [j for j, p in enumerate(bones.parents) if p == parent]
        if not children:
            continue
        share = np.stack([_share(points, child, kind) for child in children], 1)
        share /= np.maximum(share.sum(1, keepdims=True), 1.0)
        mass[:, children] = mass[:, [parent]] * share
        mass[:, parent] *= np.maximum(1.0 - share.sum(1), 0.0)
    return np.asarray(mass / mass.sum(1, keepdims=True))


def _share(points: Array, joint: int, kind: str) -> Array:
    """The part of its parent's motion that a joint takes over at each point, 0..1."""
    if joint < 22 or kind == "smpl":
        return _seam(points, joint)
    if kind == "smplx" and joint < 25:
        return _face_share(points, joint)
    number = joint - (25 if kind == "smplx" else 22)
    side, finger, phalanx = number // 15, number % 15 // 3, number % 3
    return _finger_share(points * [1.0 - 2.0 * side, 1.0, 1.0], finger, phalanx)


def _face_share(points: Array, joint: int) -> Array:
    """Jaw: the lower face; eyes: a spot around the eyeball."""
    if joint == 22:
        lower = _ramp(0.380 - points[:, 1] + 0.25 * (points[:, 2] - 0.10), 0.016)
        return np.asarray(lower * _ramp(points[:, 2] - 0.025, 0.03) * _ramp(points[:, 1] - 0.30, 0.04))
    distance = np.linalg.norm(points - FACE_JOINTS[joint - 22] - [0.0, 0.0, 0.010], axis=1)
    return 0.6 * _ramp(0.010 - distance, 0.005)


def _finger_share(points: Array, finger: int, phalanx: int) -> Array:
    """Fingers part from the palm across their axis; each point belongs to the nearest finger axis."""
    first, tip = FINGERS[:, 0], FINGERS[:, 1]
    axis = (tip - first) / np.linalg.norm(tip - first, axis=1, keepdims=True)
    local = points[:, None] - first
    along = np.einsum("nfk,fk->nf", local, axis)
    away = np.linalg.norm(local - along[..., None] * axis, axis=2)
    length = float(np.linalg.norm(tip[finger] - first[finger]))
    past = _ramp(along[:, finger] - (0.0, 0.42, 0.70)[phalanx] * length, 0.009)
    if phalanx:
        return past
    closeness = np.exp(-((away / 0.007) ** 2).clip(max=50.0)) * (along > -0.02)
    if finger == 4:
        past = past * _ramp(points[:, 2] - 0.25 * (points[:, 0] - 0.706) + 0.002, 0.012)
    return np.asarray(past * closeness[:, finger] / np.maximum(closeness.sum(1), 1e-12))


def joint_regressor(vertices: Array, joints: Array, neighbours: int = 48) -> Array:
    """Weights [j, v], each row summing to 1, that reproduce ``joints`` [j, 3] from ``vertices`` [v, 3].

    A row is the smallest change of a bell over the nearest vertices that makes the affine conditions hold.
    """
    regressor = np.zeros((len(joints), len(vertices)))
    distance, index = cKDTree(vertices).query(joints, k=neighbours)
    for row, (near, chosen) in enumerate(zip(distance, index, strict=True)):
        bell = np.exp(-((near / near[-1]) ** 2))
        bell /= bell.sum()
        system = np.concatenate([vertices[chosen].T - joints[row][:, None], np.ones((1, neighbours))])
        change = np.linalg.pinv(system * bell) @ (np.array([0, 0, 0, 1.0]) - system @ bell)
        regressor[row, chosen] = bell * (1.0 + change)
    return regressor


def pose_directions(vertices: Array, weights: Array, bones: Skeleton, strength: float = 0.34) -> Array:
    """Pose corrections [v, 3, 9 (j - 1)] that give a bent joint back the volume linear skinning takes.

    Uses only the diagonal of (rotation - identity): for a turn about one axis it is cos(angle) - 1 on the two others.
    """
    count = len(bones.parents)
    directions = np.zeros((len(vertices), 3, 9 * (count - 1)))
    below = weights.copy()
    for joint in range(count - 1, 0, -1):
        below[:, bones.parents[joint]] += below[:, joint]
    for joint in range(1, count):
        seam = 4 * below[:, joint] * np.clip(below[:, bones.parents[joint]] - below[:, joint], 0.0, 1.0)
        arm = np.clip(vertices - bones.joints[joint], -0.12, 0.12)
        for k in range(3):
            directions[:, k, 9 * (joint - 1) + 4 * k] = -strength * seam * arm[:, k]
    return directions


def hand_space(rng: np.random.Generator) -> tuple[dict[str, Array], dict[str, Array]]:
    """Orthonormal hand pose components {l, r} [45, 45] and mean poses {l, r} [45], axis-angle, radians.

    Component 0 curls all fingers, 1 spreads them, 2-4 curl index, middle, thumb; the rest is random.
    """
    curl = np.zeros((15, 3))
    curl[:12, 2] = -np.tile([1.0, 1.1, 0.8], 4)
    curl[12:, 1] = [0.3, 0.4, 0.4]
    spread = np.zeros((15, 3))
    spread[[0, 3, 6, 9], 1] = [-0.5, -0.1, 0.8, 0.4]
    rows = [curl.ravel(), spread.ravel()]
    for finger in (0, 1, 4):
        rows.append((curl * (np.arange(15) // 3 == finger)[:, None]).ravel())
    basis = np.concatenate([np.stack(rows), rng.standard_normal((40, 45))])
    q, r = np.linalg.qr(basis.T)
    left = (q * np.sign(np.diag(r))).T
    mean = 0.22 * curl.ravel()
    mirror = np.tile([1.0, -1.0, -1.0], 15)
    return {"l": left, "r": left * mirror}, {"l": mean, "r": mean * mirror}


def kintree(parents: Sequence[int]) -> NDArray[np.uint32]:
    """The publishers' [2, j] table; the root's parent is written as 2**32 - 1."""
    table = np.stack([np.array(parents, dtype=np.int64), np.arange(len(parents))])
    return np.where(table < 0, 2**32 - 1, table).astype(np.uint32)
