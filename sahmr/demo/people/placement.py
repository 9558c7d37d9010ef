"""Puts a drawn pose where it belongs: soles on the floor, seat on the bench, palms on the table or wall."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sahmr.body.model import BodyModel
from sahmr.body.skinning import BodyParams, place_joints, pose_body, rotation_matrices
from sahmr.demo.people.models import leading_joints, rest_joints, rotation_vector
from sahmr.demo.people.pose import PoseSample, sample_pose, yaw_rotation
from sahmr.demo.people.pose_draft import ELBOW, SHOULDER, WRIST
from sahmr.demo.places.room import Room, Spot

Array = NDArray[np.float64]

_SEAT_DEPTH = 0.235  # pelvis behind the front edge of a seat, metres
_LEG_MEAN = 0.93  # hip joint to sole of the mean person, metres
_HANDS = (WRIST, WRIST + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A body in the room frame; ``vertices`` [10475, 3] are those of ``params``."""

    params: BodyParams
    vertices: Array
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One person's body model, shape and rest geometry."""

    model: BodyModel
    betas: Array
    rest_joints: Array
    hand_vertices: NDArray[np.int64]
    seat_vertices: NDArray[np.int64]

    @property
    def scale(self) -> float:
        """Leg length relative to the mean person's."""
        return float((self.rest_joints[1, 1] - self.rest_joints[7, 1] + 0.08) / (_LEG_MEAN - 0.075))


