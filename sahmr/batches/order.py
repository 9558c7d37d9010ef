"""Which samples make which batch: arithmetic on numbers alone, the same on every machine.

A *cycle* is one walk through the data; its batches are *steps*, numbered through the whole training. So a step can be
named, repeated and gone on from without having made those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sahmr.errors import ShardError

Place = tuple[int, int]
"""Walk and number of a sample; the walk decides its augmentation."""

Numbers = Int[ndarray, " samples"]


def epoch_order(length: int, seed: int, epoch: int, *, stream: int = 0) -> Int[ndarray, " length"]:
    """A permutation that depends on the arguments alone."""
    counter = [0, 0, 0, stream]
    return np.random.Generator(np.random.Philox(key=(seed << 64) | epoch, counter=counter)).permutation(length)


@runtime_checkable
class Order(Protocol):
    """Samples of any cycle, in their order."""

    def __len__(self) -> int:
        """Samples of a cycle."""
        ...

    def cycle(self, number: int) -> tuple[Numbers, Numbers]:
        """Walks and numbers of its samples."""
        ...

    def describe(self) -> dict[str, Any]:
        """What decides it, JSON-able."""
        ...


class InOrder:
    """Every sample once, in the order of the data set, always the same."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def cycle(self, number: int) -> tuple[Numbers, Numbers]:
        """See :class:`Order`."""
        return np.broadcast_to(number, self._length), np.arange(self._length)

    def describe(self) -> dict[str, Any]:
        """See :class:`Order`."""
        return {"order": "keys", "samples": self._length}


class Shuffled:
    """Every sample once, each cycle in another order."""

    def __init__(self, length: int, seed: int) -> None:
        self._length, self._seed = length, seed

    def __len__(self) -> int:
        return self._length

    def cycle(self, number: int) -> tuple[Numbers, Numbers]:
        """See :class:`Order`."""
        return np.broadcast_to(number, self._length), epoch_order(self._length, self._seed, number)

    def describe(self) -> dict[str, Any]:
        """See :class:`Order`."""
        return {"order": "shuffled", "samples": self._length, "seed": self._seed}


class Mixed:
    """Samples of several data sets by weight.

    A cycle has as many of each as :func:`counts_by_weight` says, in an order of its own. Each data set is walked on its
    own: shuffled, every sample once, then shuffled again; the next cycle goes on where the last one ended. So no sample
    of a data set comes for the second time before all others came once, however small or large its weight.

    Args:
        lengths: of the data sets, whose samples are numbered one after the other.
        weights: of each; shares of their sum.
        samples: of a cycle; None: as many as there are.
        seed: of all orders.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], *, samples: int | None, seed: int) -> None:
        self._lengths, self._seed = tuple(lengths), seed
        self.counts = counts_by_weight(weights, sum(lengths) if samples is None else samples)

    def __len__(self) -> int:
        return sum(self.counts)

    def cycle(self, number: int) -> tuple[Numbers, Numbers]:
        """See :class:`Order`."""
        walks, numbers, first = [], [], 0
        for part, (count, length) in enumerate(zip(self.counts, self._lengths, strict=True)):
            at = np.arange(number * count, (number + 1) * count)
            walk, inside = at // length, at % length
            for each in np.unique(walk):
                order = epoch_order(length, self._seed, int(each), stream=part + 1)
                inside[walk == each] = order[inside[walk == each]]
            walks.append(walk)
            numbers.append(first + inside)
            first += length
        mixed = epoch_order(len(self), self._seed, number)
        return np.concatenate(walks)[mixed], np.concatenate(numbers)[mixed]

    def describe(self) -> dict[str, Any]:
        """See :class:`Order`."""
        return {"order": "mixed", "samples": self._lengths, "counts": self.counts, "seed": self._seed}


def counts_by_weight(weights: Sequence[float], samples: int) -> tuple[int, ...]:
    """Whole numbers in the ratio of the weights whose sum is ``samples``: what is left goes to the largest remainders.

    Raises:
        ShardError: if a weight is not positive and finite, or so small that it stands for no sample.
    """
    if not weights or not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise ShardError(f"weights {list(weights)}: allowed are positive numbers, one for each data set")
    exact = np.asarray(weights, np.float64) / sum(weights) * samples
    counts = np.floor(exact).astype(int)
    for place in np.argsort(counts - exact, kind="stable")[: samples - counts.sum()]:
        counts[place] += 1
    if (counts == 0).any():
        raise ShardError(f"weights {list(weights)}: one of them is less than a sample of {samples}; raise it")
    return tuple(counts.tolist())


class Steps:
    """Batches of an order, numbered from 0 through all cycles.

    Args:
        order: of the samples.
        batch_size: samples of a batch, all ranks together.
        short: of a last batch with fewer samples: ``drop`` leaves them out in this cycle (a data set smaller than one
            batch keeps them), ``keep`` makes it.
        per_epoch: steps of an epoch; None: those of a cycle. Epochs only count steps: a cycle goes on over their end.
    """

    def __init__(
        self, order: Order, batch_size: int, *, short: Literal["drop", "keep"], per_epoch: int | None = None
    ) -> None:
        whole, rest = divmod(len(order), batch_size)
        self.order, self.batch_size, self.short = order, batch_size, short
        self.per_cycle = whole + (rest > 0 and (short == "keep" or whole == 0))
        self.per_epoch = self.per_cycle if per_epoch is None else per_epoch
        self._made: tuple[int, tuple[Numbers, Numbers]] | None = None

    def batch(self, step: int) -> list[Place]:
        """Samples of a step, all ranks together."""
        cycle, number = divmod(step, self.per_cycle)
        if self._made is None or self._made[0] != cycle:
            self._made = (cycle, self.order.cycle(cycle))
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        walks, numbers = (values[part].tolist() for values in self._made[1])
        return list(zip(walks, numbers, strict=True))

    def share(self, step: int, rank: int, size: int) -> list[Place]:
        """What one of ``size`` ranks has of a step: neighbours; put one after the other, the shares are the batch.

        Shares differ by one sample at most; of a batch with fewer samples than ranks some are empty.
        """
        whole = self.batch(step)
        return whole[rank * len(whole) // size : (rank + 1) * len(whole) // size]

    def describe(self) -> dict[str, Any]:
        """What decides the sequence but the data, JSON-able."""
        return {**self.order.describe(), "batch_size": self.batch_size, "short": self.short}

    def __getstate__(self) -> Mapping[str, Any]:
        return {**self.__dict__, "_made": None}
