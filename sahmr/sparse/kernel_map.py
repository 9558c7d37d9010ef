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
PARTS = 4
"""Every tap's pairs can be dealt into this many equal parts."""
_PAST_ALL = torch.iinfo(torch.int64).max  # sorts behind every key


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
        self.is_sorted = torch.equal(self._sorted, self._keys)
        twice = self._sorted[1:] == self._sorted[:-1]  # [voxels - 1]
        if bool(twice.any()):
            row = self.coords[self._order[1:][twice][0]].tolist()
            raise ValueError(f"voxel (x, y, z, batch) = {row} occurs more than once; merge the points of a voxel first")

    @classmethod
    def _of_sorted(cls, keys: Int[Tensor, " voxels"], stride: int) -> Lattice:
        """Skip what the constructor does for keys known to be sorted and unique."""
        lattice = cls.__new__(cls)
        lattice.coords, lattice.stride = unpack_keys(keys), stride
        lattice._keys = lattice._sorted = keys
        lattice._order = torch.arange(len(keys), device=keys.device)
        lattice.is_sorted = True
        return lattice

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def order(self) -> Int[Tensor, " voxels"]:
        """The rows in ascending order of (batch, x, y, z)."""
        return self._order

    def find(self, keys: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
        """Row of each packed key, -1 where the voxel is not occupied."""
        if len(self) == 0:
            return torch.full_like(keys, -1)
        place = torch.searchsorted(self._sorted, keys).clamp_max_(len(self) - 1)  # [*any]
        found = self._sorted.take(place) == keys
        if not self.is_sorted:
            place = self._order.take(place)
        return place.masked_fill_(~found, -1)

    def find_along_z(
        self, keys: Int[Tensor, " any"], columns: Int[Tensor, "columns 3"], length: int
    ) -> Int[Tensor, "columns length any"]:
        """Row of every voxel ``key + column + (0, 0, i * stride)``, ``len(self)`` where it is not occupied.

        Neighbours along z follow each other in the order of the keys: one search per column finds all of them.
        """
        past, step = len(self), key_step(columns.new_tensor([[0, 0, self.stride]]))
        wanted = keys + key_step(columns)[:, None]  # [columns, any]
        place = torch.searchsorted(self._sorted, wanted)
        padded = torch.cat([self._sorted, keys.new_full((1,), _PAST_ALL)])  # [voxels + 1]
        rows = keys.new_empty(len(columns), length, len(keys))  # [columns, length, any]
        for i in range(length):
            hit = torch.index_select(padded, 0, place.view(-1)).view_as(place) == wanted
            rows[:, i] = place.masked_fill(~hit, past)
            if i + 1 < length:
                place += hit
                wanted += step
        return rows if self.is_sorted else torch.cat([self._order, keys.new_full((1,), past)]).take(rows)

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
        return Lattice._of_sorted(torch.unique(pack_keys(parent)), stride)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The pairs of a run of output rows, tap by tap; each tap's list is filled up to a multiple of ``PARTS``.

    Attributes:
        first, last: the output rows ``first .. last - 1``.
        input: input row of each pair, all pairs of tap 0 first, then tap 1, ...
        output: output row of each pair.
        filling: places in these two lists that hold no pair, but row 0.
        part_counts: length of each tap's list, divided by ``PARTS``.
        bag, bag_start: pairs ``bag[bag_start[i] : bag_start[i + 1]]`` end in row ``first + i``.
    """

    first: int
    last: int
    input: Int[Tensor, " pairs"]
    output: Int[Tensor, " pairs"]
    filling: Int[Tensor, " fillers"]
    part_counts: list[int]
    bag: Int[Tensor, " real_pairs"]
    bag_start: Int[Tensor, " rows_plus_one"]


class KernelMap:
    """Which input row lies under each tap of each output row of a sparse convolution.

    Built once per stride (or pair of strides) and shared by every layer there.

    Attributes:
        table: input row under each tap of each output, ``num_inputs`` (one past the last row) for none. Under one
            tap no input occurs twice.
        num_inputs, num_outputs: rows of the two lattices.
        is_symmetric: the map leads from a lattice to itself and tap ``K - 1 - k`` undoes tap ``k``.
    """

    def __init__(self, table: Int[Tensor, "taps outputs"], num_inputs: int, *, is_symmetric: bool = False) -> None:
        self.table = table
        self.num_inputs, self.num_outputs = num_inputs, table.shape[1]
        self.is_symmetric = is_symmetric
        self._blocks: dict[int, list[Block]] = {}
        self._bags: tuple[Tensor, Tensor] | None = None
        self._places: Tensor | None = None
        self._num_pairs: int | None = None
        self._reversed: KernelMap | None = None

    def reversed(self) -> KernelMap:
        """The same pairs under the same taps with input and output swapped: the transposed convolution's map."""
        if self._reversed is None:
            table = _reverse(self.table, self.num_inputs)
            self._reversed = KernelMap(table, self.num_outputs, is_symmetric=self.is_symmetric)
            self._reversed._reversed = self
        return self._reversed

    @property
    def num_pairs(self) -> int:
        """Of all taps together."""
        if self._num_pairs is None:
            self._num_pairs = int((self.table < self.num_inputs).sum())
        return self._num_pairs

    def pairs(self) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"], Int[Tensor, " taps"]]:
        """Input rows and output rows of all pairs, tap by tap, and the number of pairs of each tap."""
        hit = self.table < self.num_inputs
        return self.table[hit], hit.nonzero()[:, 1], hit.sum(1)

    def places(self) -> Int[Tensor, " outputs_times_taps"]:
        """The table output by output, the taps of each side by side."""
        if self._places is None:
            self._places = self.table.t().reshape(-1)
        return self._places

    def bags(self) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " outputs_plus_one"]]:
        """Output by output, its pairs as ``input * taps + tap``; where each output's pairs start, and their end."""
        if self._bags is None:
            taps = len(self.table)
            read = self.places().view(self.num_outputs, taps)
            hit = read < self.num_inputs
            pairs = (read * taps + torch.arange(taps, device=read.device)).masked_select(hit)
            self._bags = pairs, F.pad(hit.sum(1).cumsum(0), (1, 0))
        return self._bags

    def blocks(self, rows: int) -> list[Block]:
        """The map cut into runs of that many output rows; made once per length."""
        if rows not in self._blocks:
            self._blocks[rows] = list(_cut_blocks(self.table, self.num_inputs, rows))
        return self._blocks[rows]


