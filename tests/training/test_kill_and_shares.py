"""Whoever computes a step's shares, and wherever a training is killed: the same weights, to the bit."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from sahmr.batches.collate import empty_batch
from sahmr.errors import CheckpointError, SahmrError
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.structures import Batch, BodyTopology
from sahmr.training import trainer
from sahmr.training.foreign import Others, settle
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.optimizer import Plan
from sahmr.training.processes import plan_team, work_together
from sahmr.training.progress import Row
from sahmr.training.state import Keeping, TrainingData
from sahmr.training.tasks import RootContactTask, RootContactWeights, Task
from sahmr.training.team import Team
from sahmr.training.trainer import train
from sahmr.training.tree import TreeSum
from tests.worlds.batches import person_batch
from tests.worlds.networks import TINY, make_topology

PLAN = Plan(seed=5, epochs=2, batch_size=32, canonical_lr=1e-3, average_decay=0.9)
STEPS = 2


def share_of(epoch: int, step: int, share: int) -> Batch:
    """One sample; the second share of the first step has none."""
    return empty_batch() if (step, share) == (0, 1) else person_batch(100 * epoch + 10 * step + share, count=1)


def data_of(team: Team, dies_at: tuple[int, int] | None = None, by: int = signal.SIGKILL) -> TrainingData:
    """Of the team's shares; ``dies_at``: in which epoch and step the last process is sent a signal.

    The last batch of the validation is short: the first share has none of it.
    """

    def epoch(number: int, first_batch: int = 0) -> Iterator[Batch]:
        for step in range(first_batch, STEPS):
            if (number, step) == dies_at and team.rank == team.size - 1:
                os.kill(os.getpid(), by)
            yield from (share_of(number, step, share) for share in team.own)

    last = [empty_batch(), person_batch(92, count=1)]
    validation = [person_batch(90 + share, count=1) for share in team.own] + [last[share] for share in team.own]
    return TrainingData(epoch=epoch, steps=STEPS, validation=lambda: validation)


def task_of(stage: str, topology: BodyTopology) -> Task:
    if stage == "mesh":
        return MeshTask(topology=topology, loss_weights=MeshWeights())
    return RootContactTask(topology=topology, loss_weights=RootContactWeights(), pitch_m=0.02)


def fresh() -> SahmrNet:
    torch.manual_seed(0)
    return SahmrNet(TINY, OWN, make_topology())


def train_rcnet(
    team: Team, *, folder: Path, dies_at: tuple[int, int] | None = None, by: int = signal.SIGKILL
) -> tuple[list[Row], dict[str, torch.Tensor]]:
    network = fresh()
    task = task_of("rcnet", make_topology())
    data = data_of(team, dies_at, by)
    keeping = Keeping(resume_file=folder / ".a.resume.pt", digest="a", checkpoint_steps=1)
    rows = train(network, task, PLAN, data, keeping=keeping, team=team)
    return rows, network.state_dict()


def prepare() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], dict[str, torch.Tensor]]:
    """One process, two shares one after the other, undisturbed."""
    return train_rcnet(Team(parts=2), folder=tmp_path_factory.mktemp("calm"))


def assert_same(
    one: tuple[list[Row], dict[str, torch.Tensor]], other: tuple[list[Row], dict[str, torch.Tensor]]
) -> None:
    assert one[0] == other[0]
    assert [name for name in one[1] if not torch.equal(one[1][name], other[1][name])] == []


@pytest.mark.slow  # another process, which loads torch
def test_killed_with_two_processes_it_goes_on_alone_to_the_same_bits(
    calm: tuple[list[Row], dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """An epoch and a step by two processes, empty shares in training and validation; SIGKILL; the rest by one."""
    with pytest.raises(SahmrError, match="ended without a word"):
        work_together(Team(size=2), partial(train_rcnet, folder=tmp_path, dies_at=(1, 1)), prepare)
    kept = torch.load(tmp_path / ".a.resume.pt", weights_only=True)
    assert kept["within"]["step"] == 1 and kept["history"][0]["val_loss"] > 0
    assert_same(train_rcnet(Team(parts=2), folder=tmp_path), calm)


def test_sigterm_ends_it_after_the_step_and_the_same_call_goes_on(
    calm: tuple[list[Row], dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_rcnet(Team(parts=2), folder=tmp_path, dies_at=(0, 0), by=signal.SIGTERM)
    assert torch.load(tmp_path / ".a.resume.pt", weights_only=True)["within"]["step"] == 1
    assert_same(train_rcnet(Team(parts=2), folder=tmp_path), calm)


def test_a_tree_sums_aligned_runs_to_the_same_bits() -> None:
    terms = list(torch.randn(24, 50, generator=torch.Generator().manual_seed(1)))

    def total(some: Sequence[torch.Tensor]) -> torch.Tensor:
        tree = TreeSum()
        for term in some:
            tree.add(term)
        return tree.total()

    whole = total(terms)
    torch.testing.assert_close(whole, torch.stack(terms).sum(dim=0))
    for length in (1, 2, 4, 8):  # twenty-four shares by 24, 12, 6 and 3 processes
        runs = [total(terms[first : first + length]) for first in range(0, len(terms), length)]
        assert torch.equal(total(runs), whole)


def test_the_shares_divide_among_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_team(2, 4) == Team(size=2, parts=4)
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "3"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert plan_team(2, 4) == Team(rank=3, size=4, parts=2)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(SahmrError, match="found 3 processes, allowed 1, 2, 4, 8"):
        plan_team(2, 4)


@pytest.mark.parametrize(
    ("stage", "precision"),
    [
        ("rcnet", "float16"),
        ("mesh", "bfloat16"),
        pytest.param("rcnet", "bfloat16", marks=pytest.mark.slow),
        pytest.param("mesh", "float16", marks=pytest.mark.slow),
    ],
)
def test_reduced_precision_moves_float32_weights(
    stage: str, precision: str, topology: BodyTopology, network: SahmrNet, tmp_path: Path
) -> None:
    task = task_of(stage, topology)
    data = TrainingData(epoch=lambda _: [person_batch(3, count=1)], steps=1, validation=lambda: [])
    plan = replace(PLAN, epochs=1, average_decay=0.0)
    losses = []
    for way in ("float32", precision):
        copied, folder = copy.deepcopy(network), tmp_path / way
        rows = train(
            copied,
            replace(task, precision=way),  # type: ignore[type-var]  # a dataclass, either
            replace(plan, precision=way),  # type: ignore[arg-type]  # one of the three
            data,
            keeping=Keeping(resume_file=folder / "r.resume.pt", digest="a"),
        )
        losses.append(rows[0]["train_loss"])
        assert all(value.dtype != torch.bfloat16 for value in copied.state_dict().values())
    assert losses[0] == pytest.approx(losses[1], rel=0.05) and losses[0] != losses[1]


def test_early_stopping_leaves_the_best_epoch(
    topology: BodyTopology, network: SahmrNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def judged(net: SahmrNet, *_: object) -> Row:
        seen.append(copy.deepcopy(net.state_dict()))
        return {"val_loss": (3.0, 1.0, 2.0, 0.1)[len(seen) - 1]}

    monkeypatch.setattr(trainer, "validate", judged)
    data = TrainingData(epoch=lambda _: [person_batch(3, count=1)], steps=1, validation=lambda: [])
    task = task_of("rcnet", topology)
    plan = replace(PLAN, epochs=9, early_stopping=1)
    rows = train(network, task, plan, data, keeping=Keeping(resume_file=tmp_path / ".a.resume.pt", digest="a"))
    assert [row["val_loss"] for row in rows] == [3.0, 1.0, 2.0]
    assert all(torch.equal(value, seen[1][name]) for name, value in network.state_dict().items())


def test_a_checkpoint_of_other_settings_is_refused_set_aside_or_adopted(
    topology: BodyTopology, network: SahmrNet, tmp_path: Path
) -> None:
    file, task = tmp_path / ".a.resume.pt", task_of("rcnet", topology)
    data = TrainingData(epoch=lambda _: [person_batch(3, count=1)], steps=1, validation=lambda: [])

    def go(plan: Plan, digest: str) -> list[Row]:
        keeping = Keeping(resume_file=file, digest=digest, about={"epochs": plan.epochs})
        return train(network, task, plan, data, keeping=keeping)

    first = go(replace(PLAN, epochs=1), "a")
    with pytest.raises(CheckpointError, match=r"other settings or data \(epochs 1, now 2\)"):
        settle(file, "b", {"epochs": 2}, Others())
    assert settle(file, "a", {}, Others()) == "a"
    adopted = settle(file, "b", {"epochs": 2}, Others(adopt=file))
    assert adopted not in ("a", "b")
    rows = go(replace(PLAN, epochs=2, canonical_lr=1e-4), adopted)
    assert rows[:1] == first and len(rows) == 2
    assert settle(file, "b", {}, Others(adopt=file)) == adopted  # the same command again
    assert settle(file, "c", {}, Others(restart=True)) == "c" and not file.exists()
    with pytest.raises(CheckpointError, match="no such file"):
        settle(file, "c", {}, Others(adopt=file))
