"""Brute-force nearest neighbour, in blocks of bounded memory."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 1 << 22  # distances held at once: 16 MiB of float32


def nearest(
    query: Float[Tensor, "queries 3"], reference: Float[Tensor, "references 3"]
) -> tuple[Float[Tensor, " queries"], Int[Tensor, " queries"]]:
    """Distance to, and index of, the nearest reference point of every query point.

    Differences are taken before squaring (no matrix product), so that distances of centimetres stay exact to a
    micrometre at coordinates of metres. Not differentiable.

    Args:
        query: any frame, metres.
        reference: the same frame.

    Raises:
        ValueError: if there are no reference points.
    """
    if len(reference) == 0:
        raise ValueError("nearest needs at least one reference point, got 0")
    distance = query.new_empty(len(query))
    index = torch.empty(len(query), dtype=torch.long, device=query.device)
    rows = max(1, _BLOCK // len(reference))
    with torch.no_grad():
        for start in range(0, len(query), rows):
            block = torch.cdist(query[start : start + rows], reference, compute_mode="donot_use_mm_for_euclid_dist")
            distance[start : start + rows], index[start : start + rows] = block.min(dim=1)
    return distance, index
