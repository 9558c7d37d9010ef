"""A pose being put together joint by joint: legs by their angles against the vertical, arms by direction."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sahmr.demo.bodies.rig import BODY_JOINTS, BODY_PARENTS

Array = NDArray[np.float64]

HIP, KNEE, ANKLE, SHOULDER, ELBOW, WRIST = 1, 4, 7, 16, 18, 20  # left joints; the right one is the next
SPINE, NECK, HEAD = (3, 6, 9), 12, 15


@dataclass(slots=True)
class Draft:
    """A pose being put together: local rotations of the 22 body joints; joint 0 is the tilt of the pelvis."""

    rng: np.random.Generator
    rotation: list[Rotation] = field(default_factory=lambda: [Rotation.identity()] * 22)

    def turn(self, joint: int, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
        """Set a joint to a turn about z (spread), then y (twist), then x (bend)."""
        self.rotation[joint] = Rotation.from_euler("zyx", [z, y, x])

    def near(self, mean: float, spread: float) -> float:
        """A number around ``mean``, at most two ``spread`` away."""
        return mean + spread * float(np.clip(self.rng.standard_normal(), -2.0, 2.0))

    def within(self, low: float, high: float) -> float:
        """A number evenly drawn between two bounds."""
        return float(self.rng.uniform(low, high))

    def tilt(self) -> float:
        """Forward tilt of the pelvis, radians."""
        return float(self.rotation[0].as_euler("zyx")[2])

    def leg(self, side: int, lift: float, shin: float, spread: float, foot: float = 0.0) -> None:
        """Pose a leg by angles against the vertical: thigh ``lift`` forward, ``shin`` and ``foot`` tipped back."""
        mirror = 1.0 - 2.0 * side
        tilt = self.tilt()
        self.turn(HIP + side, x=-lift - tilt, z=mirror * spread)
        self.turn(KNEE + side, x=max(shin + lift, 0.02))
        self.turn(ANKLE + side, x=foot - shin, z=-mirror * spread * float(np.cos(lift)))

    def arm(self, side: int, direction: tuple[float, float, float], elbow: float, twist: float = 0.0) -> None:
        """Point the upper arm (x outwards, y up, z forward, chest frame) and bend the elbow, forwards at twist 0."""
        target = np.array(direction) / np.linalg.norm(direction)
        axis = np.cross([1.0, 0.0, 0.0], target)
        length = float(np.linalg.norm(axis))
        swing = Rotation.from_rotvec(axis / max(length, 1e-9) * np.arctan2(length, target[0]))
        self._set_left(SHOULDER, side, swing * Rotation.from_euler("x", twist))
        self._set_left(ELBOW, side, Rotation.from_euler("y", -elbow))
        self._set_left(WRIST, side, Rotation.from_rotvec([self.near(0, 0.12), self.near(0, 0.1), self.near(0, 0.12)]))

    def flat_hand(self, side: int, target: Array) -> None:
        """Turn the wrist so that a left hand lies in the upright body frame as ``target`` says; right mirrored."""
        upper = self.global_rotation(ELBOW + side)
        wanted = Rotation.from_matrix(target)
        if side:
            wanted = _mirrored(wanted)
        self.rotation[WRIST + side] = upper.inv() * wanted

    def spine(self, bend: float, twist: float, side: float = 0.0) -> None:
        """Share a bend (forward), twist and side bend among the three spine joints."""
        for joint in SPINE:
            self.turn(joint, x=bend / 3, y=twist / 3, z=side / 3)

    def look(self, down: float, turn: float) -> None:
        """Share a nod and a turn of the head between neck and head."""
        for joint in (NECK, HEAD):
            self.turn(joint, x=down / 2, y=turn / 2)

    def global_rotation(self, joint: int) -> Rotation:
        """Rotation of a joint in the upright body frame, pelvis tilt included."""
        result = self.rotation[joint]
        while (joint := BODY_PARENTS[joint]) >= 0:
            result = self.rotation[joint] * result
        return result

    def joints(self) -> Array:
        """Joints [22, 3] of the mean person in the upright body frame, metres, pelvis at the origin."""
        place, turned = [np.zeros(3)], [self.rotation[0]]
        for joint in range(1, 22):
            parent = BODY_PARENTS[joint]
            place.append(place[parent] + turned[parent].apply(BODY_JOINTS[joint] - BODY_JOINTS[parent]))
            turned.append(turned[parent] * self.rotation[joint])
        return np.stack(place)

    def _set_left(self, joint: int, side: int, rotation: Rotation) -> None:
        self.rotation[joint + side] = _mirrored(rotation) if side else rotation


def _mirrored(rotation: Rotation) -> Rotation:
    return Rotation.from_rotvec(rotation.as_rotvec() * [1.0, -1.0, -1.0])
