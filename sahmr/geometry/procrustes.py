"""Similarity alignment of point sets (orthogonal Procrustes)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.geometry.tree_sum import tree_sum


def align_similarity(
    source: Float[Tensor, "batch points 3"], target: Float[Tensor, "batch points 3"]
) -> Float[Tensor, "batch points 3"]:
    """Move ``source`` onto ``target`` by the scale, proper rotation and translation of least squared error.

    The bits of a pair do not depend on the batch it is in: products and sums are element by element, and LAPACK takes
    the 3x3 matrices one by one, on the CPU.

    Raises:
        ValueError: if all points of a source coincide; then no scale exists.

    Source: Umeyama, PAMI 1991; a reflection is excluded by flipping the weakest singular vector.
    """
    source_mean, target_mean = _mean(source), _mean(target)
    centred, goal = source - source_mean, target - target_mean
    variance = tree_sum(centred.square().flatten(1))  # [batch]; times the number of points, as is the covariance below
    if bool((variance == 0).any()):
        raise ValueError("align_similarity: a source whose points all coincide has no scale")
    covariance = tree_sum((goal[:, :, :, None] * centred[:, :, None, :]).movedim(1, -1))  # [batch, 3, 3]
    u, singular, vt = (part.to(source.device) for part in torch.linalg.svd(covariance.cpu()))
    sign = torch.ones_like(singular)
    turn = _product(u, vt)
    # The weakest direction flips where u @ vt is a reflection; the sign of the determinant says so.
    sign[:, -1] = tree_sum(torch.linalg.cross(turn[:, 0], turn[:, 1]) * turn[:, 2]).sign()
    rotation = _product(u * sign[:, None], vt)
    scale = tree_sum(singular * sign) / variance  # [batch]
    aligned: Tensor = scale[:, None, None] * _product(centred, rotation.transpose(1, 2)) + target_mean
    return aligned


def _mean(points: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch 1 3"]:
    return (tree_sum(points.transpose(1, 2)) / points.shape[1])[:, None]


def _product(left: Float[Tensor, "batch rows 3"], right: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch rows 3"]:
    """Matrix product without BLAS, which rounds as the batch's size pleases."""
    x, y, z = (left[:, :, i, None] * right[:, None, i] for i in range(3))  # [batch, rows, 3] each
    product: Tensor = x + y + z
    return product
