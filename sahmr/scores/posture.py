"""How somebody holds the body, read off the joints: standing, crouching, sitting or lying."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.body.joints import H36M_NECK, H36M_PELVIS, LEFT_LEG, RIGHT_LEG
from sahmr.geometry.tree_sum import tree_sum

POSTURES = ("standing", "crouching", "sitting", "lying")
# Ours, in lengths of a person's own leg (thigh + shin). Seats of 45 cm hold the pelvis at up to 0.84; walking and
# leaning keep it above 0.93. Seated people have their ankles 0.28 or more in front, squatting ones within 0.12.
_STANDING_HEIGHT, _FLOOR_HEIGHT = 0.9, 0.25
_BELOW = 0.2
_LYING_DEG = 60.0  # of the trunk from the vertical


def find_postures(joints: Float[Tensor, "batch 17 3"], up: Float[Tensor, "batch 3"]) -> list[str]:
    """One of ``POSTURES`` each; the first that fits, heights and lengths in leg lengths.

    Standing: the pelvis is at least 0.9 above the lower ankle (also walking, bent over, on one foot). Crouching: it is
    at least 0.25 above it, and the middle of the ankles less than 0.2 aside of it (squatting, knees bent). Lying: the
    trunk is more than 60 degrees from the vertical (also on all fours, or in a push-up). Sitting: all others.

    Args:
        joints: H36M joints, any frame, metres.
        up: against gravity, same frame, length 1.
    """
    legs = torch.stack([joints[:, list(RIGHT_LEG)], joints[:, list(LEFT_LEG)]], dim=1)  # [batch, 2, hip knee ankle, 3]
    length = _length(legs.diff(dim=2)).sum(dim=2).mean(dim=1)
    pelvis, ankles = joints[:, H36M_PELVIS], legs[:, :, 2]
    height = _along(pelvis[:, None] - ankles, up[:, None].expand_as(ankles)).amax(dim=1) / length
    away = pelvis - ankles.mean(dim=1)
    aside = _length(away - _along(away, up)[:, None] * up) / length
    trunk = joints[:, H36M_NECK] - pelvis
    along = _along(trunk, up)
    tilt = torch.rad2deg(torch.atan2(_length(trunk - along[:, None] * up), along))
    is_crouching = (height >= _FLOOR_HEIGHT) & (aside < _BELOW)
    place = torch.where(tilt > _LYING_DEG, 3, 2).where(~is_crouching, 1).where(height < _STANDING_HEIGHT, 0)
    return [POSTURES[number] for number in place.tolist()]


def _along(vectors: Float[Tensor, "*batch 3"], up: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    return tree_sum(vectors * up)


def _length(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    return tree_sum(vectors * vectors).sqrt()
