"""Occupied voxels of one stride and the kernel maps between them: the part of sparse convolution without weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from sahmr.geometry.voxel import key_step, pack_keys, unpack_keys

Rounding = Literal["trunc", "floor"]

# Tap order of the reference's weights (formats f): 3x3x3 x fastest, 2x2x2 z fastest.
OFFSETS_3 = tuple((x, y, z) for z, y, x in itertools.product((-1, 0, 1), repeat=3))
OFFSETS_2 = tuple(itertools.product((0, 1), repeat=3))
_MAX_STRIDE = 16


class Lattice:
    """Unique voxels of one stride.

    Attributes:
        coords: int64 rows (x, y, z, batch), in units of the finest voxel at every stride.
        stride: edge of a voxel in that unit; coordinates are multiples of it.

    Raises:
        ValueError: if a coordinate occurs twice or does not fit into a key.
    """

    def __init__(self, coords: Int[Tensor, "voxels 4"], stride: int = 1) -> None:
        if coords.ndim != 2 or coords.shape[1] != 4 or coords.is_floating_point():
            raise ValueError(f"coords must be integers [voxels, 4] (x, y, z, batch), got {coords.shape} {coords.dtype}")
        self.coords = coords.long()
        self.stride = stride
        self._keys = pack_keys(self.coords)
        self._sorted, self._order = torch.sort(self._keys)
        self._is_sorted = torch.equal(self._sorted, self._keys)
        twice = self._sorted[1:] == self._sorted[:-1]
        if bool(twice.any()):
            row = self.coords[self._order[1:][twice][0]].tolist()
            raise ValueError(f"voxel (x, y, z, batch) = {row} occurs more than once; merge the points of a voxel first")

    def __len__(self) -> int:
        return len(self.coords)

    def find(self, keys: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
        """Row of each packed key, -1 where the voxel is not occupied."""
        if len(self) == 0:
            return torch.full_like(keys, -1)
        place = torch.searchsorted(self._sorted, keys).clamp_max_(len(self) - 1)
        found = self._sorted.take(place) == keys
        if not self._is_sorted:
            place = self._order.take(place)
        return place.masked_fill_(~found, -1)

    def neighbours(self, offsets: Int[Tensor, "taps 3"], of: Lattice | None = None) -> Int[Tensor, "taps voxels"]:
        """Row in this lattice of ``voxel + offset`` for every voxel ``of`` another (default: this) lattice."""
        keys = (of or self)._keys
        return self.find(keys[None] + key_step(offsets)[:, None].to(keys.device))

    def coarser(self, rounding: Rounding) -> Lattice:
        """The voxels of twice the stride that these fall into, sorted by (batch, x, y, z).

        Args:
            rounding: ``floor``: towards minus infinity, shift invariant; ``trunc``: towards zero, like the
                torch release under which the reference's weights were trained. Then the voxels just below
                zero have no parent that lists them among its 2x2x2 children.
        """
        stride = 2 * self.stride
        if stride > _MAX_STRIDE:
            raise ValueError(f"stride {stride} is coarser than the supported {_MAX_STRIDE}")
        parent = self.coords.clone()
        parent[:, :3] = torch.div(parent[:, :3], stride, rounding_mode=rounding) * stride
        return Lattice(unpack_keys(torch.unique(pack_keys(parent))), stride)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The pairs of a run of output rows, tap by tap.

    Attributes:
        first, last: the output rows ``first .. last - 1``.
        input: input row of each pair, all pairs of tap 0 first, then tap 1, ...
        output: output row of each pair.
        counts: number of pairs of each tap.
        bag, bag_start: pairs ``bag[bag_start[i] : bag_start[i + 1]]`` end in row ``first + i``.
    """

    first: int
    last: int
    input: Int[Tensor, " pairs"]
    output: Int[Tensor, " pairs"]
    counts: list[int]
    bag: Int[Tensor, " pairs"]
    bag_start: Int[Tensor, " rows_plus_one"]


