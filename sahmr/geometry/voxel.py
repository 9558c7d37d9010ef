"""Integer voxel coordinates: from points, to centres, and packed into sortable 64-bit keys."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

AXIS_BITS = 17  # per axis: indices -65 534..65 533, over 3 km of 5 cm voxels to either side
BATCH_BITS = 12
_HALF = 1 << (AXIS_BITS - 1)
_GUARD = 32  # so that a neighbour's key, up to 2 x stride 16 away, never carries into the next axis
STRIDES = (1 << (2 * AXIS_BITS), 1 << AXIS_BITS, 1, 1 << (3 * AXIS_BITS))
"""What one step along x, y, z, batch adds to a key; keys sort by (batch, x, y, z)."""


def voxel_index(points: Float[Tensor, "points 3"], voxel_size: float) -> Int[Tensor, "points 3"]:
    """Floor of point / voxel size, in the points' own frame without any shift of origin; may be negative."""
    return torch.floor(points / voxel_size).long()


def voxel_center(index: Int[Tensor, "voxels 3"], voxel_size: float) -> Float[Tensor, "voxels 3"]:
    """Centre of a voxel, in the frame and unit of the points it was made from."""
    return (index.float() + 0.5) * voxel_size


def pack_keys(coords: Int[Tensor, "voxels 4"]) -> Int[Tensor, " voxels"]:
    """Pack (x, y, z, batch) rows into unique int64 keys; ``key(c + d) == key(c) + key_step(d)``.

    Raises:
        ValueError: if a coordinate does not fit.
    """
    coords = coords.long()
    if len(coords) == 0:
        return coords.new_zeros(0)
    low, high = coords.amin(0).tolist(), coords.amax(0).tolist()
    limit = _HALF - _GUARD
    if min(low[:3]) < -limit or max(high[:3]) >= limit:
        raise ValueError(
            f"voxel coordinates span {low[:3]}..{high[:3]}, allowed is {-limit}..{limit - 1}; "
            "check the points' unit (metres) and drop points far from the camera"
        )
    if low[3] < 0 or high[3] >= 1 << BATCH_BITS:
        raise ValueError(f"batch index {low[3]}..{high[3]} outside 0..{(1 << BATCH_BITS) - 1}; use smaller batches")
    x, y, z, batch = coords.unbind(1)  # rows of four are summed ten times slower
    steps = zip((x, y, z), STRIDES, strict=False)
    return sum(((axis + _HALF) * step for axis, step in steps), batch * STRIDES[3])


def key_step(offsets: Int[Tensor, "taps 3"]) -> Int[Tensor, " taps"]:
    """What adding an offset (at most 32 per axis) to a coordinate adds to its key."""
    return (offsets.long() * offsets.new_tensor(STRIDES[:3])).sum(1)


def unpack_keys(keys: Int[Tensor, " voxels"]) -> Int[Tensor, "voxels 4"]:
    """Inverse of :func:`pack_keys`."""
    mask = (1 << AXIS_BITS) - 1
    axes = [((keys >> shift) & mask) - _HALF for shift in (2 * AXIS_BITS, AXIS_BITS, 0)]  # [voxels] each; x, y, z
    return torch.stack([*axes, keys >> (3 * AXIS_BITS)], dim=1)


def unique_voxels(
    index: Int[Tensor, "points 3"], sample: Int[Tensor, " points"]
) -> tuple[Int[Tensor, "voxels 4"], Int[Tensor, " points"]]:
    """List the occupied voxels of a batch, sorted by (batch, x, y, z), and each point's row in that list.

    Raises:
        ValueError: if a coordinate does not fit into a key.
    """
    keys, row = torch.unique(pack_keys(torch.cat([index, sample[:, None]], dim=1)), return_inverse=True)
    return unpack_keys(keys), row
