"""The predictor to beat: always the training data's mean body, at its mean depth, in the middle of the crop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.geometry.camera import unit_to_image, unproject
from sahmr.geometry.rigid import apply_rigid
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import StoredGeometry
from sahmr.structures import Camera


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means over a split.

    Attributes:
        mesh: mesh with its H36M pelvis at the origin, camera axes, metres.
        scaled_depth: depth x crop width / focal length of the pelvis.
    """

    mesh: Float[Tensor, "6890 3"]
    scaled_depth: Float[Tensor, ""]


def mean_body(frames: Iterable[StoredGeometry], joint_regressor: Float[Tensor, "17 6890"]) -> Means | None:
    """Average the frames that have ground truth, in float64; their crops are those of an evaluation, not jittered.

    Args:
        frames: of the training split, one at a time.
        joint_regressor: H36M regressor, row 0 the pelvis.

    Returns:
        The means in float64, or None if no frame has ground truth.
    """
    mesh, depth, count = torch.zeros(6890, 3, dtype=torch.float64), torch.zeros((), dtype=torch.float64), 0
    pelvis = joint_regressor[0].double()
    for frame in frames:
        if frame.vertices_world is None:
            continue
        camera = cameras_of([frame])
        vertices = apply_rigid(camera.camera_from_world[0], torch.from_numpy(frame.vertices_world).double())
        root = pelvis @ vertices
        mesh += vertices - root
        depth += root[2] * camera.depth_scale[0]
        count += 1
    return Means(mesh=mesh / count, scaled_depth=depth / count) if count else None


def cameras_of(frames: Iterable[StoredGeometry]) -> Camera:
    """Cameras of stored frames, with the crop an evaluation cuts; float64."""
    rows = [(frame.intrinsics, frame.camera_from_world, crop_box(frame.person_box)) for frame in frames]
    intrinsics, camera_from_world, box = (torch.stack([torch.from_numpy(row[i]) for row in rows]) for i in range(3))
    return Camera(intrinsics=intrinsics, camera_from_world=camera_from_world, crop_box=box)


def middle_roots(scaled_depth: Float[Tensor, ""], camera: Camera) -> Float[Tensor, "batch 3"]:
    """The point on the ray through each crop's middle that has a given scaled depth; camera frame, metres."""
    middle = unit_to_image(camera.crop_box.new_tensor([0.5, 0.5]), camera.crop_box)
    return unproject(middle, scaled_depth / camera.depth_scale, camera.intrinsics)
