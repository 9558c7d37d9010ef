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
        weight = self.weight.to(rows.dtype)
        if bool((write[1:] < write[:-1]).any()):
            order = torch.argsort(write, stable=True)
            read, weight = read[order], weight[order]
        start = F.pad(torch.bincount(write, minlength=num_rows).cumsum(0), (1, 0))  # [rows + 1]; compressed sparse rows
        return torch.embedding_bag(rows, read, start, mode=0, per_sample_weights=weight, include_last_offset=True)[0]


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
    scaled = points[:, :3] / stride  # [points, 3]
    cell = torch.floor(scaled)
    base = pack_keys(torch.cat([cell.long() * stride, points[:, 3:].long()], dim=1))
    cells, cell_of_point = torch.unique(base, return_inverse=True)  # far fewer than points: each is looked up once
    offsets = torch.tensor(OFFSETS_2, device=points.device)  # [8, 3]
    rows = lattice.find(cells[:, None] + key_step(offsets * stride)).index_select(0, cell_of_point)
    upper = scaled - cell
    x, y, z = torch.stack([1 - upper, upper], dim=2).unbind(1)  # each [points, lower and upper]
    weight = ((x[:, :, None] * y[:, None])[..., None] * z[:, None, None]).flatten(1)  # [points, 8]
    weight = weight.masked_fill_(rows < 0, 0)
    return rows, weight / (weight.sum(dim=1, keepdim=True) + _EPSILON)


def devoxelize_pairs(points: Float[Tensor, "points 4"], lattice: Lattice) -> WeightedPairs:
    """Matrix that reads voxel features at points; a point whose eight corners are all empty reads zero."""
    rows, weight = trilinear_corners(points, lattice)
    used = (weight > 0).view(-1).nonzero()[:, 0]  # [pairs] of 8 * points
    source, weight = rows.view(-1).index_select(0, used), weight.view(-1).index_select(0, used)
    return WeightedPairs(source, used // rows.shape[1], weight, len(lattice), len(points))


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
