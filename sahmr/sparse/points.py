"""Between points and voxels: trilinear read-out (devoxelise) and mean (voxelise)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from sahmr.geometry.voxel import key_step, pack_keys
from sahmr.sparse.kernel_map import OFFSETS_2, Lattice

_EPSILON = 1e-8  # the reference divides the corner weights by their sum plus this


class WeightedPairs:
    """A constant sparse matrix: ``out[target[i]] += weight[i] * in[source[i]]``."""

    def __init__(
        self,
        source: Int[Tensor, " pairs"],
        target: Int[Tensor, " pairs"],
        weight: Float[Tensor, " pairs"],
        num_sources: int,
        num_targets: int,
    ) -> None:
        self.source, self.target, self.weight = source, target, weight
        self.num_sources, self.num_targets = num_sources, num_targets

    def apply(self, features: Float[Tensor, "sources channels"]) -> Float[Tensor, "targets channels"]:
        """Multiply; differentiable in ``features``, not in the weights."""
        result: Tensor = _Spread.apply(features, self)  # type: ignore[no-untyped-call]
        return result

    def spread(self, rows: Tensor, *, backwards: bool) -> Tensor:
        """Multiply by the matrix, or by its transpose."""
        read, write = (self.target, self.source) if backwards else (self.source, self.target)
        num_rows = self.num_sources if backwards else self.num_targets
        if len(read) == 0:
            return rows.new_zeros(num_rows, rows.shape[1])
        order = torch.argsort(write, stable=True)
        start = F.pad(torch.bincount(write, minlength=num_rows).cumsum(0), (1, 0))
        weight = self.weight[order].to(rows.dtype)
        return torch.embedding_bag(
            rows, read[order], start, mode=0, per_sample_weights=weight, include_last_offset=True
        )[0]


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, pairs: WeightedPairs) -> Tensor:
        ctx.pairs = pairs
        return pairs.spread(features.contiguous(), backwards=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.pairs.spread(grad.contiguous(), backwards=True), None


def trilinear_corners(
    points: Float[Tensor, "points 4"], lattice: Lattice
) -> tuple[Int[Tensor, "points 8"], Float[Tensor, "points 8"]]:
    """Find the eight lattice corners round each point and their interpolation weights.

    Args:
        points: (x, y, z, batch) in units of the finest voxel.
        lattice: voxels of any stride; a voxel's features sit at its lower corner.

    Returns:
        Row of each corner of the cell ``floor(point / stride) * stride``, z fastest, -1 where not occupied; and
        its trilinear weight, 0 where not occupied, divided by (sum + 1e-8).
    """
    stride = lattice.stride
    cell = torch.floor(points[:, :3] / stride)
    offsets = torch.tensor(OFFSETS_2, device=points.device)
    base = pack_keys(torch.cat([cell.long() * stride, points[:, 3:].long()], dim=1))
    rows = lattice.find(base[:, None] + key_step(offsets * stride))
    fraction = (points[:, :3] / stride - cell)[:, None]
    weight = torch.where(offsets.bool(), fraction, 1 - fraction).prod(dim=2)
    weight = torch.where(rows >= 0, weight, torch.zeros_like(weight))
    return rows, weight / (weight.sum(dim=1, keepdim=True) + _EPSILON)


def devoxelize_pairs(points: Float[Tensor, "points 4"], lattice: Lattice) -> WeightedPairs:
    """Matrix that reads voxel features at points; a point whose eight corners are all empty reads zero."""
    rows, weight = trilinear_corners(points, lattice)
    target = torch.arange(len(points), device=points.device)[:, None].expand_as(rows)
    used = weight > 0
    return WeightedPairs(rows[used], target[used], weight[used], len(lattice), len(points))


def voxelize_pairs(points: Float[Tensor, "points 4"], lattice: Lattice) -> WeightedPairs:
    """Matrix that averages point features per voxel; points outside every voxel are skipped, others give zero.

    Args:
        points: (x, y, z, batch) in units of the finest voxel; a point lies in the voxel at
            ``floor(point / stride) * stride``.
        lattice: voxels of any stride.
    """
    cell = torch.floor(points[:, :3] / lattice.stride).long() * lattice.stride
    row = lattice.find(pack_keys(torch.cat([cell, points[:, 3:].long()], dim=1)))
    source = (row >= 0).nonzero()[:, 0]
    target = row[source]
    count = torch.bincount(target, minlength=len(lattice))
    return WeightedPairs(source, target, 1 / count[target], len(points), len(lattice))
