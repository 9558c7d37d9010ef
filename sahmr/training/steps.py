"""The steps of an epoch: batches in, a lower loss out; and what is kept of a batch whose loss is not finite."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sahmr.errors import SahmrError
from sahmr.losses import weighted_sum
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, move_to
from sahmr.training.checkpoint import save_atomically
from sahmr.training.progress import Progress, Row, team_means
from sahmr.training.state import State
from sahmr.training.stop import Stop
from sahmr.training.tasks import Task
from sahmr.training.team import Team

log = logging.getLogger("sahmr")


def train_epoch(network: SahmrNet, task: Task, state: State, progress: Progress, epoch: int, stop: Stop) -> Row:
    """All steps that an epoch still has; returns the rate and the mean losses.

    Raises:
        SahmrError: if a loss is not finite.
        KeyboardInterrupt: if the training was asked to end; the step it was in is saved.
    """
    network.eval()
    state.module.train()
    team, steps, every = state.team, state.data.steps, state.keeping.checkpoint_steps
    batches = iter(state.data.epoch(epoch, first_batch=progress.step) if progress.step else state.data.epoch(epoch))
    quiet = None if team.is_first else True
    with tqdm(
        total=steps, initial=progress.step, desc=f"epoch {epoch + 1}", unit="batch", disable=quiet, leave=False
    ) as bar:
        while progress.step < steps:
            with progress.clocked("data"):
                parts = [next(batches) for _ in team.own]
            loss = _take_step(network, task, state, progress, parts, f"epoch {epoch + 1}, step {progress.step + 1}")
            progress.step += 1
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}")
            is_asked = _any(stop.asked, team)
            if is_asked or (every and progress.step % every == 0 and progress.step < steps):
                state.save(progress)
            if is_asked:
                if team.is_first:
                    log.warning("%s: stopped after epoch %d, step %d", task.stage, epoch + 1, progress.step)
                raise KeyboardInterrupt
    next(batches, None)  # a loader tidies up behind its last batch
    return {
        "lr": state.last_rate,
        **{f"train_{name}": value for name, value in team_means(progress.means, team).items()},
    }


def _any(claim: bool, team: Team) -> bool:
    return bool(team.total(torch.tensor(float(claim)))) if team.size > 1 else claim


def _take_step(
    network: SahmrNet, task: Task, state: State, progress: Progress, parts: Sequence[Batch], place: str
) -> float:
    """One step on this process's shares; returns the mean loss of its samples."""
    device, team = next(network.parameters()).device, state.team
    count = torch.tensor(float(sum(len(batch.keys) for batch in parts)))
    samples = float(team.total(count)) if team.size > 1 else float(count)
    found: list[dict[str, Tensor] | None] = []

    def losses() -> Iterator[Tensor | None]:
        for batch, stream in zip(parts, progress.streams, strict=True):
            if not batch.keys:
                found.append(None)
                yield None
                continue
            with progress.clocked("forward"):
                with stream.drawn() as generator:
                    terms = task.losses(network, move_to(batch, device), generator)
                total = weighted_sum(terms, task.weights)
                if not bool(total.isfinite().all()):
                    _report(task.stage, place, batch, terms, state.keeping.resume_file)
            found.append({"loss": total.detach(), **{name: value.detach() for name, value in terms.items()}})
            weight = len(batch.keys) * team.shares / samples  # 1 if all shares have equally many
            yield total.mean() if weight == 1 else total.mean() * weight

    forward = progress.seconds["forward"]
    with progress.clocked("backward"):
        state.descend(losses())
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    progress.seconds["backward"] -= progress.seconds["forward"] - forward
    for means, values in zip(progress.means, found, strict=True):
        if values is not None:
            means.add(values)
    own = [values["loss"] for values in found if values is not None]
    return float(torch.cat(own).mean()) if own else 0.0


def _report(stage: str, place: str, batch: Batch, losses: Mapping[str, Tensor], resume_file: Path) -> None:
    """Keep the batch, and say which it was.

    Raises:
        SahmrError: always.
    """
    path = resume_file.with_name(f"{stage}_not_finite.pt")
    kept = {"place": place, "losses": {name: value.detach().cpu() for name, value in losses.items()}}
    save_atomically(path, {**kept, "batch": plain(batch)})
    bad = [name for name, value in losses.items() if not bool(value.isfinite().all())]
    raise SahmrError(
        f"{stage}: a loss is not finite in {place}, samples {list(batch.keys)} ({', '.join(bad)}); the batch is kept "
        f"in {path}, for torch.load: look at these samples, or lower canonical_lr"
    )


def plain(value: Any) -> Any:
    """A batch as nested dicts of tensors and plain values, which ``torch.load(weights_only=True)`` reads."""
    if not hasattr(value, "__dataclass_fields__"):
        return list(value) if isinstance(value, tuple) else value
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
