"""Several processes that train together: what they share, and what is said when one of them ends."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from sahmr.errors import SahmrError
from sahmr.training.optimizer import Plan, descend, make_optimizer
from sahmr.training.processes import work_together
from sahmr.training.team import ALONE, Team

PLAN = Plan(seed=0, epochs=1, batch_size=8, canonical_lr=0.1)


def prepare() -> None:
    torch.set_num_threads(1)


def make_model() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 1))


def make_data() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(8, 4, generator=random), torch.randn(8, 1, generator=random)


def train_share(team: Team) -> list[torch.Tensor]:
    """Three steps on this process's half of one batch, and sums and names shared on the way."""
    model, (inputs, wanted) = make_model(), make_data()
    half = slice(team.rank * 8 // team.size, (team.rank + 1) * 8 // team.size)
    optimizer = make_optimizer(model.parameters(), PLAN)
    for _ in range(3):
        descend(optimizer, [(model(inputs[half]) - wanted[half]).square().mean()], team)
    count = torch.tensor([float(team.rank + 1)])
    team.add([count])
    assert team.share_names(["loss"] if team.rank else []) == ["loss"]
    team.wait()
    return [*(p.detach() for p in model.parameters()), count]


def test_two_processes_take_the_steps_of_one_with_the_whole_batch() -> None:
    model, (inputs, wanted) = make_model(), make_data()
    optimizer = make_optimizer(model.parameters(), PLAN)
    for _ in range(3):
        descend(optimizer, [(model(inputs) - wanted).square().mean()])
    *weights, count = work_together(Team(size=2), train_share, prepare)
    for found, right in zip(weights, model.parameters(), strict=True):
        torch.testing.assert_close(found, right.detach(), rtol=1e-5, atol=1e-6)
    assert float(count) == 3


def test_alone_nothing_is_shared_and_no_process_started() -> None:
    value = torch.ones(3)
    ALONE.add([value])
    ALONE.average([value])
    ALONE.wait()
    assert torch.equal(value, torch.ones(3)) and ALONE.share_names(["a"]) == ["a"]
    assert work_together(ALONE, lambda team: team, prepare) is ALONE


def fail(team: Team, *, how: str, folder: Path) -> None:
    """The second process fails, the first waits for it."""
    (folder / str(team.rank)).write_text(str(os.getpid()))
    if team.is_first:
        team.add([torch.ones(1)])
        team.add([torch.ones(1)])
    elif how == "error":
        team.add([torch.ones(1)])
        raise SahmrError("sample 'x' cannot be read")
    elif how == "torch":
        raise RuntimeError("no memory left")
    else:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("error", "sample 'x' cannot be read"),
        ("torch", "process 1 of the training: no memory left"),
        ("kill", "ended without a word"),
    ],
)
def test_the_end_of_another_process_is_one_clear_error(how: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SahmrError, match=message):
        work_together(Team(size=2), partial(fail, how=how, folder=tmp_path), prepare)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "1").read_text()), 0)  # nothing is left


def fail_first(team: Team, *, folder: Path, kind: type[Exception]) -> None:
    (folder / str(team.rank)).write_text(str(os.getpid()))
    team.wait()
    if team.is_first:
        raise kind("the first one's own")
    team.wait()


@pytest.mark.parametrize("kind", [SahmrError, RuntimeError])
def test_an_error_here_ends_the_others(kind: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(kind, match="the first one's own"):
        work_together(Team(size=2), partial(fail_first, folder=tmp_path, kind=kind), prepare)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "1").read_text()), 0)
