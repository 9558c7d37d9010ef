"""A small network and made-up batches on which every training path runs in a blink."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.structures import Batch, BodyTopology, Camera, Targets, pack_points
from tests.worlds.networks import TINY, make_topology


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Repeatable to the bit, and not slowed down by whatever else runs on a shared machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def topology() -> BodyTopology:
    return make_topology()


@pytest.fixture(scope="session")
def make_batch(topology: BodyTopology) -> Callable[..., Batch]:
    """A function (seed, count) -> batch: one body per image, on a floor."""

    def make(seed: int, count: int = 2) -> Batch:
        random = torch.Generator().manual_seed(seed)
        root = torch.tensor([0.0, 0.0, 3.0]) + torch.randn(count, 1, 3, generator=random) * 0.1
        body = torch.randn(1, 6890, 3, generator=random) * torch.tensor([0.15, 0.4, 0.1])
        floor = torch.rand(count, 300, 3, generator=random) * torch.tensor([1.0, 0.02, 1.0]) + torch.tensor(
            [-0.5, 0.6, 2.5]
        )
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

    return make


@pytest.fixture
def network(topology: BodyTopology) -> SahmrNet:
    torch.manual_seed(0)
    return SahmrNet(TINY, OWN, topology)
