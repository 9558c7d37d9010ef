"""Both trainings on made-up batches: what moves, what stays, and what a kill changes (nothing)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.conversion.receipts import history_csv
from sahmr.errors import SahmrError
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, BodyTopology
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.optimizer import Plan
from sahmr.training.state import Keeping, TrainingData
from sahmr.training.tasks import RootContactTask, RootContactWeights, Task
from sahmr.training.trainer import train

PLAN = Plan(seed=5, epochs=2, batch_size=32, canonical_lr=1e-3)


@pytest.fixture
def data(make_batch: Callable[..., Batch]) -> TrainingData:
    return TrainingData(
        epoch=lambda number: [make_batch(100 * number)], steps=1, validation=lambda: [make_batch(7, count=1)]
    )


def root_contact_task(topology: BodyTopology) -> RootContactTask:
    return RootContactTask(topology=topology, loss_weights=RootContactWeights(), pitch_m=0.02)


def mesh_task(topology: BodyTopology) -> MeshTask:
    return MeshTask(topology=topology, loss_weights=MeshWeights())


@pytest.mark.parametrize("make", [root_contact_task, mesh_task])
def test_only_the_trained_part_moves(
    make: Callable[[BodyTopology], Task],
    topology: BodyTopology,
    network: SahmrNet,
    data: TrainingData,
    tmp_path: Path,
) -> None:
    task = make(topology)
    before = copy.deepcopy(network.state_dict())
    rows = train(network, task, PLAN, data, keeping=Keeping(resume_file=tmp_path / "resume.pt", digest="a"))
    part = "rcnet." if task.trained(network) is network.rcnet else "metro_enhanced."
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name.startswith(part) for name in moved)
    learnable = {f"{part}{name}" for name, _ in task.trained(network).named_parameters()}
    assert len(moved & learnable) > 0.8 * len(learnable)  # the rest feeds nothing: an HRNet's lowest last fusions
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["lr"] == pytest.approx(5e-4)
    assert {f"val_{name}" for name in task.weights if name != "part_maps_flipped"} <= rows[0].keys()
    assert not network.training


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_resumed_training_equals_uninterrupted(
    topology: BodyTopology, network: SahmrNet, data: TrainingData, tmp_path: Path, decay: float
) -> None:
    plan = replace(PLAN, average_decay=decay)
    twin = copy.deepcopy(network)
    one, two = (Keeping(resume_file=tmp_path / f"{name}.pt", digest="a") for name in ("one", "two"))
    rows = train(network, root_contact_task(topology), plan, data, keeping=one)

    def until_killed(number: int) -> Iterator[Batch]:
        if number == 1:
            raise KeyboardInterrupt
        yield from data.epoch(number)

    killed = replace(data, epoch=until_killed)
    fresh = copy.deepcopy(twin)
    with pytest.raises(KeyboardInterrupt):
        train(twin, root_contact_task(topology), plan, killed, keeping=two)
    resumed = train(fresh, root_contact_task(topology), plan, data, keeping=two)
    assert resumed == rows
    weights, again = network.state_dict(), fresh.state_dict()
    assert [name for name in weights if not torch.equal(weights[name], again[name])] == []


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_frozen_upsampling_stays_as_it_starts(
    topology: BodyTopology, network: SahmrNet, data: TrainingData, tmp_path: Path, decay: float
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    task = MeshTask(topology=topology, loss_weights=MeshWeights(edges=10.0, normals=0.1), train_upsampling=False)
    plan = replace(PLAN, average_decay=decay)
    rows = train(network, task, plan, data, keeping=Keeping(resume_file=tmp_path / "resume.pt", digest="a"))
    assert {"train_edges", "val_normals"} <= rows[0].keys()
    still = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert {name for name in before if ".upsampling" in name} <= still
    assert "metro_enhanced.conv_learn_tokens.weight" not in still


def test_loss_that_is_not_finite_names_the_samples(
    topology: BodyTopology, network: SahmrNet, data: TrainingData, make_batch: Callable[..., Batch], tmp_path: Path
) -> None:
    batch = make_batch(0)
    assert batch.targets is not None
    broken = replace(batch, targets=replace(batch.targets, vertices_camera=batch.targets.vertices_camera * torch.inf))
    with pytest.raises(SahmrError, match=r"epoch 1, step 1.*0_0"):
        train(
            network,
            mesh_task(topology),
            PLAN,
            replace(data, epoch=lambda _: [broken]),
            keeping=Keeping(resume_file=tmp_path / "resume.pt", digest="a"),
        )
    kept = torch.load(tmp_path / "train_sahmr_not_finite.pt", weights_only=True)
    assert kept["batch"]["keys"] == list(batch.keys) and kept["place"] == "epoch 1, step 1"
    assert torch.equal(kept["batch"]["image"], batch.image) and not kept["losses"]["vertices"].isfinite().all()


def test_history_is_csv_with_gaps() -> None:
    assert history_csv([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "new": 3.0}]) == "epoch,loss,new\n1,0.5,\n2,,3\n"
