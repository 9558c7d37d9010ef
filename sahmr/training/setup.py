"""What both training stages need before the first step: common settings and batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Literal

from sahmr.batches.loader import DecodeIn, SampleLoader
from sahmr.errors import SettingsError
from sahmr.network.precision import TrainingPrecision
from sahmr.settings import Between, Flag, Paths, Quarantine, Seed, settings
from sahmr.shards.crop import ZOOM_RANGE
from sahmr.share import LOCAL, Share, find_places
from sahmr.structures import Batch
from sahmr.training.optimizer import Plan
from sahmr.training.parts import Ingredients, make_part
from sahmr.training.source import Source
from sahmr.training.state import TrainingData
from sahmr.training.team import ALONE, Team

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
        fixed_crops: each is moved and widened once for the whole training, not anew in every epoch.
        seed, epochs, batch_size, canonical_lr, schedule, warmup_steps, average_decay, precision, early_stopping: as in
            :class:`sahmr.training.optimizer.Plan`.
        processes: that train together on this machine; ``torchrun`` may start others, GPUs may be fewer.
        accumulation: shares of a batch that each of them takes one after the other. Each share has batch statistics of
            its own, and their gradients are averaged: so their number, processes x accumulation, decides the weights.
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
    fixed_crops: Flag = False
    processes: Annotated[int, Between(1, 64)]
    accumulation: Annotated[int, Between(1, 1024)] = 1
    precision: TrainingPrecision = "float32"
    early_stopping: Annotated[int, Between(0, 10_000)] = 0

    def plan(self) -> Plan:
        """The part that a trainer reads."""
        return Plan(**{name: getattr(self, name) for name in Plan.__dataclass_fields__})


def source_of(
    section: TrainingSettings, paths: Paths, workers: int, share: Share = LOCAL, decode_in: DecodeIn = "processes"
) -> Source:
    """The data sets of a section. Errors as :func:`sahmr.share.find_places`."""
    return Source(
        parts=tuple(
            make_part(name, ingredient, *find_places(share, paths, name))
            for name, ingredient in section.datasets.items()
        ),
        workers=workers,
        decode_in=decode_in,
        zoom_range=section.zoom_range,
        fixed_crops=section.fixed_crops,
        max_quarantined=section.max_quarantined,
        steps_per_epoch=section.steps_per_epoch,
    )


def training_data(source: Source, plan: Plan, team: Team = ALONE) -> TrainingData:
    """Shuffled, jittered ``train`` and plain ``val``; data sets without ``val`` are trained without validation.

    Raises:
        SettingsError: if a batch has fewer samples than shares, or early stopping has no split to go by.
    """
    loader = source.shuffled(plan.batch_size, plan.seed, team)
    most = min(plan.batch_size, loader.samples)
    if most < team.shares:
        raise SettingsError(
            f"params.yaml: processes: found {team.shares} (x accumulation), allowed at most {most}, the samples of a "
            "batch; lower it, or raise batch_size"
        )
    places = ", ".join(str(part.shards) for part in source.parts)
    validation: Iterable[Batch] = ()
    if any(part.has("val") for part in source.parts):
        validation = source.plain("val", plan.batch_size, team)
    elif plan.early_stopping:
        raise SettingsError(
            f"params.yaml: early_stopping: found {plan.early_stopping}, allowed 0, as {places} has no split 'val' to "
            "go by; edit the value"
        )
    else:
        log.info("%s: no split 'val'; training goes without validation", places)
    return TrainingData(
        epoch=partial(_counted, loader), steps=len(loader), validation=lambda: validation, loader=loader
    )


def _counted(loader: SampleLoader, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
    """Batches of an epoch; at its end the log says how many samples were left out."""
    yield from loader.epoch(epoch, first_batch=first_batch)
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
