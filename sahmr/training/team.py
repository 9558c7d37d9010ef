"""Processes that train one network together, what they share, and how they find each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from sahmr.training.tree import TreeSum

_PATIENCE = timedelta(hours=6)  # for the others; one that ends is noticed at once, by its closed connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """One process among ``size``; the first writes files and logs.

    A step's batch falls into ``shares``, and what is computed depends on their number alone: each process takes
    ``parts`` of them, one after the other.

    Attributes:
        rank: 0 is the first.
        size: how many there are.
        parts: shares of each process.
    """

    rank: int = 0
    size: int = 1
    parts: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and logs."""
        return self.rank == 0

    @property
    def shares(self) -> int:
        """Parts that a batch falls into, all processes together."""
        return self.size * self.parts

    @property
    def own(self) -> range:
        """Numbers of this process's shares."""
        return range(self.rank * self.parts, (self.rank + 1) * self.parts)

    def total(self, value: Tensor) -> Tensor:
        """Sum over all processes; on the CPU in the order of a binary tree, on GPUs in the library's."""
        if self.size == 1:
            return value
        if value.is_cuda:
            distributed.all_reduce(value)
            return value
        found, tree = [torch.empty_like(value) for _ in range(self.size)], TreeSum()
        distributed.all_gather(found, value)
        for each in found:
            tree.add(each)
        return tree.total()

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float tensors, in the same order in every process, by their means over all."""
        self._replace(tensors, share=1 / self.size)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes."""
        self._replace(tensors, share=1)

    def follow(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by the first process's."""
        if self.size > 1 and tensors:
            flat = flatten(tensors)
            distributed.broadcast(flat, 0)
            spread(flat, tensors)

    def share_names(self, names: list[str]) -> list[str]:
        """The first process's names, or the first that are not empty."""
        return next((each for each in self.gather(names) if each), [])

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of their ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None for _ in range(self.size)]
        distributed.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Go on when all have come this far."""
        if self.size > 1:
            distributed.barrier()

    def _replace(self, tensors: Sequence[Tensor], *, share: float) -> None:
        if self.size == 1 or not tensors:
            return
        spread(self.total(flatten(tensors)) * share, tensors)


ALONE = Team()


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers of tensors of one type, end to end."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Put numbers that lie end to end into tensors."""
    for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(part.view_as(tensor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """This process among those that ``torchrun`` started."""

    rank: int
    size: int


def find_launch() -> Launch | None:
    """Who this process is to ``torchrun``; None if that did not start it."""
    if not distributed.is_torchelastic_launched():
        return None
    return Launch(rank=int(os.environ["RANK"]), size=int(os.environ["WORLD_SIZE"]))


@contextmanager
def joined(meeting: str, rank: int, size: int) -> Iterator[None]:
    """Connect with the others: over nccl what lies on GPUs, one for each process, over gloo all else.

    Args:
        meeting: where they meet: ``file://...``, or ``env://`` under ``torchrun``.
        rank, size: who this is, and of how many.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the machine's name need not be known to any server
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=size, timeout=_PATIENCE)
    try:
        yield
    finally:
        with suppress(RuntimeError):
            distributed.destroy_process_group()
