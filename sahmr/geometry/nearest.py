"""Brute-force nearest neighbour, in blocks of bounded memory."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sahmr.structures import PackedPoints, rank_in_sample

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


def nearest_in_sample(query: PackedPoints, reference: Float[Tensor, "batch references 3"]) -> Float[Tensor, " queries"]:
    """Distance to the nearest reference point of the same sample; as :func:`nearest`, for a batch.

    Args:
        query: any frame, metres; sorted by sample.
        reference: equally many for each sample, the same frame.

    Raises:
        ValueError: if there are no reference points.
    """
    if query.xyz.device.type == "cpu":
        ends = pairwise(query.ends(len(reference)))
        found = [nearest(query.xyz[a:b], points)[0] for (a, b), points in zip(ends, reference, strict=True)]
        return torch.cat(found)
    return _nearest_padded(query, reference)


def _nearest_padded(query: PackedPoints, reference: Float[Tensor, "batch references 3"]) -> Float[Tensor, " queries"]:
    """All samples at once, each filled up to the longest: on a GPU calls cost more than the distances."""
    batch, count, _ = reference.shape
    place = rank_in_sample(query.sample, batch)
    longest = int(place.max()) + 1 if len(place) else 0
    padded = query.xyz.new_zeros(batch, longest, 3)
    padded[query.sample, place] = query.xyz
    distance = query.xyz.new_empty(batch, longest)
    rows = max(1, _BLOCK // (batch * count))
    with torch.no_grad():
        for start in range(0, longest, rows):
            block = torch.cdist(padded[:, start : start + rows], reference, compute_mode="donot_use_mm_for_euclid_dist")
            distance[:, start : start + rows] = block.amin(dim=2)
    return distance[query.sample, place]