class KernelMap:
    """Which input row lies under each tap of each output row of a sparse convolution.

    Built once per stride (or pair of strides) and shared by every layer there.

    Attributes:
        table: input row under each tap of each output, -1 for none. Under one tap no input occurs twice.
        num_inputs, num_outputs: rows of the two lattices.
        is_symmetric: the map leads from a lattice to itself and tap ``K - 1 - k`` undoes tap ``k``.
    """

    def __init__(self, table: Int[Tensor, "taps outputs"], num_inputs: int, *, is_symmetric: bool = False) -> None:
        self.table = table
        self.num_inputs, self.num_outputs = num_inputs, table.shape[1]
        self.is_symmetric = is_symmetric
        self._dense: Tensor | None = None
        self._blocks: dict[int, list[Block]] = {}
        self._reversed: KernelMap | None = None

    def reversed(self) -> KernelMap:
        """The same pairs under the same taps with input and output swapped: the transposed convolution's map."""
        if self._reversed is None:
            tap, output = (self.table >= 0).nonzero(as_tuple=True)
            table = self.table.new_full((len(self.table), self.num_inputs), -1)
            table[tap, self.table[tap, output]] = output
            self._reversed = KernelMap(table, self.num_outputs, is_symmetric=self.is_symmetric)
            self._reversed._reversed = self
        return self._reversed

    def pairs(self) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"], Int[Tensor, " taps"]]:
        """Input rows and output rows of all pairs, tap by tap, and the number of pairs of each tap."""
        hit = self.table >= 0
        return self.table[hit], hit.nonzero()[:, 1], hit.sum(1)

    def dense(self) -> Int[Tensor, "outputs taps"]:
        """The table the other way round, with ``num_inputs``, one past the last row, for "none"."""
        if self._dense is None:
            self._dense = self.table.masked_fill(self.table < 0, self.num_inputs).t().contiguous()
        return self._dense

    def blocks(self, rows: int) -> list[Block]:
        """The map cut into runs of that many output rows; made once per length."""
        if rows not in self._blocks:
            self._blocks[rows] = list(_cut_blocks(self.table, rows))
        return self._blocks[rows]


def _cut_blocks(table: Int[Tensor, "taps outputs"], length: int) -> Iterator[Block]:
    rows = table.shape[1]
    num_blocks = -(-rows // length)
    padded = F.pad(table, (0, num_blocks * length - rows), value=-1)
    cut = padded.view(len(table), num_blocks, length).transpose(0, 1).contiguous()  # block, tap, row
    hit = cut >= 0
    pair = hit.flatten().nonzero()[:, 0]
    source = cut.flatten()[pair]
    output = pair % length + pair // (len(table) * length) * length
    counts: list[list[int]] = hit.sum(2).tolist()
    place = (hit.flatten().cumsum(0) - 1).view_as(cut)
    bag = place.transpose(1, 2)[hit.transpose(1, 2)]  # block, row, tap
    start = F.pad(hit.sum(1).cumsum(1), (1, 0))
    begin = 0
    for i in range(num_blocks):
        end = begin + sum(counts[i])
        first, last = i * length, min((i + 1) * length, rows)
        yield Block(
            first=first,
            last=last,
            input=source[begin:end],
            output=output[begin:end],
            counts=counts[i],
            bag=bag[begin:end] - begin,
            bag_start=start[i, : last - first + 1].contiguous(),
        )
        begin = end


def submanifold_map(lattice: Lattice) -> KernelMap:
    """3x3x3 map from a lattice to itself: ``out[q] = sum_k in[q + offset_k] W[k]``."""
    offsets = torch.tensor(OFFSETS_3, device=lattice.coords.device) * lattice.stride
    half = len(offsets) // 2
    before = lattice.neighbours(offsets[:half])
    rows = torch.arange(len(lattice), device=lattice.coords.device)
    # The pairs of tap 26 - k are those of tap k with both ends swapped: half of the look-ups suffice.
    after = torch.full_like(before, -1)
    tap, output = (before >= 0).nonzero(as_tuple=True)
    after[tap, before[tap, output]] = output
    return KernelMap(torch.cat([before, rows[None], after.flip(0)]), len(lattice), is_symmetric=True)


def downsampling_map(fine: Lattice, coarse: Lattice) -> KernelMap:
    """2x2x2 map of stride 2: every coarse voxel reads the fine voxels at its corner plus (0, 1) steps."""
    offsets = torch.tensor(OFFSETS_2, device=fine.coords.device) * fine.stride
    return KernelMap(fine.neighbours(offsets, of=coarse), len(fine))
