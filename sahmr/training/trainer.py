"""The epochs: steps, validation, history, and resuming after a kill."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from sahmr.errors import SahmrError
from sahmr.losses import weighted_sum
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, move_to
from sahmr.training.checkpoint import save_atomically
from sahmr.training.optimizer import Plan, descend, make_average, make_optimizer, make_schedule
from sahmr.training.resume import read_resume
from sahmr.training.tasks import Task
from sahmr.training.team import ALONE, Team

log = logging.getLogger("sahmr")

Row = dict[str, float]
_SEED_STRIDE = 1_000_003  # keeps the seeds of neighbouring epochs apart for any usual seed


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Where the batches come from.

    Attributes:
        epoch: epoch number -> its batches; the same number gives the same batches.
        steps: batches per epoch.
        validation: the validation batches, always the same.
    """

    epoch: Callable[[int], Iterable[Batch]]
    steps: int
    validation: Callable[[], Iterable[Batch]]


def train(
    network: SahmrNet, task: Task, plan: Plan, data: TrainingData, *, resume_file: Path, digest: str, team: Team = ALONE
) -> list[Row]:
    """Train one part of the network in place.

    All randomness of an epoch comes from (seed, epoch, rank in the team), so a training that was killed and resumed
    ends with the same weights as one that ran through.

    Args:
        network: on its device; afterwards holds the trained (or averaged) weights, in evaluation mode.
        task: what to train and how.
        plan: lengths and rates.
        data: batches on the CPU.
        resume_file: rewritten after every epoch, removed by the caller once the result is stored.
        digest: identifies settings and data; a resume file with another one is ignored, a damaged one is set aside.
        team: the processes that do this together, each with its share of the data.

    Returns:
        One row per epoch: ``epoch``, ``lr``, ``train_loss`` and ``train_`` each loss term, ``val_loss`` and ``val_``
        each loss term and score.

    Raises:
        SahmrError: if a loss is not finite; names epoch, step and samples.
    """
    module = task.trained(network)
    network.requires_grad_(False)
    for parameter in task.parameters(network):
        parameter.requires_grad_(True)
    optimizer = make_optimizer(module.parameters(), plan)
    state = _State(
        module=module,
        optimizer=optimizer,
        schedule=make_schedule(optimizer, plan, data.steps),
        average=make_average(module, plan.average_decay) if plan.average_decay else None,
        history=[],
        team=team,
    )
    first = state.restore_together(resume_file, digest, plan, data.steps)
    for epoch in range(first, plan.epochs):
        row: Row = {"epoch": epoch + 1, **_train_epoch(network, task, plan.seed, data, epoch, state)}
        with _averaged(state):
            row |= validate(network, task, data.validation(), team)
        state.history.append(row)
        if team.is_first:
            save_atomically(resume_file, state.content(digest))
            log.info("%s: epoch %d/%d  %s", task.stage, epoch + 1, plan.epochs, _brief(row))
    if state.average is not None:
        module.load_state_dict(state.average.module.state_dict())
    network.eval()
    return state.history


@torch.no_grad()
def validate(network: SahmrNet, task: Task, batches: Iterable[Batch], team: Team = ALONE) -> Row:
    """Means over the team's validation samples of ``val_loss``, each loss term and each score; without noise."""
    network.eval()
    means = _Means()
    device = next(network.parameters()).device
    for batch in tqdm(batches, desc="validate", unit="batch", disable=None if team.is_first else True, leave=False):
        if not batch.keys:
            continue  # a short last batch, and others have its samples
        here = move_to(batch, device)
        values = task.judge(network, here)
        losses = {name: value for name, value in values.items() if name in task.weights}
        means.add({"loss": weighted_sum(losses, task.weights), **values})
    return {f"val_{name}": value for name, value in means.result(team).items()}


