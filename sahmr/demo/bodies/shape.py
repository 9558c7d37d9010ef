"""How made-up people differ: shape directions, sexes and facial expressions as functions of rest position.

Body frame (y up, facing +z, +x is the person's left), metres. Every field is a function of position, so SMPL and
SMPL-X bodies with equal betas are the same person.
"""

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.bodies.rig import BODY_JOINTS, skin_weights

Array = NDArray[np.float64]

# The bone that each of the 24 body joints carries, as (start joint, end joint).
_BONES = (
    (0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 8), (6, 9), (7, 10), (8, 11), (9, 12), (7, 10), (8, 11),
    (12, 15), (13, 16), (14, 17), (15, 15), (16, 18), (17, 19), (18, 20), (19, 21), (20, 22), (21, 23),
    (20, 22), (21, 23),
)  # fmt: skip


def _bump(points: Array, center: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
    """A bell of height 1 around a point and, mirrored, around its twin; [n]."""
    mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], 1)
    return np.asarray(np.exp(-(((mirrored - np.array(center)) / np.array(radii)) ** 2).sum(1)))


def _from_axis(points: Array, weights: Array) -> Array:
    """Vectors [n, 3] from the (blended) bone axes to the points."""
    axis = np.zeros_like(points)
    for bone, (first, last) in enumerate(_BONES):
        start, along = BODY_JOINTS[first], BODY_JOINTS[last] - BODY_JOINTS[first]
        if bone in (0, 3, 6, 9, 12, 15):  # spine and head: one upright line
            start, along = np.array([0.0, 0.0, -0.005 if bone < 12 else 0.01]), np.array([0.0, 1.0, 0.0])
        t = (points - start) @ along / max(float(along @ along), 1e-9)
        axis += weights[:, [bone]] * (start + t[:, None] * along)
    return points - axis


def _girth(points: Array, weights: Array, gain: dict[int, float]) -> Array:
    """Displacement [n, 3] that thickens around the bones; ``gain`` maps a left or middle joint to a fraction."""
    factor = np.zeros(len(points))
    for joint, amount in gain.items():
        factor += amount * weights[:, joint]
        if joint not in (0, 3, 6, 9, 12, 15):
            factor += amount * weights[:, joint + 1]
    return _from_axis(points, weights) * factor[:, None]


def _carry(points: Array, weights: Array, shift: Array) -> Array:
    """Displacement [n, 3] when the 24 joints move by ``shift`` [24, 3] and bones stretch in between."""
    moved = np.zeros_like(points)
    for bone, (first, last) in enumerate(_BONES):
        along = BODY_JOINTS[last] - BODY_JOINTS[first]
        t = np.clip((points - BODY_JOINTS[first]) @ along / max(float(along @ along), 1e-9), 0.0, 1.0)[:, None]
        moved += weights[:, [bone]] * ((1 - t) * shift[first] + t * shift[last])
    return moved


def _shift(moves: dict[int, tuple[float, float, float]]) -> Array:
    """Joint shifts [24, 3] from the left or middle joints' moves; right twins mirror them."""
    shift = np.zeros((24, 3))
    for joint, move in moves.items():
        shift[joint] = move
        if joint not in (0, 3, 6, 9, 12, 15):
            shift[joint + 1] = np.array(move) * [-1.0, 1.0, 1.0]
    return shift


