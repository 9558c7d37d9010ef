"""What both training stages need before the first step: batches, and a digest of all that decides the result."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.errors import ShardError
from sahmr.files import file_sha256
from sahmr.structures import Batch
from sahmr.training.optimizer import Plan
from sahmr.training.trainer import TrainingData

log = logging.getLogger("sahmr")

_DIGEST_VERSION = "1"  # raise when a change of the code makes half-done trainings useless


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

    def plain(self, split: str, batch_size: int) -> Iterable[Batch]:
        """All samples of a split in order, crops not jittered.

        Raises:
            ShardError: if the split has none.
        """
        dataset = SampleDataset(self.shards, self.scenes, split)
        return make_loader(dataset, batch_size=batch_size, num_workers=self.workers)


def training_data(source: Source, plan: Plan) -> TrainingData:
    """Shuffled, jittered ``train`` and plain ``val``; a data set without ``val`` is trained without validation."""
    dataset = SampleDataset(
        source.shards, source.scenes, "train", is_training=True, seed=plan.seed, zoom_range=source.zoom_range
    )
    loader = make_loader(dataset, batch_size=plan.batch_size, seed=plan.seed, num_workers=source.workers)
    validation: Iterable[Batch] = ()
    try:
        validation = source.plain("val", plan.batch_size)
    except ShardError:
        log.info("%s: no split 'val'; training goes without validation", source.shards)
    return TrainingData(epoch=loader.epoch, steps=len(loader), validation=lambda: validation)


def digest_of(*settings: object, files: Iterable[Path]) -> str:
    """SHA-256 of settings (their text) and file contents: two trainings that share it give the same result."""
    digest = hashlib.sha256(f"{_DIGEST_VERSION} {torch.__version__} {settings!r}".encode())
    for path in files:
        digest.update(file_sha256(path).encode())
    return digest.hexdigest()
