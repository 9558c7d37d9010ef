"""Sums whose last bit does not depend on how the terms were dealt out."""

from __future__ import annotations

from torch import Tensor


class TreeSum:
    """Sum of tensors in the order of a binary tree, of which only one number per level is kept.

    Neighbours are added first, then neighbouring pairs, and so on. So the sums of equally long aligned runs, whose
    length is a power of two, add up to the same bits as all terms one by one.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Tensor]] = []  # (level, sum of 2^level terms), levels falling

    def add(self, term: Tensor) -> None:
        """Take in the next term; it is not changed, but may be kept."""
        level = 0
        while self._waiting and self._waiting[-1][0] == level:
            term = self._waiting.pop()[1] + term
            level += 1
        self._waiting.append((level, term))

    def total(self) -> Tensor:
        """Sum of all terms so far, of which there must be one."""
        total = self._waiting[-1][1]
        for _, term in reversed(self._waiting[:-1]):
            total = term + total
        return total
