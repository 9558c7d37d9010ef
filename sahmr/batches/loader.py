"""Batches, epoch by epoch, in an order that can be resumed and does not depend on the number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Int
from numpy import ndarray
from torch.utils.data import DataLoader, Sampler

from sahmr.batches.collate import collate
from sahmr.batches.dataset import SampleDataset
from sahmr.structures import Batch, Sample


def epoch_order(length: int, seed: int, epoch: int) -> Int[ndarray, " length"]:
    """A permutation that depends on the arguments alone."""
    return np.random.Generator(np.random.Philox(key=(seed << 64) | epoch)).permutation(length)


class _EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) of the epoch set last."""

    def __init__(
        self, length: int, batch_size: int, *, seed: int | None, drop_last: bool, share: tuple[int, int]
    ) -> None:
        self.length, self.batch_size, self.seed, self.drop_last = length, batch_size, seed, drop_last
        self.share = share
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order: Sequence[int] | ndarray = range(self.length)
        if self.seed is not None:
            order = epoch_order(self.length, self.seed, self.epoch)
        for batch in range(self.first, len(self)):
            whole = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            number, count = self.share
            chosen = whole[number * len(whole) // count : (number + 1) * len(whole) // count]
            if len(chosen):
                yield [(self.epoch, int(index)) for index in chosen]


class SampleLoader:
    """Batches of a data set, epoch by epoch; the same batches for any number of workers.

    Args:
        dataset: where samples come from.
        batch_size: samples per batch.
        shuffle_seed: permutes every epoch in another order; None keeps the order of the keys.
        drop_last: leave out a last, smaller batch.
        num_workers: processes; 0 decodes in this one.
        share: (number, count): of every batch only that part, of so many equal ones.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        *,
        batch_size: int,
        shuffle_seed: int | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._batches = _EpochBatches(len(dataset), batch_size, seed=shuffle_seed, drop_last=drop_last, share=share)
        self._loader: DataLoader[Sample] = DataLoader(
            dataset,
            batch_sampler=self._batches,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=_quiet_worker,
        )

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int, *, first_batch: int = 0) -> Iterator[Batch]:
        """Batches of one epoch, from ``first_batch`` on (to resume in its middle)."""
        self._batches.epoch, self._batches.first = epoch, first_batch
        yield from self._loader

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)


def _quiet_worker(_worker: int) -> None:
    """One thread per worker process: they already share the cores."""
    cv2.setNumThreads(0)


def make_loader(
    dataset: SampleDataset,
    *,
    batch_size: int,
    seed: int | None = None,
    num_workers: int = 0,
    share: tuple[int, int] = (0, 1),
) -> SampleLoader:
    """Loader for training (``seed`` given: shuffled, short last batch left out) or evaluation (``seed`` None).

    A data set smaller than one batch keeps its short batch.
    """
    drop_last = seed is not None and len(dataset) >= batch_size
    return SampleLoader(
        dataset, batch_size=batch_size, shuffle_seed=seed, drop_last=drop_last, num_workers=num_workers, share=share
    )
