"""Features on the voxels of one stride, and the pyramid of strides that all layers share."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from sahmr.sparse.kernel_map import KernelMap, Lattice, Rounding, downsampling_map, submanifold_map


class Pyramid:
    """The lattices of all strides over one set of voxels and the maps between them, each made once, when asked for.

    Args:
        coords: integer rows (x, y, z, batch), each at most once; their order is the order of the features.
        rounding: how coordinates are halved, see :meth:`Lattice.coarser`.
    """

    def __init__(self, coords: Int[Tensor, "voxels 4"], rounding: Rounding) -> None:
        self.rounding: Rounding = rounding
        self._lattices = {1: Lattice(coords)}
        self._same: dict[int, KernelMap] = {}
        self._down: dict[int, KernelMap] = {}

    def sorted(self) -> Pyramid:
        """The same voxels in ascending order of (batch, x, y, z), in which neighbours lie near each other."""
        finest = self.lattice(1)
        return self if finest.is_sorted else Pyramid(finest.coords[finest.order], self.rounding)

    def lattice(self, stride: int) -> Lattice:
        """The voxels at a stride (a power of two)."""
        if stride not in self._lattices:
            self._lattices[stride] = self.lattice(stride // 2).coarser(self.rounding)
        return self._lattices[stride]

    def same(self, stride: int) -> KernelMap:
        """3x3x3 map within a stride."""
        if stride not in self._same:
            self._same[stride] = submanifold_map(self.lattice(stride))
        return self._same[stride]

    def down(self, stride: int) -> KernelMap:
        """2x2x2 map from a stride to twice that stride."""
        if stride not in self._down:
            self._down[stride] = downsampling_map(self.lattice(stride), self.lattice(2 * stride))
        return self._down[stride]

    def up(self, stride: int) -> KernelMap:
        """2x2x2 map from a stride back to half of it: the down-sampling map, reversed."""
        return self.down(stride // 2).reversed()


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseTensor:
    """Features of the voxels ``pyramid.lattice(stride)``, row by row."""

    features: Float[Tensor, "voxels channels"]
    stride: int
    pyramid: Pyramid

    def with_features(self, features: Float[Tensor, "voxels channels"]) -> SparseTensor:
        """Other features on the same voxels."""
        return SparseTensor(features=features, stride=self.stride, pyramid=self.pyramid)