def _train_epoch(network: SahmrNet, task: Task, seed: int, data: TrainingData, epoch: int, state: _State) -> Row:
    """All steps of one epoch; returns the rate and the mean losses."""
    network.eval()
    state.module.train()
    team = state.team
    seed = (seed + team.rank * _SEED_STRIDE) * _SEED_STRIDE + epoch
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    device = next(network.parameters()).device
    means, rate = _Means(), 0.0
    quiet = None if team.is_first else True
    bar = tqdm(data.epoch(epoch), total=data.steps, desc=f"epoch {epoch + 1}", unit="batch", disable=quiet, leave=False)
    for step, batch in enumerate(bar):
        losses = task.losses(network, move_to(batch, device), generator)
        total = weighted_sum(losses, task.weights)
        if not bool(total.isfinite().all()):
            raise SahmrError(
                f"{task.stage}: a loss is not finite in epoch {epoch + 1}, step {step + 1}, samples "
                f"{list(batch.keys)}; look at these samples, or lower canonical_lr"
            )
        rate = state.descend(total.mean())
        means.add({"loss": total.detach(), **{name: value.detach() for name, value in losses.items()}})
        bar.set_postfix(loss=f"{float(total.mean().detach()):.3f}")
    return {"lr": rate, **{f"train_{name}": value for name, value in means.result(team).items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What has to survive a kill."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    average: AveragedModel | None
    history: list[Row]
    team: Team

    def descend(self, loss: Tensor) -> float:
        """One step of weights, rate and average; returns the step's rate."""
        rate = float(self.schedule.get_last_lr()[0])
        descend(self.optimizer, loss, self.team, [b for b in self.module.buffers() if b.is_floating_point()])
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.module)
        return rate

    def content(self, digest: str) -> dict[str, Any]:
        return {
            "digest": digest,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "history": self.history,
        }

    def restore_together(self, path: Path, digest: str, plan: Plan, steps: int) -> int:
        """The first process reads, then the others, who find what it has not set aside."""
        if not self.team.is_first:
            self.team.wait()
        done = self.restore(path, digest, plan, steps)
        if self.team.is_first:
            self.team.wait()
        self.team.average([value for value in self.module.state_dict().values() if value.is_floating_point()])
        return done

    def restore(self, path: Path, digest: str, plan: Plan, steps: int) -> int:
        """Take up a sound and matching resume file; returns the number of epochs already done."""
        content = read_resume(path, self.content(digest), self.schedule, epochs=plan.epochs, steps=steps)
        if content is None:
            return 0
        self.module.load_state_dict(content["module"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.history.extend(content["history"])
        if self.team.is_first:
            log.info("%s: resumed after %d epochs", path, len(self.history))
        return len(self.history)


@contextmanager
def _averaged(state: _State) -> Iterator[None]:
    """The module bears its averaged weights, if there are any."""
    if state.average is None:
        yield
        return
    kept = {name: value.clone() for name, value in state.module.state_dict().items()}
    state.module.load_state_dict(state.average.module.state_dict())
    try:
        yield
    finally:
        state.module.load_state_dict(kept)


class _Means:
    """Means over all samples seen."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.count = 0

    def add(self, values: dict[str, Float[Tensor, " batch"]]) -> None:
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value.double().sum())
        self.count += len(next(iter(values.values())))

    def result(self, team: Team) -> Row:
        """Over the samples of the whole team; empty if nobody saw any."""
        names = team.share_names(list(self.totals))
        found = torch.tensor([float(self.count), *(self.totals.get(name, 0.0) for name in names)], dtype=torch.double)
        team.add([found])
        count, *totals = found.tolist()
        return {name: total / count for name, total in zip(names, totals, strict=True)}


def _brief(row: Row) -> str:
    """The row's main numbers for the log."""
    shown = [name for name in row if name in ("train_loss", "val_loss") or name.endswith("_mm")]
    return "  ".join(f"{name} {row[name]:.4g}" for name in shown)
