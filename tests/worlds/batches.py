"""Made-up batches for the demo-size network."""

from __future__ import annotations

import torch

from sahmr.structures import Batch, Camera, pack_points


def make_batch(clouds: list[torch.Tensor]) -> Batch:
    """One person per cloud of scene points (camera frame, metres), all with the same image and camera."""
    count = len(clouds)
    generator = torch.Generator().manual_seed(1)
    intrinsics = torch.tensor([[1000.0, 0, 512], [0, 1000, 384], [0, 0, 1]]).repeat(count, 1, 1)
    box = torch.tensor([400.0, 250.0, 624.0, 474.0]).repeat(count, 1)
    return Batch(
        keys=tuple(f"person{i}" for i in range(count)),
        image=torch.rand(1, 3, 224, 224, generator=generator).repeat(count, 1, 1, 1),
        camera=Camera(intrinsics=intrinsics, camera_from_world=torch.eye(4).repeat(count, 1, 1), crop_box=box),
        scene=pack_points(clouds),
        targets=None,
    )


def cloud(num_points: int, depth: float = 4.0, seed: int = 2) -> torch.Tensor:
    """Points in a box of 0.8 m before the camera, its near side at a depth."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_points, 3, generator=generator) * 0.8 + torch.tensor([-0.4, -0.4, depth])
