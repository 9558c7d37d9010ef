"""Poses of everyday life for the made-up people: stand, walk, sit, lie, lean, reach, squat.

Angles are radians. In the body frame (y up, facing +z, +x is the person's left) a positive turn about x tips
forward: it bends a knee, and a negative one lifts a thigh. The world is z-up; at yaw 0 a person faces +x.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sahmr.demo.people.pose_draft import Draft

Array = NDArray[np.float64]

POSE_KINDS = ("stand", "walk", "sit", "lie", "lean", "reach", "squat")

# Body frame (y up, facing +z) to a z-up world, facing +x, left side towards +y.
WORLD_FROM_BODY: Array = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
# The same person on the back, feet towards +x, face up.
WORLD_FROM_SUPINE: Array = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])

_KNEE_HEIGHT, _THIGH, _SEAT_TO_HIP = 0.482, 0.376, 0.105  # of the mean person, metres
# Left hand, thumb inwards: palm down with fingers forward, and palm forward with fingers up.
_PALM_DOWN: Array = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
_PALM_FORWARD: Array = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseSample:
    """One pose for SMPL-X with 12 hand components.

    Attributes:
        kind: one of ``POSE_KINDS``.
        body_pose: [63], axis-angle of joints 1..21, radians.
        left_hand_pose: [12], coefficients of the hand pose components.
        right_hand_pose: [12].
        root_rotation: [3, 3], body frame to z-up world, tilt of the pelvis included, facing +x.
        touches: names of contact parts (``body_tables.PART_NAMES``) meant to touch something: soles the floor,
            gluteus and thighs a seat, back a bed or back rest, hands whatever ``hand_surface`` says.
        seat_height_m: seat above the floor for ``sit``, 0 for other kinds.
        hand_surface: "table" (palm down), "wall" (palm forward) or "" when the hands touch nothing planned.
    """

    kind: str
    body_pose: Array
    left_hand_pose: Array
    right_hand_pose: Array
    root_rotation: Array
    touches: tuple[str, ...]
    seat_height_m: float = 0.0
    hand_surface: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meaning:
    """What a posed draft is meant to do."""

    touches: tuple[str, ...]
    world: Array = field(default_factory=lambda: WORLD_FROM_BODY)
    seat_height_m: float = 0.0
    hand_surface: str = ""
    curl: float = 0.3


def sample_pose(kind: str, rng: np.random.Generator, *, seat_height_m: float = 0.45) -> PoseSample:
    """Draw one pose of a kind.

    Args:
        kind: one of ``POSE_KINDS``.
        rng: the only source of variation.
        seat_height_m: seat above the floor, 0.25 to 0.8; used by ``sit`` alone.
    """
    if kind not in _MAKERS:
        raise ValueError(f"unknown pose kind {kind!r}; use one of {', '.join(POSE_KINDS)}")
    draft = Draft(rng)
    meaning = _sit(draft, seat_height_m) if kind == "sit" else _MAKERS[kind](draft)
    body_pose = np.concatenate([rotation.as_rotvec() for rotation in draft.rotation[1:]])
    return PoseSample(
        kind=kind,
        body_pose=body_pose,
        left_hand_pose=_hand(rng, meaning.curl),
        right_hand_pose=_hand(rng, meaning.curl),
        root_rotation=meaning.world @ draft.rotation[0].as_matrix(),
        touches=meaning.touches,
        seat_height_m=meaning.seat_height_m,
        hand_surface=meaning.hand_surface,
    )


def yaw_rotation(yaw: float) -> Array:
    """Rotation [3, 3] about the world's z axis; put it in front of ``root_rotation`` to face another way."""
    return np.asarray(Rotation.from_euler("z", yaw).as_matrix())


def _hand(rng: np.random.Generator, curl: float) -> Array:
    """Hand coefficients: component 0 curls, 1 spreads; the mean pose is already slightly curled."""
    coefficients = rng.normal(0.0, 0.08, 12)
    coefficients[0] += 3.0 * (curl - 0.3)
    return np.asarray(coefficients)


def _hanging_arms(draft: Draft) -> None:
    for side in (0, 1):
        direction = (draft.within(0.16, 0.38), -1.0, draft.near(0.02, 0.10))
        draft.arm(side, direction, draft.within(0.1, 0.7), draft.near(0.0, 0.25))


