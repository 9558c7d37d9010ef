"""What both training stages need before the first step: common settings, batches, and what of the data decides."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.errors import SettingsError, ShardError
from sahmr.network.precision import TrainingPrecision
from sahmr.scenes.store import load_points, voxel_pitch_m
from sahmr.settings import Between, Dataset, Paths, Seed, settings
from sahmr.shards.crop import ZOOM_RANGE
from sahmr.structures import Batch
from sahmr.training.optimizer import Plan
from sahmr.training.state import TrainingData
from sahmr.training.team import ALONE, Team
from schemas.shard import ShardEntry

log = logging.getLogger("sahmr")

SPLITS = ("train", "val")


@settings
class TrainingSettings:
    """What the sections of both training stages have in common.

    Attributes:
        dataset: whose splits ``train`` and ``val`` are used.
        zoom_range: training crops are widened by up to this share of the person box's larger side.
        seed, epochs, batch_size, canonical_lr, schedule, warmup_steps, average_decay, precision, early_stopping: as in
            :class:`sahmr.training.optimizer.Plan`.
        processes: that train together on this machine; ``torchrun`` may start others, GPUs may be fewer.
        accumulation: shares of a batch that each of them takes one after the other. Each share has batch statistics of
            its own, and their gradients are averaged: so their number, processes x accumulation, decides the weights.
    """

    dataset: Dataset
    seed: Seed
    epochs: Annotated[int, Between(1, 10_000)]
    batch_size: Annotated[int, Between(1, 1024)]
    canonical_lr: Annotated[float, Between(1e-10, 1)]
    schedule: Literal["halve", "cosine"]
    warmup_steps: Annotated[int, Between(0, 1_000_000)]
    average_decay: Annotated[float, Between(0, 0.99999)]  # 1 would keep the initial weights for ever
    zoom_range: Annotated[float, Between(0, ZOOM_RANGE)]  # what every stored crop has room for
    processes: Annotated[int, Between(1, 64)]
    accumulation: Annotated[int, Between(1, 1024)] = 1
    precision: TrainingPrecision = "float32"
    early_stopping: Annotated[int, Between(0, 10_000)] = 0

    def plan(self) -> Plan:
        """The part that a trainer reads."""
        return Plan(**{name: getattr(self, name) for name in Plan.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where samples come from.

    Attributes:
        shards: the data set's shard folder.
        scenes: its scene store.
        workers: loader processes; cannot change the batches.
        zoom_range: widest zoom of training crops, see :class:`SampleDataset`.
    """

    shards: Path
    scenes: Path
    workers: int
    zoom_range: float

    def plain(self, split: str, batch_size: int, team: Team = ALONE) -> Iterable[Batch]:
        """All samples of a split in order, crops not jittered; of every batch this process's share.

        Raises:
            ShardError: if the split has none, or some without ground truth.
        """
        dataset = SampleDataset(self.shards, self.scenes, split)
        dataset.require_bodies()
        return make_loader(dataset, batch_size=batch_size, num_workers=self.workers, share=(team.rank, team.size))

    def bodies(self, count: int) -> Float[Tensor, "bodies 6890 3"]:
        """Up to so many people of split ``train``, evenly spread over its keys, world frame, metres.

        Raises:
            ShardError: if the split has no samples, or some without ground truth.
        """
        dataset = SampleDataset(self.shards, self.scenes, "train")
        dataset.require_bodies()
        places = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
        found = [dataset.reader.geometry(dataset.entries[int(place)]).vertices_world for place in places]
        return torch.from_numpy(np.stack([vertices for vertices in found if vertices is not None])).float()


def source_of(section: TrainingSettings, paths: Paths, workers: int) -> Source:
    """The data set of a section."""
    return Source(
        shards=paths.shards / section.dataset,
        scenes=paths.scenes / f"{section.dataset}.zarr",
        workers=workers,
        zoom_range=section.zoom_range,
    )


def training_data(source: Source, plan: Plan, team: Team = ALONE) -> TrainingData:
    """Shuffled, jittered ``train`` and plain ``val``; a data set without ``val`` is trained without validation.

    Raises:
        SettingsError: if a batch has fewer samples than shares, or early stopping has no split to go by.
    """
    dataset = SampleDataset(
        source.shards, source.scenes, "train", is_training=True, seed=plan.seed, zoom_range=source.zoom_range
    )
    if min(plan.batch_size, len(dataset)) < team.shares:
        raise SettingsError(
            f"params.yaml: processes: found {team.shares} (x accumulation), allowed at most "
            f"{min(plan.batch_size, len(dataset))}, the samples of a batch; lower it, or raise batch_size"
        )
    loader = make_loader(
        dataset,
        batch_size=plan.batch_size,
        seed=plan.seed,
        num_workers=source.workers,
        share=(team.rank, team.size),
        parts=team.parts,
    )
    validation: Iterable[Batch] = ()
    try:
        SampleDataset(source.shards, source.scenes, "val")
    except ShardError as error:
        if plan.early_stopping:
            raise SettingsError(
                f"params.yaml: early_stopping: found {plan.early_stopping}, allowed 0, as {source.shards} has no split "
                "'val' to go by; edit the value"
            ) from error
        log.info("%s: no split 'val'; training goes without validation", source.shards)
    else:
        validation = source.plain("val", plan.batch_size, team)
    return TrainingData(epoch=loader.epoch, steps=len(loader), validation=lambda: validation, loader=loader)


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


def decisive_data(source: Source) -> dict[str, Any]:
    """All of the data that can change a training, as JSON-able digests.

    Of the shard index the samples of ``train`` and ``val``: key (which seeds their augmentation), scene and SHA-256;
    of their scenes the points. Other splits, columns and arrays may change without a new training.

    Raises:
        ShardError: if there is no index, or no sample to train with.
        StoreError: if a scene is missing or damaged.
    """
    found: dict[str, Any] = {"voxel_pitch_m": voxel_pitch_m(source.scenes)}
    scenes: set[str] = set()
    for split in SPLITS:
        try:
            entries: Sequence[ShardEntry] = SampleDataset(source.shards, source.scenes, split).entries
        except ShardError:
            if split == "train":
                raise
            entries = []
        found[split] = [(entry.key, entry.scene_key, entry.sha256) for entry in entries]
        scenes |= {entry.scene_key for entry in entries}
    found["scenes"] = {
        key: hashlib.sha256(load_points(source.scenes, key).numpy().tobytes()).hexdigest() for key in sorted(scenes)
    }
    return found
