"""The epochs: steps, validation, history, and resuming after a kill."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

import torch
from tqdm import tqdm

from sahmr.losses import weighted_sum
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, move_to
from sahmr.training.optimizer import Plan
from sahmr.training.progress import PHASES, Means, Row, start_epoch, team_means
from sahmr.training.state import Keeping, State, TrainingData, best_epoch, make_state
from sahmr.training.steps import train_epoch
from sahmr.training.stop import Stop, listening
from sahmr.training.tasks import Task
from sahmr.training.team import ALONE, Team

log = logging.getLogger("sahmr")


def train(
    network: SahmrNet,
    task: Task,
    plan: Plan,
    data: TrainingData,
    *,
    keeping: Keeping,
    team: Team = ALONE,
) -> list[Row]:
    """Train one part of the network in place.

    All randomness of an epoch comes from (seed, epoch, share of the step), and checkpoints say how far each share's
    numbers were drawn: a training that was killed and resumed ends with the same weights as one that ran through.

    Args:
        network: on its device; afterwards holds the trained (or averaged) weights, in evaluation mode.
        task: what to train and how.
        plan: lengths and rates.
        data: batches on the CPU.
        keeping: what is kept on the way. Its resume file is rewritten after every epoch at least, and is the caller's
            once the result is stored; one with another digest is refused, a damaged one set aside.
        team: the processes that do this together, each with its shares of the data.

    Returns:
        One row per epoch: ``epoch``, ``lr``, ``train_loss`` and ``train_`` each loss term, ``val_loss`` and ``val_``
        each loss term and score.

    Raises:
        SahmrError: if a loss is not finite; names epoch, step, samples, and the file that has the batch.
        CheckpointError: if the resume file is of other settings or data.
        KeyboardInterrupt: after SIGTERM; the same call goes on with the next step.
    """
    module = task.trained(network)
    network.requires_grad_(False)
    for parameter in task.parameters(network):
        parameter.requires_grad_(True)
    state = make_state(module, plan, data, keeping, team)
    with listening() as stop:
        try:
            _train_epochs(network, task, plan, state, stop)
        except RuntimeError:
            if stop.asked:  # a loader's process heard it as well, and ended at once
                raise KeyboardInterrupt from None
            raise
    if plan.early_stopping:
        state.take_best()
    if state.average is not None:
        module.load_state_dict(state.average.module.state_dict())
    network.eval()
    return state.history


def _train_epochs(network: SahmrNet, task: Task, plan: Plan, state: State, stop: Stop) -> None:
    device, team = next(network.parameters()).device, state.team
    within = state.restore_together(plan)
    _show(state)
    while len(state.history) < plan.epochs and not _is_over(plan, state.history):
        epoch = len(state.history)
        progress = start_epoch(plan.seed, epoch, team, device)
        progress.load(within, team)
        within = {"step": 0}
        row: Row = {"epoch": epoch + 1, **train_epoch(network, task, state, progress, epoch, stop)}
        start = time.perf_counter()
        with state.averaged():
            row |= validate(network, task, state.data.validation(), team)
        state.history.append(row)
        seconds = {**progress.seconds, "validation": time.perf_counter() - start}
        state.times.append({"epoch": epoch + 1, **{f"{name}_s": value for name, value in seconds.items()}})
        state.save()
        if team.is_first:
            log.info("%s: epoch %d/%d  %s  %s", task.stage, epoch + 1, plan.epochs, _brief(row), _split(seconds))
        _show(state)
    if team.is_first and len(state.history) < plan.epochs:
        log.info("%s: stopped early, epoch %d was the best", task.stage, best_epoch(state.history))


def _is_over(plan: Plan, history: Sequence[Row]) -> bool:
    """Whether early stopping ends it here."""
    return bool(plan.early_stopping and history) and len(history) - best_epoch(history) >= plan.early_stopping


def _show(state: State) -> None:
    if state.team.is_first and state.keeping.watch is not None and state.history:
        state.keeping.watch(state.history, state.times)


@torch.no_grad()
def validate(network: SahmrNet, task: Task, batches: Iterable[Batch], team: Team = ALONE) -> Row:
    """Means over the team's validation samples of ``val_loss``, each loss term and each score; without noise."""
    network.eval()
    means = [Means() for _ in team.own]
    device = next(network.parameters()).device
    quiet = None if team.is_first else True
    for number, batch in enumerate(tqdm(batches, desc="validate", unit="batch", disable=quiet, leave=False)):
        if not batch.keys:
            continue  # a short last batch, and other shares have its samples
        values = task.judge(network, move_to(batch, device))
        losses = {name: value for name, value in values.items() if name in task.weights}
        means[number % team.parts].add({"loss": weighted_sum(losses, task.weights), **values})
    return {f"val_{name}": value for name, value in team_means(means, team).items()}


def _brief(row: Row) -> str:
    """The row's main numbers for the log."""
    shown = [name for name in row if name in ("train_loss", "val_loss") or name.endswith("_mm")]
    return "  ".join(f"{name} {row[name]:.4g}" for name in shown)


def _split(seconds: Mapping[str, float]) -> str:
    """Where an epoch's time went."""
    whole = sum(seconds[name] for name in PHASES) or 1.0
    shares = ", ".join(f"{name} {100 * seconds[name] / whole:.0f} %" for name in PHASES)
    return f"({whole:.1f} s: {shares})"