def _stand(draft: Draft) -> _Meaning:
    draft.turn(0, x=draft.near(0.02, 0.03))
    for side in (0, 1):
        draft.leg(side, draft.near(0.03, 0.05), draft.within(0.0, 0.08), draft.within(0.02, 0.16))
    draft.spine(draft.near(0.03, 0.06), draft.near(0.0, 0.12), draft.near(0.0, 0.04))
    draft.look(draft.near(0.05, 0.15), draft.near(0.0, 0.3))
    _hanging_arms(draft)
    for side in (0, 1):
        gesture = draft.rng.random()
        if gesture < 0.15:  # hand on the hip
            draft.arm(side, (0.85, -1.0, -0.25), 1.75, -0.35)
        elif gesture < 0.35:  # forearm in front, as if holding something
            draft.arm(side, (draft.within(0.1, 0.3), -1.0, 0.1), draft.within(1.2, 1.8), 0.3)
    return _Meaning(touches=("L_Leg", "R_Leg"))


def _walk(draft: Draft) -> _Meaning:
    stance = int(draft.rng.integers(2))
    phase = draft.within(-1.0, 1.0)  # -1: stance foot in front, 1: stance foot behind
    reach = draft.within(0.25, 0.42)
    lift = -reach * phase
    draft.turn(0, x=draft.within(0.0, 0.08), y=0.12 * phase * (1 - 2 * stance))
    draft.leg(stance, lift, -lift + 0.06, 0.02)
    draft.leg(1 - stance, 1.1 * reach * phase + 0.12, draft.within(0.55, 0.85) - 0.25 * max(phase, 0.0), 0.02, 0.25)
    draft.spine(0.05, -0.2 * phase * (1 - 2 * stance))
    draft.look(draft.near(0.05, 0.1), draft.near(0.0, 0.2))
    for side in (0, 1):
        swing = (phase if side == stance else -phase) * draft.within(0.25, 0.5)
        draft.arm(side, (0.22, -1.0, swing + 0.05), draft.within(0.2, 0.6), draft.near(0.0, 0.15))
    return _Meaning(touches=("L_Leg", "R_Leg")[stance : stance + 1])


def _sit(draft: Draft, seat_height_m: float) -> _Meaning:
    rise = (_KNEE_HEIGHT - seat_height_m - _SEAT_TO_HIP) / _THIGH
    lift = np.pi / 2 + float(np.arcsin(np.clip(rise, -0.8, 0.6)))
    recline = draft.rng.random() < 0.4
    draft.turn(0, x=draft.within(-0.35, -0.2) if recline else draft.near(0.0, 0.08))
    spread = draft.within(0.04, 0.28)
    for side in (0, 1):
        draft.leg(side, lift + draft.near(0.0, 0.02), draft.near(0.0, 0.15), spread + draft.near(0.0, 0.04))
    draft.spine(draft.within(0.0, 0.15) if recline else draft.within(0.0, 0.4), draft.near(0.0, 0.12))
    draft.look(draft.near(0.1, 0.15), draft.near(0.0, 0.3))
    for side in (0, 1):
        direction = (draft.within(0.12, 0.3), -1.0, draft.within(0.15, 0.5))
        draft.arm(side, direction, draft.within(0.7, 1.2), draft.within(0.0, 0.5))
    touches = ("gluteus", "thighs", "L_Leg", "R_Leg") + (("back",) if recline else ())
    return _Meaning(touches=touches, seat_height_m=seat_height_m)


def _lie(draft: Draft) -> _Meaning:
    on_side = draft.rng.random() < 0.35
    if on_side:
        return _lie_on_side(draft)
    draft.spine(draft.near(0.0, 0.05), draft.near(0.0, 0.05))
    draft.look(draft.within(0.0, 0.25), draft.near(0.0, 0.4))
    touches: tuple[str, ...] = ("back", "gluteus")
    for side in (0, 1):
        if draft.rng.random() < 0.3:  # knee up, sole on the ground
            knee = draft.within(0.7, 1.0)
            draft.leg(side, knee, knee * 1.02, draft.within(0.0, 0.1), np.pi / 2 - 0.05)
            touches += (("L_Leg", "R_Leg")[side],)
        else:
            draft.leg(side, draft.within(0.0, 0.05), 0.0, draft.within(0.03, 0.2), draft.within(0.3, 0.6))
        if draft.rng.random() < 0.5:  # arm on the ground
            draft.arm(side, (draft.within(0.4, 1.5), -1.0, -0.08), draft.within(0.05, 0.4), 0.6)
        else:  # hand on the belly
            draft.arm(side, (0.35, -1.0, -0.05), draft.within(1.3, 1.6), 1.0)
    return _Meaning(touches=touches, world=WORLD_FROM_SUPINE)


