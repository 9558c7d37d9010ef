"""A small network and made-up batches on which every training path runs in a blink."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.structures import Batch, BodyTopology
from tests.worlds.batches import person_batch
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
def make_batch() -> Callable[..., Batch]:
    """A function (seed, count) -> batch: one body per image, on a floor."""
    return person_batch


@pytest.fixture
def network(topology: BodyTopology) -> SahmrNet:
    torch.manual_seed(0)
    return SahmrNet(TINY, OWN, topology)
