"""All of a training that has to survive a kill, and its checkpoints."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from sahmr.batches.loader import SampleLoader
from sahmr.errors import CheckpointError, ShardError
from sahmr.structures import Batch
from sahmr.training.checkpoint import load_plain, save_atomically
from sahmr.training.optimizer import Plan, RunningAverage, descend, make_optimizer, make_schedule
from sahmr.training.progress import BETWEEN, Progress, Row
from sahmr.training.resume import read_resume
from sahmr.training.shares import Statistics
from sahmr.training.team import Team

log = logging.getLogger("sahmr")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Where the batches come from.

    Attributes:
        epoch: epoch number -> its batches, one per step and share of this process; the same number gives the same.
            To go on within an epoch it takes ``first_batch``, too, a step.
        steps: of an epoch.
        validation: the validation batches, always the same; one for each share of this process, again and again.
        loader: whose state goes into checkpoints; None: made-up batches have none.
    """

    epoch: Callable[..., Iterable[Batch]]
    steps: int
    validation: Callable[[], Iterable[Batch]]
    loader: SampleLoader | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept of a training on its way, and for whom.

    Attributes:
        resume_file: the last checkpoint; its neighbour, ``.best`` for ``.resume``, is the best epoch's.
        digest: identifies settings and data.
        about: what they are, plain values, for whoever finds the file.
        checkpoint_steps: a checkpoint after so many steps of an epoch, too; 0: after epochs alone.
        watch: sees all rows and times so far, after every epoch and when a training is resumed.
    """

    resume_file: Path
    digest: str
    about: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_steps: int = 0
    watch: Callable[[Sequence[Row], Sequence[Row]], None] | None = None

    @property
    def best_file(self) -> Path:
        """State after the best epoch so far."""
        return best_file(self.resume_file)


def best_file(resume_file: Path) -> Path:
    """Where the best epoch's checkpoint lies."""
    stem = resume_file.stem.removesuffix("resume").removesuffix(".")
    return resume_file.with_name(f"{stem}.best{resume_file.suffix}")


