"""Pinhole projection, its inverse, and the two pixel frames of a crop."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def project(
    points_camera: Float[Tensor, "points 3"], intrinsics: Float[Tensor, "points 3 3"]
) -> Float[Tensor, "points 2"]:
    """Project points to full-image pixels with ``K (p / z)``; no distortion.

    Args:
        points_camera: camera frame, metres; z must not be 0 (a z of 0 gives infinities).
        intrinsics: each point's K, pixels.
    """
    ray = points_camera / points_camera[:, 2:]
    return torch.einsum("pij,pj->pi", intrinsics[:, :2], ray)


def unproject(
    pixels: Float[Tensor, "... 2"], depth: Float[Tensor, "..."], intrinsics: Float[Tensor, "... 3 3"]
) -> Float[Tensor, "... 3"]:
    """Lift full-image pixels to the camera frame at a depth along z.

    Only the focal lengths and the principal point of K are read, as in the reference (zero skew).

    Args:
        pixels: (u, v), full-image pixels.
        depth: z in metres.
        intrinsics: K in pixels, broadcast against ``pixels``.

    Returns:
        Points, camera frame, metres.
    """
    focal = torch.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], dim=-1)
    center = torch.stack([intrinsics[..., 0, 2], intrinsics[..., 1, 2]], dim=-1)
    depth = depth[..., None]
    xy = (pixels - center) / focal * depth
    return torch.cat([xy, depth.expand_as(xy[..., :1])], dim=-1)


def image_to_unit(pixels: Float[Tensor, "... 2"], crop_box: Float[Tensor, "... 4"]) -> Float[Tensor, "... 2"]:
    """Full-image pixels -> crop coordinates; 0 and 1 are the centres of the crop's first and last pixel."""
    return (pixels - crop_box[..., :2]) / (crop_box[..., 2:] - crop_box[..., :2])


def unit_to_image(unit: Float[Tensor, "... 2"], crop_box: Float[Tensor, "... 4"]) -> Float[Tensor, "... 2"]:
    """Inverse of :func:`image_to_unit`."""
    return crop_box[..., :2] + unit * (crop_box[..., 2:] - crop_box[..., :2])
