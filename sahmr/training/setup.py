"""What both training stages need before the first step: common settings and batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from sahmr.batches.loader import SampleLoader
from sahmr.errors import SettingsError, ShardError
from sahmr.settings import Between, Paths, Quarantine, Seed, settings
from sahmr.shards.crop import ZOOM_RANGE
from sahmr.structures import Batch
from sahmr.training.optimizer import Plan
from sahmr.training.parts import Ingredients, make_part
from sahmr.training.source import Source
from sahmr.training.team import ALONE, Team
from sahmr.training.trainer import TrainingData

log = logging.getLogger("sahmr")


@settings
class TrainingSettings:
    """What the sections of both training stages have in common.

    Attributes:
        datasets: whose splits ``train`` and ``val`` are used; an epoch is shared out by their weights.
        steps_per_epoch: None: an epoch has as many samples as there are; else so many steps, and the walk through the
            data goes on over its end.
        max_quarantined: so many different damaged samples may each process leave out; 0: the first one is an error.
        zoom_range: training crops are widened by up to this share of the person box's larger side.
        seed, epochs, batch_size, canonical_lr, schedule, warmup_steps, average_decay: as in
            :class:`sahmr.training.optimizer.Plan`.
        processes: that train together on this machine. Each takes its share of every batch, with batch statistics of
            its own, and their gradients are averaged: so their number decides the weights.
    """

    datasets: Ingredients
    steps_per_epoch: Annotated[int, Between(1, 100_000_000)] | None = None
    max_quarantined: Quarantine = 0
    seed: Seed
    epochs: Annotated[int, Between(1, 10_000)]
    batch_size: Annotated[int, Between(1, 1024)]
    canonical_lr: Annotated[float, Between(1e-10, 1)]
    schedule: Literal["halve", "cosine"]
    warmup_steps: Annotated[int, Between(0, 1_000_000)]
    average_decay: Annotated[float, Between(0, 0.99999)]  # 1 would keep the initial weights for ever
    zoom_range: Annotated[float, Between(0, ZOOM_RANGE)]  # what every stored crop has room for
    processes: Annotated[int, Between(1, 64)]

    def plan(self) -> Plan:
        """The part that a trainer reads."""
        return Plan(**{name: getattr(self, name) for name in Plan.__dataclass_fields__})


def source_of(section: TrainingSettings, paths: Paths, workers: int) -> Source:
    """The data sets of a section."""
    return Source(
        parts=tuple(
            make_part(name, ingredient, paths.shards, paths.scenes) for name, ingredient in section.datasets.items()
        ),
        workers=workers,
        zoom_range=section.zoom_range,
        max_quarantined=section.max_quarantined,
        steps_per_epoch=section.steps_per_epoch,
    )


def training_data(source: Source, plan: Plan, team: Team = ALONE) -> TrainingData:
    """Shuffled, jittered ``train`` and plain ``val``; data sets without ``val`` are trained without validation.

    Raises:
        SettingsError: if a batch has fewer samples than the team has processes.
    """
    loader = source.shuffled(plan.batch_size, plan.seed, team)
    most = min(plan.batch_size, loader.samples)
    if most < team.size:
        raise SettingsError(
            f"params.yaml: processes: found {team.size}, allowed at most {most}, the "
            "samples of a batch; lower it, or raise batch_size"
        )
    validation: Iterable[Batch] = ()
    if any(part.has("val") for part in source.parts):
        validation = source.plain("val", plan.batch_size, team)
    else:
        places = ", ".join(str(part.shards) for part in source.parts)
        log.info("%s: no split 'val'; training goes without validation", places)
    return TrainingData(
        epoch=lambda epoch: _never_empty(loader, epoch), steps=len(loader), validation=lambda: validation
    )


def _never_empty(loader: SampleLoader, epoch: int) -> Iterator[Batch]:
    """Batches of an epoch. Raises ShardError if damage leaves this process nothing of one: it could not take part."""
    for number, batch in enumerate(loader.epoch(epoch), start=1):
        if not batch.keys:
            raise ShardError(
                f"epoch {epoch + 1}, step {number}: every sample of this process's share is damaged, a step needs one; "
                "run: dvc repro shards, or set processes: 1"
            )
        yield batch
    if loader.left_out:
        log.warning("epoch %d: %d damaged samples were left out so far", epoch + 1, len(loader.left_out))


def require_peak(stage: str, plan: Plan, data: TrainingData) -> None:
    """Insist that the warm-up ends within the training.

    Raises:
        SettingsError: naming the key of the stage's section.
    """
    steps = plan.epochs * data.steps
    if plan.warmup_steps > steps:
        raise SettingsError(
            f"params.yaml: {stage}.warmup_steps: found {plan.warmup_steps}, allowed at most {steps}, the steps of the "
            f"whole training ({plan.epochs} epochs of {data.steps}); the rate would never peak: edit the value"
        )
