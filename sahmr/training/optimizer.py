"""How the weights move: Adam, the learning-rate rule, clipping by value, and an optional running average."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from sahmr.network.precision import TrainingPrecision
from sahmr.training.shares import Shares, Statistics
from sahmr.training.team import ALONE, Team

_CANONICAL_BATCH = 32  # reference: lr = canonical_lr * batch_size / 32
_CLIP_VALUE = 0.5  # reference: every gradient element is cut to +-0.5

Schedule = Literal["halve", "cosine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides the course of a training besides the data.

    Attributes:
        seed: of initial weights, order, augmentation, dropout and noise.
        epochs, batch_size: as usual.
        canonical_lr: learning rate per 32 images.
        schedule: ``halve`` halves the rate after half the epochs (reference); ``cosine`` lets it fall to zero.
        warmup_steps: the rate rises linearly over this many steps first.
        average_decay: d of the running average ``a = d a + (1 - d) w`` of the weights, which is then what is validated
            and saved; 0 turns it off (reference).
        precision: of matrix products and convolutions while gradients are made; weights, losses and validation are
            float32 in any case.
        early_stopping: so many epochs without a lower ``val_loss`` end the training, which then has the weights of the
            best epoch; 0: never, and it has those of the last.
    """

    seed: int
    epochs: int
    batch_size: int
    canonical_lr: float
    schedule: Schedule = "halve"
    warmup_steps: int = 0
    average_decay: float = 0.0
    precision: TrainingPrecision = "float32"
    early_stopping: int = 0


def make_optimizer(parameters: Iterable[nn.Parameter], plan: Plan) -> torch.optim.Adam:
    """Adam without weight decay over the parameters that want gradients."""
    wanted = [p for p in parameters if p.requires_grad]
    return torch.optim.Adam(wanted, lr=peak_rate(plan), weight_decay=0.0, fused=True)


def peak_rate(plan: Plan) -> float:
    """Learning rate after the warm-up: ``canonical_lr * batch_size / 32``."""
    return plan.canonical_lr * plan.batch_size / _CANONICAL_BATCH


def make_schedule(optimizer: torch.optim.Optimizer, plan: Plan, steps_per_epoch: int) -> LambdaLR:
    """Rate of every step in closed form, so that it does not depend on the steps before; to be stepped after each."""

    def factor(done: int) -> float:
        warmth = min(1.0, (done + 1) / plan.warmup_steps) if plan.warmup_steps else 1.0
        if plan.schedule == "cosine":
            return warmth * (0.5 + 0.5 * math.cos(math.pi * done / (plan.epochs * steps_per_epoch)))
        return warmth * (0.5 if plan.epochs > 1 and done // steps_per_epoch >= plan.epochs // 2 else 1.0)

    return LambdaLR(optimizer, factor)


def descend(
    optimizer: torch.optim.Optimizer,
    losses: Iterable[Tensor | None],
    team: Team = ALONE,
    statistics: Statistics | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """One step down: gradients, their mean over the step's shares, clipping by value, update.

    Args:
        optimizer: over the parameters that are trained.
        losses: of this process's shares, computed one after the other as they are asked for; None of a share without
            samples, which counts as a gradient of 0.
        team: who shares the batch.
        statistics: what a forward changes beside the parameters: every share starts from the same, and their means
            over the shares with samples stay.
        scaler: of losses in half precision.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    shares = Shares(parameters, statistics, team)
    for loss in losses:
        optimizer.zero_grad(set_to_none=True)
        if loss is not None:
            scaled = loss if scaler is None else scaler.scale(loss)
            scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        shares.take(is_filled=loss is not None)
    shares.average()
    if all(p.grad is None for p in parameters):
        return  # no samples at all
    if scaler is not None:
        scaler.unscale_(optimizer)
    nn.utils.clip_grad_value_(parameters, _CLIP_VALUE)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()


class RunningAverage(AveragedModel):
    """Running average of a module's parameters and buffers; its first steps average over what there is.

    Torch looks for all parameters in every step, which takes longer than averaging them: here that is done once.

    Args:
        module: whose state is the first value.
        decay: see :class:`Plan`.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__(module, use_buffers=True)
        self.decay = decay
        self._pairs: list[tuple[Tensor, Tensor]] | None = None
        super().update_parameters(module)
        for old, new in zip(self.module.parameters(), module.parameters(), strict=True):
            if not new.requires_grad:
                old.data = new.data  # what does not move is its own mean

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the module's values after a step; always the same module's."""
        if self._pairs is None:
            every = zip(_values(self.module), _values(model), strict=True)
            self._pairs = [(old, new) for old, new in every if old.data_ptr() != new.data_ptr()]
        done = int(self.n_averaged)
        share = 1.0 - min(self.decay, (1 + done) / (10 + done))
        floats = [pair for pair in self._pairs if pair[0].is_floating_point()]
        counters = [pair for pair in self._pairs if not pair[0].is_floating_point()]
        if floats:
            torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], share)
        if counters:
            torch._foreach_copy_([old for old, _ in counters], [new for _, new in counters])
        self.n_averaged += 1


def _values(module: nn.Module) -> list[Tensor]:
    return [value.detach() for value in (*module.parameters(), *module.buffers())]
