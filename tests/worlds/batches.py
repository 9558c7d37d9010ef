"""Made-up batches for small networks."""

from __future__ import annotations

import torch

from sahmr.structures import Batch, Camera, Targets, pack_points


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


def person_batch(seed: int, count: int = 2) -> Batch:
    """A batch with ground truth: one body per image, on a floor."""
    random = torch.Generator().manual_seed(seed)
    root = torch.tensor([0.0, 0.0, 3.0]) + torch.randn(count, 1, 3, generator=random) * 0.1
    body = torch.randn(1, 6890, 3, generator=random) * torch.tensor([0.15, 0.4, 0.1])
    floor = torch.rand(count, 300, 3, generator=random) * torch.tensor([1.0, 0.02, 1.0])
    floor = floor + torch.tensor([-0.5, 0.6, 2.5])
    intrinsics = torch.tensor([[1000.0, 0.0, 500.0], [0.0, 1000.0, 500.0], [0.0, 0.0, 1.0]])
    return Batch(
        keys=tuple(f"{seed}_{item}" for item in range(count)),
        image=torch.rand(count, 3, 224, 224, generator=random),
        camera=Camera(
            intrinsics=intrinsics.expand(count, 3, 3),
            camera_from_world=torch.eye(4).expand(count, 4, 4),
            crop_box=torch.tensor([200.0, 200.0, 800.0, 800.0]).expand(count, 4),
        ),
        scene=pack_points(list(floor)),
        targets=Targets(
            vertices_camera=body + root,
            vertex_contact=torch.zeros(count, 6890, dtype=torch.bool),
            has_contact=torch.zeros(count, dtype=torch.bool),
        ),
    )