def shape_fields(points: Array) -> Array:
    """Displacements [n, 3, 10] per unit beta at rest points [n, 3].

    0 size, 1 weight, 2 leg length, 3 shoulder width, 4 belly, 5 muscle, 6 hip width, 7 torso length, 8 arm length,
    9 head size and nose.
    """
    weights = skin_weights(points, "smpl")
    zero = np.zeros(len(points))
    hip_down: dict[int, tuple[float, float, float]] = {4: (0, -0.010, 0), 7: (0, -0.022, 0), 10: (0, -0.022, 0)}
    wide = dict.fromkeys((16, 18, 20, 22), (0.012, 0.0, 0.0)) | {13: (0.006, 0.0, 0.0)}
    hips = dict.fromkeys((1, 4, 7, 10), (0.006, 0.0, 0.0))
    up = {3: 0.004, 6: 0.009, 9: 0.011} | dict.fromkeys((12, 13, 15, 16, 18, 20, 22), 0.017)
    arms = {18: (0.008, 0.0, 0.0), 20: (0.016, 0.0, 0.0), 22: (0.018, 0.0, 0.0)}
    belly = _bump(points, (0.0, -0.08, 0.08), (0.13, 0.12, 0.09))
    seat = _bump(points, (0.075, -0.33, -0.09), (0.09, 0.10, 0.07))
    head = weights[:, [15]] * (points - BODY_JOINTS[15])
    nose = _bump(points, (0.0, 0.425, 0.115), (0.018, 0.03, 0.03))
    fields = [
        0.034 * (points - [0.0, -0.22, 0.0]),
        _girth(points, weights, {0: 0.10, 3: 0.11, 6: 0.10, 9: 0.08, 1: 0.10, 4: 0.06, 12: 0.05, 13: 0.06, 15: 0.015,
                                 16: 0.11, 18: 0.06, 7: 0.02, 20: 0.02})
        + np.stack([zero, zero, 0.018 * belly - 0.008 * seat], 1),
        _carry(points, weights, _shift(hip_down)),
        _carry(points, weights, _shift(wide)) + _girth(points, weights, {9: 0.03}),
        np.stack([zero, -0.004 * belly, 0.020 * belly], 1) + _girth(points, weights, {3: 0.03}),
        _girth(points, weights, {9: 0.04, 13: 0.07, 16: 0.08, 18: 0.06, 1: 0.05, 4: 0.06, 3: -0.04, 12: 0.04}),
        _carry(points, weights, _shift(hips)) + _girth(points, weights, {0: 0.04, 1: 0.03}),
        _carry(points, weights, _shift({joint: (0.0, rise, 0.0) for joint, rise in up.items()})),
        _carry(points, weights, _shift(arms)),
        0.03 * head + np.stack([zero, -0.001 * nose, 0.004 * nose], 1),
    ]  # fmt: skip
    return np.stack(fields, 2)


def sex_offset(points: Array, fields: Array, sex: str) -> Array:
    """Displacement [n, 3] from the neutral person to the mean ``male`` or ``female`` one; zero for ``neutral``.

    ``fields`` are the ``shape_fields`` of the same points.
    """
    if sex == "neutral":
        return np.zeros_like(points)
    if sex == "male":
        betas = np.array([0.95, 0.0, 0.1, 1.25, 0.15, 1.1, -0.6, 0.0, 0.3, 0.1])
        return np.asarray(fields @ betas)
    if sex == "female":
        betas = np.array([-0.95, -0.1, 0.0, -1.1, -0.2, -1.0, 1.3, -0.1, -0.3, 0.0])
        bust = _bump(points, (0.072, 0.105, 0.11), (0.052, 0.052, 0.06))
        waist = _girth(points, skin_weights(points, "smpl"), {3: -0.07, 12: -0.06, 6: -0.03})
        jaw = _bump(points, (0.050, 0.365, 0.03), (0.03, 0.035, 0.05)) * np.sign(points[:, 0])
        soft = bust[:, None] * [0.004, -0.006, 0.034] - jaw[:, None] * [0.008, 0.0, 0.0]
        return np.asarray(fields @ betas + waist + soft)
    raise ValueError(f"unknown sex {sex!r}; use neutral, male or female")


def expression_fields(points: Array) -> Array:
    """Displacements [n, 3, 10] per unit expression coefficient: smile, brows, lips, cheeks; later ones are faint."""
    mouth = _bump(points, (0.022, 0.378, 0.10), (0.012, 0.012, 0.02))
    lips = _bump(points, (0.0, 0.378, 0.105), (0.02, 0.012, 0.015))
    brow = _bump(points, (0.030, 0.465, 0.095), (0.025, 0.012, 0.02))
    cheek = _bump(points, (0.040, 0.405, 0.075), (0.02, 0.02, 0.02))
    side = np.sign(points[:, 0])
    zero = np.zeros(len(points))
    moves = [(0.002 * side * mouth, 0.003 * mouth, zero), (zero, 0.004 * brow, zero), (zero, zero, 0.004 * lips),
             (0.003 * side * cheek, zero, 0.002 * cheek)]  # fmt: skip
    fields = [np.stack(move, 1) for move in moves]
    fields += [fields[k % 4] * 0.3 * (-1.0) ** k for k in range(6)]
    return np.stack(fields, 2)