def actor(model: BodyModel, betas: Array) -> Actor:
    """Prepare one person."""
    part = leading_joints(model)
    return Actor(
        model=model,
        betas=betas,
        rest_joints=rest_joints(model, betas, np.zeros(10)),
        hand_vertices=np.flatnonzero((part >= 25) | np.isin(part, _HANDS)),
        seat_vertices=np.flatnonzero(np.isin(part, (0, 1, 2))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A drawn point of a spot and the direction to face."""

    spot: Spot
    place: Array
    yaw: float


def choose_target(room: Room, spot: Spot, kind: str, rng: np.random.Generator) -> Target | None:
    """Draw where on a spot; None when furniture stands there."""
    if spot.facing is None:
        point = np.array(spot.center) + rng.uniform(-1, 1, 2) * spot.extent
        yaw = float(rng.uniform(-np.pi, np.pi))
        blocked = kind != "lie" and room.clearance(np.array([[*point, 0.4]]))[0] < 0.35
        return None if blocked else Target(spot=spot, place=point, yaw=yaw)
    forward = np.array([np.cos(spot.facing), np.sin(spot.facing)])
    shift = rng.uniform(-1, 1, 2) * spot.extent
    point = np.array(spot.center) + shift[0] * forward + shift[1] * np.array([-forward[1], forward[0]])
    free = spot.touch is None and kind in ("squat", "reach")
    return Target(spot=spot, place=point, yaw=float(rng.uniform(-np.pi, np.pi)) if free else spot.facing)


def place(room: Room, target: Target, kind: str, person: Actor, rng: np.random.Generator) -> Placed | None:
    """Draw a pose and settle it on the target; None when it cannot be done without going through things."""
    seed = int(rng.integers(2**31))
    task = _Task(
        spot=target.spot,
        kind=kind,
        person=person,
        seed=seed,
        yaw=target.yaw,
        target=target.place,
        expression=np.random.default_rng([seed, 2]).normal(0, 0.8, 10),
    )
    placed = {"sit": _sit, "lie": _lie, "lean": _lean}.get(kind, _stand)(task)
    return placed if placed is not None and _fits(room, placed) else None


def _fits(room: Room, placed: Placed) -> bool:
    some = placed.vertices[::4]
    middle = (some.min(0) + some.max(0)) / 2
    radius = float(np.sqrt(((some - middle) ** 2).sum(1).max()))
    near = tuple(box for box in room.boxes if box.distance(middle[None])[0] < radius)
    distance = replace(room, boxes=near).distance(some)
    return bool(distance.min() > -0.05 and (distance < -0.015).mean() < 0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    spot: Spot
    kind: str
    person: Actor
    seed: int
    yaw: float
    target: Array
    expression: Array

    def sink(self) -> float:
        """How deep the lowest vertex presses into its support, metres."""
        return 0.005 + 0.005 * ((self.seed % 97) / 97)

    def params(self, sample: PoseSample, yaw: float) -> BodyParams:
        """The drawn pose turned to ``yaw``, not yet moved."""
        turn = np.einsum("ij,jk->ik", yaw_rotation(yaw), sample.root_rotation)
        return BodyParams(
            betas=self.person.betas,
            global_orient=rotation_vector(turn),
            transl=np.zeros(3),
            body_pose=np.asarray(sample.body_pose, dtype=np.float64),
            left_hand_pose=np.asarray(sample.left_hand_pose, dtype=np.float64),
            right_hand_pose=np.asarray(sample.right_hand_pose, dtype=np.float64),
            jaw_pose=np.zeros(3),
            leye_pose=np.zeros(3),
            reye_pose=np.zeros(3),
            expression=self.expression,
        )

    def placed(self, params: BodyParams, vertices: Array, move: Array) -> Placed:
        """The body moved by ``move`` [3]; vertices are rounded to single precision, so no later bit hangs on a sine."""
        moved = (vertices + move).astype(np.float32).astype(np.float64)
        return Placed(params=replace(params, transl=move), vertices=moved, kind=self.kind)


def _stand(task: _Task) -> Placed | None:
    sample = sample_pose(task.kind, np.random.default_rng(task.seed))
    params = task.params(sample, task.yaw)
    vertices = pose_body(task.person.model, params)
    middle = vertices[task.person.seat_vertices].mean(0)
    height = task.spot.support - vertices[:, 2].min() - task.sink()
    return task.placed(params, vertices, np.array([*(task.target - middle[:2]), height]))


def _sit(task: _Task) -> Placed | None:
    seat = task.spot.support / task.person.scale
    forward = np.array([np.cos(task.yaw), np.sin(task.yaw)])
    for correct in (True, False):
        sample = sample_pose("sit", np.random.default_rng(task.seed), seat_height_m=float(np.clip(seat, 0.25, 0.8)))
        params = task.params(sample, task.yaw)
        vertices = pose_body(task.person.model, params)
        hips = vertices[task.person.seat_vertices]
        above = hips[np.einsum("nk,k->n", hips[:, :2] - hips[:, :2].mean(0), forward) < 0.12]
        height = task.spot.support - above[:, 2].min() - task.sink()
        gap = vertices[:, 2].min() + height  # of the soles above the floor
        if correct:
            seat += float(np.clip(gap + 0.006, -0.12, 0.12)) / task.person.scale
    root = vertices[task.person.seat_vertices].mean(0)[:2]
    return task.placed(params, vertices, np.array([*(task.target - _SEAT_DEPTH * forward - root), height]))


def _lie(task: _Task) -> Placed | None:
    sample = sample_pose("lie", np.random.default_rng(task.seed))
    params = task.params(sample, task.yaw + np.pi)  # supine feet point to +x; the spot's facing is the head's
    vertices = pose_body(task.person.model, params)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    height = task.spot.support - vertices[:, 2].min() - 2 * task.sink()
    return task.placed(params, vertices, np.array([*(task.target - middle[:2]), height]))


def _lean(task: _Task) -> Placed | None:
    surface = "wall" if task.spot.touch is None else "table"
    drawn = (sample_pose("lean", np.random.default_rng([task.seed, k])) for k in range(24))
    attempts = (sample for sample in drawn if sample.hand_surface == surface)
    if task.spot.touch is None:
        sample = next(attempts, None)
        return None if sample is None else _lean_on_wall(task, sample)
    height = task.spot.touch
    reachable = next((s for s in attempts if _lower_hands(task, s, height) is not None), None)
    return None if reachable is None else _lean_on_table(task, reachable, height)


def _lean_on_table(task: _Task, sample: PoseSample, touch: float) -> Placed | None:
    wanted = touch
    for _ in range(2):
        bent = _lower_hands(task, sample, wanted)
        if bent is None:
            return None
        params = task.params(bent, task.yaw)
        vertices = pose_body(task.person.model, params)
        height = -vertices[:, 2].min() - task.sink()
        hands = _touching(task, sample, vertices)
        wanted += touch - task.sink() - (vertices[hands, 2].min() + height)
    forward = np.array([np.cos(task.yaw), np.sin(task.yaw)])
    along = np.einsum("nk,k->n", vertices[:, :2], forward)
    low = (vertices[:, 2] + height < touch + 0.05) & ~np.isin(np.arange(len(vertices)), task.person.hand_vertices)
    front = max(along[low].max(), along[hands].max() - 0.35)
    move = task.target - (front + 0.03) * forward + _across(vertices, forward)
    return task.placed(params, vertices, np.array([*move, height]))


def _across(vertices: Array, forward: Array) -> Array:
    """Takes out the sideways offset of the body."""
    side = np.array([-forward[1], forward[0]])
    return np.asarray(-np.einsum("nk,k->n", vertices[:, :2], side).mean() * side)


def _lean_on_wall(task: _Task, sample: PoseSample) -> Placed | None:
    params = task.params(sample, task.yaw)
    vertices = pose_body(task.person.model, params)
    forward = np.array([np.cos(task.yaw), np.sin(task.yaw)])
    along = np.einsum("nk,k->n", vertices[:, :2], forward)
    move = task.target - (along.max() - task.sink()) * forward + _across(vertices, forward)
    return task.placed(params, vertices, np.array([*move, -vertices[:, 2].min() - task.sink()]))


def _touching(task: _Task, sample: PoseSample, vertices: Array) -> NDArray[np.int64]:
    """Vertices of the hands that are meant to touch."""
    part = leading_joints(task.person.model)[task.person.hand_vertices]
    left = (part == 20) | ((part >= 25) & (part < 40))
    use = (left & ("L_Hand" in sample.touches)) | (~left & ("R_Hand" in sample.touches))
    return np.asarray(task.person.hand_vertices[use])


def _lower_hands(task: _Task, sample: PoseSample, height: float) -> PoseSample | None:
    """Swing the touching arms up or down until the wrists are a palm's thickness above ``height``."""
    rotations = rotation_matrices(task.person.model, task.params(sample, 0.0))
    _, place0 = place_joints(task.person.model, rotations, task.person.rest_joints)
    sole = place0[(7, 8), 2].min() - 0.075 * task.person.scale
    pose = np.array(sample.body_pose).reshape(21, 3)
    for side, name in enumerate(("L_Hand", "R_Hand")):
        if name not in sample.touches:
            continue
        swung = _swing_arm(task.person, rotations, side, sole + height + 0.025)
        if swung is None:
            return None
        pose[SHOULDER + side - 1], pose[WRIST + side - 1] = swung
    return replace(sample, body_pose=pose.reshape(-1))


def _swing_arm(person: Actor, rotations: Array, side: int, height: float) -> tuple[Array, Array] | None:
    """Axis-angle of shoulder and wrist that bring the wrist joint to ``height``, the palm turned as it was."""
    turn, place = place_joints(person.model, rotations, person.rest_joints)
    shoulder, elbow, wrist = SHOULDER + side, ELBOW + side, WRIST + side
    arm = place[wrist] - place[shoulder]
    length, from_down = np.sqrt(arm[0] ** 2 + arm[2] ** 2), np.arctan2(arm[0], -arm[2])
    drop = (place[shoulder][2] - height) / length  # cosine of the angle wanted between the arm and straight down
    if not 0.1 < drop < 0.99:
        return None
    angle = from_down - np.arccos(drop)
    c, s = np.cos(angle), np.sin(angle)
    swing = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    parent = turn[person.model.parents[shoulder]]
    new_shoulder = np.einsum("ji,jk,kl->il", parent, swing, turn[shoulder])
    new_elbow = np.einsum("ij,jk->ik", swing, turn[elbow])
    new_wrist = np.einsum("ji,jk->ik", new_elbow, turn[wrist])
    return rotation_vector(new_shoulder), rotation_vector(new_wrist)
