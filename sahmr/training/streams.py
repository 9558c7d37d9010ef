"""Random numbers of a step's shares: each has its own, wherever it is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

_SEED_STRIDE = 1_000_003  # keeps the seeds of neighbouring epochs apart for any usual seed


class Stream:
    """Numbers of one share of one epoch: torch's global generators, and one for what a task draws itself.

    Args:
        seed: of the training.
        epoch: which one.
        share: its number in the step.
        device: whose global generator dropout reads.
    """

    def __init__(self, seed: int, epoch: int, share: int, device: torch.device) -> None:
        mixed = (seed + share * _SEED_STRIDE) * _SEED_STRIDE + epoch
        self.generator, self._is_cuda = torch.Generator().manual_seed(mixed), device.type == "cuda"
        torch.manual_seed(mixed)
        # torch's DataLoader takes one number, but not from every epoch if it has workers: here it always goes.
        torch.empty((), dtype=torch.int64).random_()
        self._global, self._cuda = self._read()

    @contextmanager
    def drawn(self) -> Iterator[torch.Generator]:
        """Let torch's global generators go on where this stream stood; gives the other one."""
        torch.set_rng_state(self._global)
        if self._is_cuda:
            torch.cuda.set_rng_state(self._cuda)
        yield self.generator
        self._global, self._cuda = self._read()

    def state(self) -> dict[str, Tensor]:
        """Where it stands."""
        return {"global": self._global, "cuda": self._cuda, "own": self.generator.get_state()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Stand where another one stood; without a GPU the GPU's numbers are passed over."""
        self._global, self._cuda = state["global"], state["cuda"] if len(state["cuda"]) else self._cuda
        self.generator.set_state(state["own"])

    def _read(self) -> tuple[Tensor, Tensor]:
        cuda: Tensor = torch.cuda.get_rng_state() if self._is_cuda else torch.zeros(0, dtype=torch.uint8)
        return torch.get_rng_state(), cuda
