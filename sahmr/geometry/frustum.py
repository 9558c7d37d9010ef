"""The viewing frustum of a crop: which scene points can the crop see?"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sahmr.geometry.camera import unproject

NEAR_M, FAR_M = 0.5, 12.5  # the reference's depth range (method 3)

# Per face three corners, in an order that makes (b - a) x (c - a) point out of the frustum.
_FACES = ((0, 2, 1), (4, 5, 6), (0, 4, 7), (1, 2, 6), (0, 1, 5), (3, 7, 6))  # near, far, left, right, top, bottom


def frustum_corners(
    intrinsics: Float[Tensor, "batch 3 3"],
    crop_box: Float[Tensor, "batch 4"],
    near: Float[Tensor, " batch"] | float = NEAR_M,
    far: Float[Tensor, " batch"] | float = FAR_M,
) -> Float[Tensor, "batch 8 3"]:
    """Un-project the crop's corners at two depths.

    Args:
        intrinsics: K, full-image pixels.
        crop_box: (left, top, right, bottom), full-image pixels.
        near, far: depths in metres, one for all or one per sample.

    Returns:
        Camera frame, metres: near left-top, right-top, right-bottom, left-bottom, then the same at ``far``.
    """
    corners = crop_box[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2).repeat(1, 2, 1)  # [batch, 8, 2]
    near, far = (torch.as_tensor(z, dtype=crop_box.dtype, device=crop_box.device) for z in (near, far))
    depth = torch.stack([near.expand(len(crop_box)), far.expand(len(crop_box))], dim=1).repeat_interleave(4, dim=1)
    return unproject(corners, depth, intrinsics[:, None])


def inside_frustum(points: Float[Tensor, "points 3"], corners: Float[Tensor, "8 3"]) -> Bool[Tensor, " points"]:
    """Say which points lie on the inner side of all six faces; the surface counts as inside.

    Both arguments share one frame, any rigid one, in metres; ``corners`` as from :func:`frustum_corners`.
    """
    inside = torch.ones(len(points), dtype=torch.bool, device=points.device)
    for a, b, c in _FACES:
        normal = torch.linalg.cross(corners[b] - corners[a], corners[c] - corners[a])  # [3]
        inside &= (points - corners[a]) @ normal <= 0
    return inside
