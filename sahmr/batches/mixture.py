"""Samples of several data sets by weight, as one data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from sahmr.batches.dataset import SampleDataset
from sahmr.batches.order import InOrder, Mixed, Order, counts_by_weight
from sahmr.structures import Sample


class MixedDataset(Dataset[Sample]):
    """Several data sets, whose samples are numbered one after the other; weights decide how often each is drawn.

    What an epoch has of each: :class:`sahmr.batches.order.Mixed`. Without a seed it is every sample once, in order.

    Args:
        parts: the data sets.
        weights: of each; shares of their sum.
        samples: of an epoch; None: as many as there are.

    Raises:
        ShardError: if weights are not positive, not one for each, or one stands for no sample.
    """

    def __init__(self, parts: Sequence[SampleDataset], weights: Sequence[float], *, samples: int | None = None) -> None:
        self.parts, self.weights, self.samples = tuple(parts), tuple(weights), samples
        self._ends = np.cumsum([len(part) for part in parts])
        counts_by_weight(weights if len(weights) == len(parts) else (), len(self) if samples is None else samples)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def order(self, seed: int | None) -> Order:
        """Of the samples of an epoch."""
        if seed is None:
            return InOrder(len(self))
        return Mixed([len(part) for part in self.parts], self.weights, samples=self.samples, seed=seed)

    def key(self, number: int) -> str:
        """Key of a sample; nothing else of it is read."""
        part, inside = self._find(number)
        return self.parts[part].key(inside)

    def expect(self, numbers: Sequence[int], *, more: bool = False) -> None:
        """Samples that are asked for soon, alone or beside those said before: remote ones are fetched meanwhile."""
        found = [self._find(number) for number in numbers]
        for place, part in enumerate(self.parts):
            part.expect([inside for each, inside in found if each == place], more=more)

    def digest(self) -> str:
        """Equal for equal keys in equal order."""
        return hashlib.sha256("".join(part.digest() for part in self.parts).encode()).hexdigest()

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        """Sample number ``index`` (of epoch 0), or number ``place[1]`` of epoch ``place[0]``."""
        epoch, number = place if isinstance(place, tuple) else (0, place)
        part, inside = self._find(number)
        return self.parts[part][epoch, inside]

    def _find(self, number: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._ends, number, side="right"))
        return part, number - (int(self._ends[part - 1]) if part else 0)
