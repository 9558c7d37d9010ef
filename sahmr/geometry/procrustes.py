"""Similarity alignment of point sets (orthogonal Procrustes)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def align_similarity(
    source: Float[Tensor, "batch points 3"], target: Float[Tensor, "batch points 3"]
) -> Float[Tensor, "batch points 3"]:
    """Move ``source`` onto ``target`` by the scale, proper rotation and translation of least squared error.

    Raises:
        ValueError: if all points of a source coincide; then no scale exists.

    Source: Umeyama, PAMI 1991; a reflection is excluded by flipping the weakest singular vector.
    """
    source_mean, target_mean = source.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    centred, goal = source - source_mean, target - target_mean
    variance = centred.square().sum(dim=(1, 2))  # [batch]; times the number of points, as is the covariance below
    if bool((variance == 0).any()):
        raise ValueError("align_similarity: a source whose points all coincide has no scale")
    u, singular, vt = torch.linalg.svd(goal.transpose(1, 2) @ centred)  # [batch, 3, 3], [batch, 3], [batch, 3, 3]
    sign = torch.ones_like(singular)
    sign[:, -1] = torch.linalg.det(u @ vt).sign()  # the weakest direction flips where u @ vt is a reflection
    rotation = (u * sign[:, None]) @ vt
    scale = (singular * sign).sum(dim=1) / variance  # [batch]
    aligned: Tensor = scale[:, None, None] * centred @ rotation.transpose(1, 2) + target_mean
    return aligned
