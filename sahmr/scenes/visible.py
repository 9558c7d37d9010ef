"""Scene points inside a crop's viewing frustum, a box or a ball, fast enough to do per sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from sahmr.geometry.frustum import FAR_M, NEAR_M, frustum_corners
from sahmr.geometry.rigid import apply_rigid
from sahmr.remote import Place
from sahmr.scenes.store import load_points

_BLOCK = 256  # points; Morton order keeps a block's points together
_ROOM = 1.001, 1e-4  # for rounding: of a ball's radius, and metres


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

    For many crops of one camera :mod:`sahmr.scenes.views` gives the same, sooner.

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
    x, y, depth = to_camera(_points_of(scene, near), camera_from_world)
    u, v = to_pixels(x, y, depth, intrinsics)
    left, top, right, bottom = crop_box.numpy()
    inside = in_depth(depth) & (u >= left) & (u <= right) & (v >= top) & (v <= bottom)
    kept = np.flatnonzero(inside)
    return torch.from_numpy(np.stack([axis.take(kept) for axis in (x, y, depth)], axis=1))


def points_in_box(scene: BlockedPoints, low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> Float[Tensor, "found 3"]:
    """Points of an upright box, its faces included; world frame, metres, in the scene's order."""
    points = _points_of(scene, blocks_near_box(scene, low, high))
    inside = ((points >= low.numpy()) & (points <= high.numpy())).all(axis=1)
    return torch.from_numpy(points[inside])


def points_in_ball(scene: BlockedPoints, center: Float[Tensor, "3"], radius_m: float) -> Float[Tensor, "found 3"]:
    """Points at most ``radius_m`` from a place; world frame, metres, in the scene's order."""
    points = _points_of(scene, blocks_near_box(scene, center, center, reach_m=radius_m))
    x, y, z = (points[:, axis] - value for axis, value in enumerate(center.numpy()))
    return torch.from_numpy(points[x * x + y * y + z * z <= np.float32(radius_m) * np.float32(radius_m)])


def blocks_near_box(
    scene: BlockedPoints, low: Float[Tensor, "3"], high: Float[Tensor, "3"], *, reach_m: float = 0.0
) -> Bool[Tensor, " blocks"]:
    """Blocks that may have a point at most ``reach_m`` from a box: those whose ball comes as near."""
    aside = scene.center - scene.center.clamp(low, high)
    reach = scene.radius * _ROOM[0] + _ROOM[1] + reach_m * _ROOM[0]
    near: Bool[Tensor, " blocks"] = aside.square().sum(dim=1) <= reach.square()
    return near


def to_camera(
    points: Float[ndarray, "points 3"], camera_from_world: Float[Tensor, "4 4"]
) -> tuple[Float[ndarray, " points"], ...]:
    """x, y and depth of points. The sums are written out: a point's last bit depends on nothing but the point."""
    x, y, z = np.ascontiguousarray(points.T)
    moved = camera_from_world.numpy()
    return tuple(x * row[0] + y * row[1] + z * row[2] + row[3] for row in moved[:3])


def to_pixels(
    x: Float[ndarray, " points"],
    y: Float[ndarray, " points"],
    depth: Float[ndarray, " points"],
    intrinsics: Float[Tensor, "3 3"],
) -> tuple[Float[ndarray, " points"], Float[ndarray, " points"]]:
    """u and v, full-image pixels; of a depth of 0 anything."""
    k = intrinsics.numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        return x / depth * k[0, 0] + k[0, 2], y / depth * k[1, 1] + k[1, 2]


def in_depth(depth: Float[ndarray, " points"]) -> Bool[ndarray, " points"]:
    """Whether points lie within the depths that the method looks at; NaN does not."""
    return (depth >= np.float32(NEAR_M)) & (depth <= np.float32(FAR_M))


def _points_of(scene: BlockedPoints, blocks: Bool[Tensor, " blocks"]) -> Float[ndarray, "points 3"]:
    """Points of some blocks, what fills the last one up among them."""
    return scene.xyz.numpy().take(np.flatnonzero(blocks.numpy()), axis=0).reshape(-1, 3)


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
    reach = radius * _ROOM[0] + _ROOM[1]
    depth = center[:, 2]
    near = (depth >= NEAR_M - reach) & (depth <= FAR_M + reach)
    meets: Bool[Tensor, " balls"] = near & (aside * cosine - along * sine <= reach)
    return meets