def _cut_blocks(table: Int[Tensor, "taps outputs"], num_inputs: int, length: int) -> Iterator[Block]:
    taps, rows = table.shape
    num_blocks = -(-rows // length)
    length = min(length, rows)
    padded = F.pad(table, (0, num_blocks * length - rows), value=num_inputs) if num_blocks * length > rows else table
    cut = padded.view(taps, num_blocks, length).transpose(0, 1).contiguous()  # block, tap, row
    hit = cut < num_inputs
    real = hit.sum(2)  # [blocks, taps]
    missing = -real % PARTS
    pair = hit.view(-1).nonzero()[:, 0]  # [pairs]; places in ``cut``
    lists, missing_of_list = real.view(-1), missing.view(-1)  # one per block and tap
    before = missing_of_list.cumsum(0) - missing_of_list  # fillers in all earlier lists
    place = torch.repeat_interleave(before, lists, output_size=len(pair))
    place += torch.arange(len(pair), device=table.device)
    part_counts: list[list[int]] = ((real + missing) // PARTS).tolist()
    total = PARTS * sum(map(sum, part_counts))
    source = table.new_zeros(total).scatter_(0, place, cut.view(-1).index_select(0, pair))
    shift = torch.arange(num_blocks * taps, device=table.device)
    shift = shift // taps * length - shift * length  # from the place in ``cut`` to the output row
    output = torch.repeat_interleave(shift, lists, output_size=len(pair)).add_(pair)
    target = table.new_zeros(total).scatter_(0, place, output)
    filling = torch.ones(total, dtype=torch.bool, device=table.device).index_fill_(0, place, False)
    start = F.pad(hit.sum(1).cumsum(1), (1, 0))  # [blocks, length + 1]; per block
    ends: list[int] = start[:, -1].tolist()
    places = torch.empty_like(cut).view(-1).scatter_(0, pair, place).view_as(cut)
    in_row_order = hit.transpose(1, 2).contiguous().view(-1).nonzero()[:, 0]
    by_row = places.transpose(1, 2).contiguous().view(-1).index_select(0, in_row_order)
    begin = first_pair = 0
    for i in range(num_blocks):
        end, last_pair = begin + PARTS * sum(part_counts[i]), first_pair + ends[i]
        first, last = i * length, min((i + 1) * length, rows)
        bag = by_row[first_pair:last_pair] - begin
        yield Block(
            first=first,
            last=last,
            input=source[begin:end],
            output=target[begin:end],
            filling=filling[begin:end].nonzero()[:, 0],
            part_counts=part_counts[i],
            bag=bag,
            bag_start=start[i, : last - first + 1].contiguous(),
        )
        begin, first_pair = end, last_pair


def _reverse(table: Int[Tensor, "taps outputs"], num_inputs: int) -> Int[Tensor, "taps inputs"]:
    outputs = table.shape[1]
    back = table.new_full((len(table), num_inputs + 1), outputs)  # the last column takes the places without input
    back.scatter_(1, table, torch.arange(outputs, device=table.device).expand_as(table))  # [taps, num_inputs + 1]
    return back[:, :num_inputs]


def submanifold_map(lattice: Lattice) -> KernelMap:
    """3x3x3 map from a lattice to itself: ``out[q] = sum_k in[q + offset_k] W[k]``."""
    # Submanifold convolution: Graham et al., 3D Semantic Segmentation with Submanifold Sparse Convolutional Networks,
    # CVPR 2018. Only occupied voxels have outputs, so the map stays as sparse as the scene.
    rows, half = len(lattice), len(OFFSETS_3) // 2
    columns = torch.tensor([(-1, -1, -1), (-1, 0, -1), (-1, 1, -1), (0, -1, -1)], device=lattice.coords.device)
    place = [OFFSETS_3.index((x, y, z)) for x, y in ((-1, -1), (-1, 0), (-1, 1), (0, -1)) for z in (-1, 0, 1)]
    found = lattice.find_along_z(lattice._keys, columns * lattice.stride, 3).flatten(0, 1)  # [12, rows]
    below = lattice.find_along_z(lattice._keys, columns.new_tensor([[0, 0, -lattice.stride]]), 1)[0]  # [1, rows]
    before = torch.cat([found, below])  # [13, rows]; the taps before the centre
    place.append(OFFSETS_3.index((0, 0, -1)))
    table = before.new_empty(len(OFFSETS_3), rows)
    table[place] = before
    table[half] = torch.arange(rows, device=table.device)
    # The pairs of tap 26 - k are those of tap k with both ends swapped: half of the look-ups suffice.
    table[[2 * half - k for k in place]] = _reverse(before, rows)
    return KernelMap(table, rows, is_symmetric=True)


def downsampling_map(fine: Lattice, coarse: Lattice) -> KernelMap:
    """2x2x2 map of stride 2: every coarse voxel reads the fine voxels at its corner plus (0, 1) steps."""
    columns = torch.tensor([(x, y, 0) for x, y in itertools.product((0, 1), repeat=2)], device=fine.coords.device)
    table = fine.find_along_z(coarse._keys, columns * fine.stride, 2).flatten(0, 1)  # [8, coarse]
    return KernelMap(table, len(fine))
