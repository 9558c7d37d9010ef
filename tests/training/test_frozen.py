"""The frozen network is asked once of every crop that stays the same, and nothing else changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sahmr.network.root_contact import RootContactNet
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, BodyTopology
from sahmr.training.frozen import Frozen
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.optimizer import Plan
from sahmr.training.source import Source
from sahmr.training.state import Keeping, TrainingData
from sahmr.training.team import Team
from sahmr.training.trainer import train
from tests.training.test_setup import part

PLAN = Plan(seed=5, epochs=2, batch_size=32, canonical_lr=1e-3)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of all samples that the root-and-contact network saw."""
    keys: list[str] = []
    real = RootContactNet.forward

    def forward(self: RootContactNet, batch: Batch, **more: Any) -> Any:
        keys.extend(batch.keys)
        return real(self, batch, **more)

    monkeypatch.setattr(RootContactNet, "forward", forward)
    return keys


def test_it_says_what_the_network_says(network: SahmrNet, make_batch: Callable[..., Batch], asked: list[str]) -> None:
    rcnet, batch, frozen = network.rcnet.eval(), make_batch(3, count=3), Frozen()
    with torch.no_grad():
        found = rcnet(batch)
    assert found.contacts.mask.any()
    for _ in range(2):
        root, contacts = frozen.ask(rcnet, batch)
        assert torch.equal(root, found.root)
        assert torch.equal(contacts.xyz_camera, found.contacts.xyz_camera)
        assert torch.equal(contacts.part, found.contacts.part) and torch.equal(contacts.mask, found.contacts.mask)
    assert asked == [*batch.keys, *batch.keys]
    other = copy.deepcopy(rcnet)
    frozen.ask(other, batch)
    assert len(asked) == 3 * len(batch.keys)  # of another network nothing is known


def test_a_training_on_fixed_crops_asks_once_and_learns_the_same(
    topology: BodyTopology, network: SahmrNet, make_batch: Callable[..., Batch], asked: list[str], tmp_path: Path
) -> None:
    batch, judged = make_batch(3), make_batch(7, count=1)
    network.rcnet.max_contacts = 5000  # room for all: no draw of contact points comes before that of the roots' noise
    data = TrainingData(epoch=lambda _: [batch, batch], steps=2, validation=lambda: [judged])
    found = []
    for fixed in (False, True):
        asked.clear()
        net = copy.deepcopy(network)
        task = MeshTask(topology=topology, loss_weights=MeshWeights(), fixed_crops=fixed)
        if fixed:
            task.frozen.look_at(net.rcnet, [batch])
        rows = train(net, task, PLAN, data, keeping=Keeping(resume_file=tmp_path / f"{fixed}.pt", digest="a"))
        found.append((rows, net.state_dict()))
        times = 1 if fixed else PLAN.epochs * data.steps
        assert sorted(asked) == sorted([*batch.keys * times, *judged.keys])  # of validation crops in any case once
    assert found[0][0] == found[1][0]
    assert all(torch.equal(value, found[1][1][name]) for name, value in found[0][1].items())


def test_processes_tell_each_other(
    network: SahmrNet, make_batch: Callable[..., Batch], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = make_batch(3), make_batch(4)
    other, frozen = Frozen(), Frozen()
    other.look_at(network.rcnet, [theirs])
    monkeypatch.setattr(Team, "gather", lambda self, value: [value, other._said])
    frozen.look_at(network.rcnet, [mine, replace(mine, keys=())], Team())  # a short last batch: nothing for this one
    before = len(asked)
    for batch in (mine, theirs):
        frozen.ask(network.rcnet, batch)
    assert len(asked) == before == len(mine.keys) + len(theirs.keys) and len(frozen) == before


def test_fixed_crops_are_those_of_the_first_epoch(small_world: Path) -> None:
    for fixed in (True, False):
        source = Source(parts=(part(small_world),), workers=0, zoom_range=0.3, fixed_crops=fixed)
        loader = source.shuffled(1, seed=2)
        first, later = ({b.keys[0]: b.camera.crop_box for b in loader.epoch(number)} for number in (0, 3))
        walked = {b.keys[0]: b.camera.crop_box for b in source.walk(1, seed=2)}
        assert first.keys() == later.keys() == walked.keys()
        for key, box in first.items():
            assert torch.equal(walked[key], box) and torch.equal(later[key], box) == fixed
