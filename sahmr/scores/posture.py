"""How somebody holds the body, read off the joints: standing, crouching, sitting or lying."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.body.joints import H36M_NECK, H36M_PELVIS, LEFT_LEG, RIGHT_LEG

POSTURES = ("standing", "crouching", "sitting", "lying")
# Ours, in lengths of a person's own leg (thigh + shin). Seats of 45 cm hold the pelvis at up to 0.84; walking and
# leaning keep it above 0.93. Seated people have their ankles 0.28 or more in front, squatting ones within 0.12.
_STANDING_HEIGHT, _FLOOR_HEIGHT = 0.9, 0.25
_BELOW = 0.2
_LYING_DEG = 60.0  # of the trunk from the vertical


def find_posture(joints: Float[Tensor, "17 3"], up: Float[Tensor, "3"]) -> str:
    """One of ``POSTURES``; the first that fits, heights and lengths in leg lengths.

    Standing: the pelvis is at least 0.9 above the lower ankle (also walking, bent over, on one foot). Crouching: it is
    at least 0.25 above it, and the middle of the ankles less than 0.2 aside of it (squatting, knees bent). Lying: the
    trunk is more than 60 degrees from the vertical (also on all fours, or in a push-up). Sitting: all others.

    Args:
        joints: H36M joints of one person, any frame, metres.
        up: against gravity, same frame, length 1.
    """
    legs = torch.stack([joints[list(RIGHT_LEG)], joints[list(LEFT_LEG)]])  # [2, hip knee ankle, 3]
    length = legs.diff(dim=1).norm(dim=2).sum(dim=1).mean()
    pelvis, ankles = joints[H36M_PELVIS], legs[:, 2]
    height = ((pelvis - ankles) @ up).max() / length
    if height >= _STANDING_HEIGHT:
        return "standing"
    away = pelvis - ankles.mean(dim=0)
    aside = (away - (away @ up) * up).norm() / length
    if height >= _FLOOR_HEIGHT and aside < _BELOW:
        return "crouching"
    trunk = joints[H36M_NECK] - pelvis
    along = trunk @ up
    tilt = torch.rad2deg(torch.atan2((trunk - along * up).norm(), along))
    return "lying" if tilt > _LYING_DEG else "sitting"
