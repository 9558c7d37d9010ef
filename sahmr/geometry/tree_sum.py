"""Sums whose bits depend on the numbers alone."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def tree_sum(values: Float[Tensor, "*batch count"]) -> Float[Tensor, "*batch"]:
    """Sum over the last axis by folding it in halves.

    Which numbers are added to which depends on their count alone: torch's own sums also go by the other axes, the
    memory's alignment and the number of threads, so that a row of a batch differs in its last bits from the row alone.

    Raises:
        ValueError: if there is nothing to sum.
    """
    if values.shape[-1] == 0:
        raise ValueError("tree_sum needs at least one number, got 0")
    while (count := values.shape[-1]) > 1:
        half = count // 2
        folded = values[..., :half] + values[..., half : 2 * half]
        if count % 2:
            folded[..., 0] += values[..., -1]
        values = folded
    total: Tensor = values[..., 0]
    return total