@dataclass(slots=True, kw_only=True)
class State:
    """What has to survive a kill.

    Attributes:
        history, times: a row per epoch.
        origin: digest of the checkpoint that was adopted, if one was (:mod:`sahmr.training.foreign`).
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    average: RunningAverage | None
    scaler: torch.amp.GradScaler | None
    statistics: Statistics
    history: list[Row]
    times: list[Row]
    team: Team
    keeping: Keeping
    data: TrainingData
    origin: str = ""

    @property
    def done(self) -> int:
        """Steps made."""
        return int(self.schedule.last_epoch)

    @property
    def last_rate(self) -> float:
        """Of the last step."""
        return float(self.schedule.base_lrs[0] * self.schedule.lr_lambdas[0](self.done - 1))

    def descend(self, losses: Iterable[Tensor | None]) -> None:
        """One step of weights, rate and average."""
        descend(self.optimizer, losses, self.team, self.statistics, self.scaler)
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.module)

    def content(self, within: Mapping[str, Any] = BETWEEN) -> dict[str, Any]:
        """What a checkpoint holds."""
        loader = self.data.loader
        return {
            "digest": self.keeping.digest,
            "origin": self.origin,
            "about": dict(self.keeping.about),
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "history": self.history,
            "times": self.times,
            "within": dict(within),
            "loader": "" if loader is None else json.dumps({**loader.state_dict(), "step": self.done}),
        }

    def save(self, progress: Progress | None = None) -> None:
        """Write the last checkpoint, in an epoch or after it; every process must come here."""
        within = BETWEEN if progress is None else progress.content(self.team)
        if self.team.is_first:
            save_atomically(self.keeping.resume_file, self.content(within))
            if progress is None:
                self.keep_best()

    def keep_best(self) -> None:
        """If the last epoch is the best so far, its checkpoint stays under another name, too."""
        if best_epoch(self.history) != len(self.history):
            return
        best = self.keeping.best_file
        best.unlink(missing_ok=True)
        try:
            os.link(self.keeping.resume_file, best)
        except OSError:  # a file system without links
            shutil.copyfile(self.keeping.resume_file, best)

    def restore_together(self, plan: Plan) -> Mapping[str, Any]:
        """Take up the last checkpoint, if there is one; returns how far its epoch had come.

        The first process reads, then the others, who find what it has not set aside.
        """
        if not self.team.is_first:
            self.team.wait()
        within = self._restore(plan)
        if self.team.is_first:
            self.team.wait()
        self.team.follow([value for value in self.module.state_dict().values() if value.is_floating_point()])
        return within

    def _restore(self, plan: Plan) -> Mapping[str, Any]:
        path = self.keeping.resume_file
        content = read_resume(
            path,
            self.content(),
            self.schedule,
            epochs=plan.epochs,
            steps=self.data.steps,
            shares=self.team.shares,
            check_loader=self._check_loader,
        )
        if content is None:
            return BETWEEN
        self._load(content)
        within: dict[str, Any] = content["within"]
        if self.team.is_first:
            more = f" and {within['step']} steps" if within["step"] else ""
            log.info("%s: resumed after %d epochs%s", path, len(self.history), more)
            if not within["step"]:
                self.keep_best()
        return within

    def _load(self, content: Mapping[str, Any]) -> None:
        self.module.load_state_dict(content["module"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        if self.scaler is not None:
            self.scaler.load_state_dict(content["scaler"])
        self.history.extend(content["history"])
        self.times.extend(content["times"])
        self.origin = content["origin"]

    def _check_loader(self, said: str, done: int) -> None:
        """Insist that the samples that would come next are those that came next.

        Raises:
            CheckpointError: if they are not.
        """
        loader = self.data.loader
        if loader is None:
            return
        try:
            loader.load_state_dict(json.loads(said))
        except (ShardError, ValueError, AttributeError) as error:
            raise CheckpointError(f"loader: {str(error)[:200]}") from error
        if loader.step != done:
            raise CheckpointError(f"loader stands at step {loader.step}, the training at {done}")

    def take_best(self) -> None:
        """Put the best epoch's weights into the module, and into the average if there is one.

        Raises:
            CheckpointError: if its checkpoint is missing, damaged or another training's.
        """
        self.team.wait()  # the first process may just have made it
        path = self.keeping.best_file
        content = load_plain(path, remedy="; delete it and its neighbour .resume.pt, and train again")
        if content.get("digest") != self.keeping.digest or len(content["history"]) != best_epoch(self.history):
            raise CheckpointError(f"{path}: not of this training; delete it and its neighbour .resume.pt, train again")
        self.module.load_state_dict(content["module"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The module bears its averaged weights, if there are any."""
        if self.average is None:
            yield
            return
        kept = {name: value.clone() for name, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.average.module.state_dict())
        try:
            yield
        finally:
            self.module.load_state_dict(kept)


def make_state(module: nn.Module, plan: Plan, data: TrainingData, keeping: Keeping, team: Team) -> State:
    """A training before its first step; what shall move must want gradients already."""
    optimizer = make_optimizer(module.parameters(), plan)
    device = next(module.parameters()).device
    return State(
        module=module,
        optimizer=optimizer,
        schedule=make_schedule(optimizer, plan, data.steps),
        average=RunningAverage(module, plan.average_decay) if plan.average_decay else None,
        scaler=torch.amp.GradScaler(device.type) if plan.precision == "float16" else None,
        statistics=Statistics(module),
        history=[],
        times=[],
        team=team,
        keeping=keeping,
        data=data,
    )


def best_epoch(history: Sequence[Row]) -> int:
    """Number of the first epoch with the lowest ``val_loss``; without validation the last one's."""

    def loss(row: Row) -> float:
        value = row.get("val_loss", -row["epoch"])
        return math.inf if math.isnan(value) else value

    return int(min(history, key=loss)["epoch"])
