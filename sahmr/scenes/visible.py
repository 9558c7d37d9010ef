"""Scene points inside a crop's viewing frustum, fast enough to do per sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sahmr.geometry.frustum import FAR_M, NEAR_M, frustum_corners
from sahmr.geometry.rigid import apply_rigid
from sahmr.remote import Place
from sahmr.scenes.store import load_points

_BLOCK = 256  # points; Morton order keeps a block's points together


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedPoints:
    """A scene's points in blocks of neighbours, each with a ball round it. World frame, metres.

    Attributes:
        xyz: points; NaN fills the last block up.
        center, radius: ball that holds a block's points.
    """

    xyz: Float[Tensor, "blocks size 3"]
    center: Float[Tensor, "blocks 3"]
    radius: Float[Tensor, " blocks"]


def block_points(points: Float[Tensor, "points 3"]) -> BlockedPoints:
    """Cut points, already in an order that keeps neighbours together, into blocks."""
    missing = -len(points) % _BLOCK
    xyz = torch.cat([points, points.new_full((missing, 3), float("nan"))]).reshape(-1, _BLOCK, 3)
    is_point = ~xyz.isnan()
    low = torch.where(is_point, xyz, float("inf")).amin(dim=1)
    high = torch.where(is_point, xyz, float("-inf")).amax(dim=1)
    return BlockedPoints(xyz=xyz, center=(low + high) / 2, radius=(high - low).norm(dim=1) / 2)


@lru_cache(maxsize=512)  # some MB each; hundreds of rooms read in random order must not be read again each time
def load_blocks(store: Place, scene_key: str) -> BlockedPoints:
    """Blocked points of a stored scene, kept per process. Errors as :func:`sahmr.scenes.store.load_scene`."""
    return block_points(load_points(store, scene_key))


def visible_points(
    scene: BlockedPoints,
    intrinsics: Float[Tensor, "3 3"],
    camera_from_world: Float[Tensor, "4 4"],
    crop_box: Float[Tensor, "4"],
) -> Float[Tensor, "visible 3"]:
    """Points between 0.5 m and 12.5 m depth that a crop can see (method 3); occlusion is not considered.

    Args:
        scene: points, world frame, metres.
        intrinsics: K, full-image pixels.
        camera_from_world: rigid, metres.
        crop_box: (left, top, right, bottom), full-image pixels.

    Returns:
        Camera frame, metres, in the scene's order; may be empty.
    """
    corners = frustum_corners(intrinsics[None], crop_box[None])[0]
    near = _meets_cone(apply_rigid(camera_from_world, scene.center), scene.radius, corners)
    points = apply_rigid(camera_from_world, scene.xyz[near].reshape(-1, 3))
    return points[_inside(points, intrinsics, crop_box)]


def _inside(
    points: Float[Tensor, "points 3"], intrinsics: Float[Tensor, "3 3"], crop_box: Float[Tensor, "4"]
) -> Bool[Tensor, " points"]:
    """What :func:`sahmr.geometry.frustum.inside_frustum` says, from pixels instead of planes: several times faster.

    NaN is outside.
    """
    x, y, depth = points.unbind(dim=1)
    u, v = x / depth * intrinsics[0, 0] + intrinsics[0, 2], y / depth * intrinsics[1, 1] + intrinsics[1, 2]
    left, top, right, bottom = crop_box.tolist()
    in_depth = (depth >= NEAR_M) & (depth <= FAR_M)
    inside: Bool[Tensor, " points"] = in_depth & (u >= left) & (u <= right) & (v >= top) & (v <= bottom)
    return inside


def _meets_cone(
    center: Float[Tensor, "balls 3"], radius: Float[Tensor, " balls"], corners: Float[Tensor, "8 3"]
) -> Bool[Tensor, " balls"]:
    """Whether each ball may meet the frustum: its depth range, and the round cone about its four side edges."""
    rays = corners[:4] / corners[:4].norm(dim=1, keepdim=True)
    axis = rays.mean(dim=0)
    axis = axis / axis.norm()
    cosine = (rays @ axis).min()
    sine = (1 - cosine * cosine).clamp(min=0).sqrt()
    along = center @ axis
    aside = (center - along[:, None] * axis).norm(dim=1)
    reach = radius * 1.001 + 1e-4  # room for rounding
    depth = center[:, 2]
    in_depth = (depth >= NEAR_M - reach) & (depth <= FAR_M + reach)
    meets: Bool[Tensor, " balls"] = in_depth & (aside * cosine - along * sine <= reach)
    return meets
