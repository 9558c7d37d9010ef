"""The shares of a step, computed one after the other or side by side: the means of what each of them left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sahmr.training.team import Team, flatten, spread
from sahmr.training.tree import TreeSum


class Statistics:
    """Buffers that a forward changes: running means, which are averaged, and counters, of which the largest stays."""

    def __init__(self, module: nn.Module) -> None:
        self.floats = [value for value in module.buffers() if value.is_floating_point()]
        self.counters = [value for value in module.buffers() if not value.is_floating_point()]

    def copies(self) -> list[Tensor]:
        """As they are now."""
        return [value.clone() for value in (*self.floats, *self.counters)]

    @torch.no_grad()
    def put(self, values: Sequence[Tensor]) -> None:
        """Set them to what :meth:`copies` gave."""
        for own, value in zip((*self.floats, *self.counters), values, strict=True):
            own.copy_(value)


class Shares:
    """Gradients and statistics of one step's shares.

    Args:
        parameters: whose gradients are averaged.
        statistics: see :class:`Statistics`; None: there are none.
        team: who has how many shares. With one share all stays where it is, and costs nothing.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], statistics: Statistics | None, team: Team) -> None:
        self._parameters, self._statistics, self._team = parameters, statistics, team
        self._floats = [] if statistics is None else statistics.floats
        self._counters = [] if statistics is None else statistics.counters
        self._before = statistics.copies() if statistics is not None and team.shares > 1 else []
        self._most = [value.clone() for value in self._counters]
        self._sum, self._filled = TreeSum(), 0

    def take(self, *, is_filled: bool) -> None:
        """After a share's backward: take its gradients and statistics in, and put the statistics back.

        Args:
            is_filled: whether it had samples. If not, gradients and statistics count as 0.
        """
        self._filled += is_filled
        if self._team.shares == 1:
            return
        for p in self._parameters:  # a share without voxels leaves some without gradient, another's does not
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        left = flatten([*(p.grad for p in self._parameters if p.grad is not None), *self._floats])
        if not is_filled:
            left.zero_()
        self._sum.add(left)
        self._most = [torch.maximum(one, other) for one, other in zip(self._most, self._counters, strict=True)]
        if self._statistics is not None and self._team.parts > 1:
            self._statistics.put(self._before)

    def average(self) -> None:
        """Leave the means of all shares of all processes as gradients and statistics."""
        if self._team.shares == 1:
            return
        total, filled = self._team.total(self._sum.total()), self._filled
        if self._team.size > 1:
            filled = round(float(self._team.total(torch.tensor(float(filled)))))
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        numbers = sum(value.numel() for value in gradients)
        spread(total[:numbers] * (1 / self._team.shares), gradients)
        if filled == 0:  # nobody had a sample
            if self._statistics is not None:
                self._statistics.put(self._before)
            return
        if self._floats:
            spread(total[numbers:] * (1 / filled), self._floats)
        if filled < self._team.shares and self._team.size > 1 and self._counters:
            others = self._team.gather([value.cpu() for value in self._most])
            self._most = [torch.stack(values).amax(dim=0) for values in zip(*others, strict=True)]
        for own, value in zip(self._counters, self._most, strict=True):
            own.copy_(value)