def _lie_on_side(draft: Draft) -> _Meaning:
    side = int(draft.rng.integers(2))
    draft.spine(draft.within(0.1, 0.4), 0.0)
    draft.look(draft.within(0.0, 0.3), 0.0)
    for leg in (0, 1):
        lift = draft.within(0.3, 1.1)
        draft.leg(leg, lift, draft.within(0.2, 0.7), 0.0 if leg == side else -0.05, 0.4)
    draft.arm(side, (0.25, -0.3, 1.0), draft.within(0.8, 1.4), 1.2)
    draft.arm(1 - side, (0.1, -0.8, 0.6), draft.within(0.7, 1.2), 0.6)
    roll = Rotation.from_euler("x", (1 - 2 * side) * np.pi / 2).as_matrix()
    return _Meaning(touches=(("L_Hand", "R_Hand")[side],), world=roll @ WORLD_FROM_SUPINE)


def _lean(draft: Draft) -> _Meaning:
    if draft.rng.random() < 0.5:
        return _lean_on_wall(draft)
    tilt = draft.within(0.25, 0.55)
    draft.turn(0, x=tilt)
    _hanging_arms(draft)
    for side in (0, 1):
        draft.leg(side, draft.near(0.0, 0.04) - 0.12, 0.14, draft.within(0.03, 0.14))
    draft.spine(draft.within(0.1, 0.3), draft.near(0.0, 0.08))
    draft.look(draft.near(-0.2, 0.15), draft.near(0.0, 0.3))
    hands = [(0,), (1,), (0, 1)][int(draft.rng.integers(3))]
    direction, elbow = (draft.within(0.2, 0.35), -0.78, 0.75), draft.within(0.1, 0.4)
    for side in hands:
        draft.arm(side, direction, elbow)
        draft.flat_hand(side, _PALM_DOWN)
    touches = ("L_Leg", "R_Leg", *(("L_Hand", "R_Hand")[side] for side in hands))
    return _Meaning(touches=touches, hand_surface="table", curl=0.0)


def _lean_on_wall(draft: Draft) -> _Meaning:
    tilt = draft.within(0.05, 0.2)
    draft.turn(0, x=tilt)
    _hanging_arms(draft)
    for side in (0, 1):
        draft.leg(side, -tilt + draft.near(0.0, 0.02), tilt + 0.03, draft.within(0.03, 0.12))
    draft.spine(0.0, draft.near(0.0, 0.06))
    draft.look(draft.near(0.0, 0.15), draft.near(0.0, 0.3))
    hands = [(0,), (1,), (0, 1)][int(draft.rng.integers(3))]
    direction, elbow = (draft.within(0.1, 0.3), draft.within(-0.35, 0.1), 1.0), draft.within(0.1, 0.5)
    for side in hands:
        draft.arm(side, direction, elbow, 0.4)
        draft.flat_hand(side, _PALM_FORWARD)
    touches = ("L_Leg", "R_Leg", *(("L_Hand", "R_Hand")[side] for side in hands))
    return _Meaning(touches=touches, hand_surface="wall", curl=0.0)


def _reach(draft: Draft) -> _Meaning:
    _stand(draft)
    _hanging_arms(draft)
    up = draft.within(-0.2, 1.6)
    draft.spine(draft.near(0.15 if up < 0.5 else -0.05, 0.05), draft.near(0.0, 0.15))
    draft.look(-0.3 * up, draft.near(0.0, 0.15))
    hands = [(0,), (1,), (0, 1)][int(draft.rng.integers(3))]
    for side in hands:
        draft.arm(side, (draft.within(0.1, 0.5), up, 1.0), draft.within(0.05, 0.5), draft.near(0.2, 0.2))
    return _Meaning(touches=("L_Leg", "R_Leg"))


def _squat(draft: Draft) -> _Meaning:
    depth = draft.within(0.5, 1.0)
    tilt = 0.30 + 0.55 * depth
    draft.turn(0, x=tilt)
    spread = draft.within(0.1, 0.3)
    for side in (0, 1):
        draft.leg(side, 0.5 + 1.15 * depth, 0.25 + 0.35 * depth, spread)
    draft.spine(draft.within(0.1, 0.35), draft.near(0.0, 0.06))
    draft.look(draft.near(-0.35, 0.1), draft.near(0.0, 0.15))
    for side in (0, 1):
        draft.arm(side, (draft.within(0.15, 0.4), draft.near(-0.6, 0.15), 1.0), draft.within(0.2, 1.0), 0.3)
    return _Meaning(touches=("L_Leg", "R_Leg"))


_MAKERS: Mapping[str, Callable[[Draft], _Meaning]] = {
    "stand": _stand, "walk": _walk, "sit": lambda draft: _sit(draft, 0.45), "lie": _lie, "lean": _lean,
    "reach": _reach, "squat": _squat,
}  # fmt: skip
