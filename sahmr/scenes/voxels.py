"""Exact voxels of a triangle mesh, in an order that keeps neighbours together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

# Of one scan, as estimated below: 80 000 square metres at 2 cm. Real ones: rooms of PROX 10^5 to 10^6, courtyards and
# streets of RICH, 50 to 100 m wide, some 10^7; twice the surface of 100 x 100 m with houses around it, 1.3 * 10^8.
MOST_VOXELS = 200_000_000
_RUN = 1 << 16  # triangles halved at once; bounds memory, cannot change the result
_CACHED = 1 << 13  # triangles treated at once where that is for the cache's sake alone
_CANDIDATES = 1 << 15  # (triangle, voxel) pairs tested at once; bounds memory, cannot change the result
_TOUCH = 1e-9  # a voxel's half side grows by this share, so that rounding loses no touching voxel
_HALF = 0.5 * (1 + _TOUCH)  # in voxels
_PLANES = ((1, 2), (2, 0), (0, 1))  # the two other axes of each
_MORTON_BITS = 21  # per axis; 3 x 21 fit into 63 bits
_SPREADS = (  # each step moves the upper halves of all groups of bits away, until two gaps follow every bit
    (32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)  # fmt: skip


def subdivide(
    triangles: Float[ndarray, "n 3 3"], longest_m: float
) -> tuple[Float[ndarray, "m 3 3"], Int[ndarray, " m"]]:
    """Halve the longest edge of every triangle until none is longer than asked.

    Args:
        triangles: corners, any frame, metres.
        longest_m: allowed edge, metres.

    Returns:
        The pieces, which together cover the same surface, and the index of the triangle each is part of.
    """
    parent = np.arange(len(triangles))
    done, done_parent = [], []
    while len(triangles):
        is_small, halves = _halved(triangles, longest_m)
        done.append(triangles[is_small])
        done_parent.append(parent[is_small])
        triangles, parent = halves, np.tile(parent[~is_small], 2)
    if not done:
        return np.zeros((0, 3, 3)), np.zeros(0, dtype=np.int64)
    return np.concatenate(done), np.concatenate(done_parent)


def _halved(
    triangles: Float[ndarray, "n 3 3"], longest_m: float
) -> tuple[Bool[ndarray, " n"], Float[ndarray, "halves 3 3"]]:
    """Which triangles have no edge longer than asked; the first and then the second halves of the others."""
    edges = np.roll(triangles, -1, axis=1) - triangles  # [n, 3, 3]; edge k runs from corner k to corner k + 1
    squared = (edges * edges).sum(axis=2)  # [n, 3]
    longest = squared.argmax(axis=1)
    is_small: Bool[ndarray, " n"] = squared[np.arange(len(triangles)), longest] <= longest_m * longest_m
    big, first = triangles[~is_small], longest[~is_small]
    row = np.arange(len(big))
    a, b, c = big[row, first], big[row, (first + 1) % 3], big[row, (first + 2) % 3]
    middle = (a + b) / 2  # [big, 3]
    return is_small, np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])


def count_voxels(triangles: Float[ndarray, "n 3 3"], pitch_m: float) -> tuple[float, int]:
    """Estimate, within a small factor, how many voxels triangles pass through: by areas, lengths and number.

    Returns:
        The estimate, and the triangle with the largest share of it.
    """
    count = np.empty(len(triangles))
    for start in range(0, len(triangles), _CACHED):
        part = slice(start, start + _CACHED)
        edges = np.roll(triangles[part], -1, axis=1) - triangles[part]  # [n, 3, 3]
        normal = cross(edges[:, 0], edges[:, 1])
        area = np.sqrt(dot(normal, normal)) / 2
        longest = np.sqrt((edges * edges).sum(axis=2).max(axis=1))
        count[part] = area / pitch_m**2 + longest / pitch_m + 1  # [n]
    return float(count.sum()), int(count.argmax())


def check_voxels(triangles: Float[ndarray, "n 3 3"], pitch_m: float) -> None:
    """Refuse, before any work, a surface with more voxels than any real scan has.

    Raises:
        ValueError: naming the estimated number and the triangle with the largest share.
    """
    count, largest = count_voxels(triangles, pitch_m)
    if not count <= MOST_VOXELS:
        size = float(np.ptp(triangles[largest], axis=0).max())
        raise ValueError(
            f"about {count:.2g} voxels of {pitch_m:g} m in {len(triangles)} triangles, of which number {largest} is "
            f"{size:.3g} m wide; allowed: {MOST_VOXELS:.2g} voxels"
        )


def occupied_voxels(triangles: Float[ndarray, "n 3 3"], pitch_m: float) -> Float[ndarray, "voxels 3"]:
    """Centres of all voxels that a surface passes through.

    Voxel ``i`` is the half-open cube from ``i * pitch`` to ``(i + 1) * pitch``; it counts when any triangle meets it
    (separating-axis test, no sampling). Only elementwise float64 arithmetic is used: same input, same voxels.

    Args:
        triangles: corners, world frame, metres.
        pitch_m: side of a voxel, metres.

    Returns:
        Centres, world frame, metres, float32, sorted by Morton code.

    Raises:
        ValueError: if there are far too many voxels, or they lie too far apart for their codes.
    """
    check_voxels(triangles, pitch_m)
    origin = np.floor(triangles.min(axis=(0, 1)) / pitch_m).astype(np.int64)  # no piece reaches lower
    codes = [
        sorted_unique(code)
        for pieces in _small_pieces(triangles, 4 * pitch_m)  # small pieces have few candidate voxels
        for code in _codes(pieces / pitch_m, origin)
    ]
    index = _morton_index(sorted_unique(np.concatenate(codes))) + origin
    centers: Float[ndarray, "voxels 3"] = ((index + 0.5) * pitch_m).astype(np.float32)
    return centers


def cloud_voxels(points: Float[ndarray, "points 3"], pitch_m: float) -> Float[ndarray, "voxels 3"]:
    """Centres of all voxels that hold a point, on the grid of :func:`occupied_voxels`.

    Args:
        points: world frame, metres.
        pitch_m: side of a voxel, metres.

    Returns:
        Centres, world frame, metres, float32, sorted by Morton code.

    Raises:
        ValueError: if there are far too many voxels, or they lie too far apart for their codes.
    """
    index = np.floor(points / pitch_m).astype(np.int64)
    origin = index.min(axis=0)
    code = sorted_unique(morton_code(index - origin))
    if len(code) > MOST_VOXELS:
        raise ValueError(f"{len(code):,} voxels of {pitch_m:g} m; allowed: {MOST_VOXELS:.2g} voxels")
    centers: Float[ndarray, "voxels 3"] = ((_morton_index(code) + origin + 0.5) * pitch_m).astype(np.float32)
    return centers


def _small_pieces(triangles: Float[ndarray, "n 3 3"], longest_m: float) -> Iterator[Float[ndarray, "m 3 3"]]:
    """The pieces of :func:`subdivide` in runs, of which few are held at a time."""
    waiting = [triangles[start : start + _RUN] for start in range(0, len(triangles), _RUN)]
    while waiting:
        run = waiting.pop()
        is_small, halves = _halved(run, longest_m)
        waiting += [halves[start : start + _RUN] for start in range(0, len(halves), _RUN)]
        if is_small.any():
            yield run[is_small]


def _codes(pieces: Float[ndarray, "n 3 3"], origin: Int[ndarray, "3"]) -> Iterator[Int[ndarray, " m"]]:
    """Morton codes of the voxels the pieces meet, in runs; lengths in voxels."""
    first = np.floor(pieces.min(axis=1)).astype(np.int64)  # [pieces, 3]; the lowest voxel of each piece's box
    size = np.floor(pieces.max(axis=1)).astype(np.int64) - first + 1
    count = size.prod(axis=1)  # [pieces]; voxels of each box
    bounds = np.searchsorted(count.cumsum(), np.arange(0, count.sum() + _CANDIDATES, _CANDIDATES))
    for a, b in zip(bounds, [*bounds[1:], len(pieces)], strict=True):
        if b > a:
            yield morton_code(_met_voxels(pieces[a:b], first[a:b], size[a:b]) - origin)


def _met_voxels(
    triangles: Float[ndarray, "n 3 3"], first: Int[ndarray, "n 3"], size: Int[ndarray, "n 3"]
) -> Int[ndarray, "m 3"]:
    """Indices of the voxels each triangle meets, one after another; lengths in voxels."""
    count = size.prod(axis=1)
    owner = np.repeat(np.arange(len(triangles)), count)  # [pairs]
    local = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
    # Number k of a box of x * y * z voxels, in C order, has the place (k // (y z), k // z % y, k % z).
    y, z = size[owner, 1], size[owner, 2]
    row = local // z
    index = [first[owner, 0] + row // y, first[owner, 1] + row % y, first[owner, 2] + local - row * z]  # [pairs] each
    corners = np.ascontiguousarray(triangles.transpose(1, 2, 0))  # [3, 3, n]; one row per coordinate: contiguous
    edges = np.roll(corners, -1, axis=0) - corners
    # Separating axes of a triangle and a cube: its normal, then the nine products of its edges and the cube's axes; the
    # cube's own axes are done with, as only voxels of the triangle's box are candidates. Akenine-Moller, JGT 2001.
    normal = [edges[0, u] * edges[1, v] - edges[0, v] * edges[1, u] for u, v in _PLANES]  # [n] each
    reach = _HALF * (np.abs(normal[0]) + np.abs(normal[1]) + np.abs(normal[2]))
    height = _dot(normal, [*corners[0]])
    middle = [along + 0.5 for along in index]
    off = np.abs(height[owner] - _dot([along[owner] for along in normal], middle))
    near = np.flatnonzero(off <= reach[owner])
    owner = owner[near]
    seen = [[corners[k, axis][owner] - middle[axis][near] for axis in range(3)] for k in range(3)]  # from the centres
    is_met = np.ones(len(owner), dtype=bool)
    for edge in range(3):
        is_met &= _straddles([along[owner] for along in edges[edge]], seen[edge], seen[(edge + 2) % 3])
    return np.stack([along[near[is_met]] for along in index], axis=1)


def _straddles(
    direction: list[Float[ndarray, " n"]], here: list[Float[ndarray, " n"]], opposite: list[Float[ndarray, " n"]]
) -> Bool[ndarray, " n"]:
    """Whether no axis across an edge and one of the cube's edges parts cube and triangle.

    Along the axis unit x edge both ends of the edge lie at one place, so one of them and the opposite corner say all.
    """
    is_met = np.ones(len(here[0]), dtype=bool)
    for u, v in _PLANES:
        one = here[v] * direction[u] - here[u] * direction[v]
        other = opposite[v] * direction[u] - opposite[u] * direction[v]
        reach = _HALF * (np.abs(direction[u]) + np.abs(direction[v]))
        is_met &= (np.minimum(one, other) <= reach) & (np.maximum(one, other) >= -reach)
    return is_met


def _dot(a: list[Float[ndarray, " n"]], b: list[Float[ndarray, " n"]]) -> Float[ndarray, " n"]:
    product: Float[ndarray, " n"] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def morton_code(index: Int[ndarray, "n 3"]) -> Int[ndarray, " n"]:
    """Interleave the bits of three non-negative indices; sorting by it keeps neighbours together.

    Raises:
        ValueError: if an index does not fit 21 bits.
    """
    if len(index) and (index.min() < 0 or index.max() >> _MORTON_BITS):
        raise ValueError(f"voxel indices {index.min()}..{index.max()} do not fit {_MORTON_BITS} bits; raise the pitch")
    code = np.zeros(len(index), dtype=np.int64)
    for axis in range(3):
        spread = index[:, axis].astype(np.int64)
        for shift, mask in _SPREADS:
            spread = (spread | spread << shift) & mask
        code |= spread << axis
    return code


def _morton_index(code: Int[ndarray, " n"]) -> Int[ndarray, "n 3"]:
    index = np.zeros((len(code), 3), dtype=np.int64)
    for bit in range(_MORTON_BITS):
        for axis in range(3):
            index[:, axis] |= (code >> (3 * bit + axis) & 1) << bit
    return index


def sorted_unique(code: Int[ndarray, " n"]) -> Int[ndarray, " m"]:
    """Sorted, each once; several times faster here than ``np.unique``."""
    code = np.sort(code)
    is_first = np.ones(len(code), dtype=bool)
    is_first[1:] = code[1:] != code[:-1]
    return code[is_first]


def dot(a: Float[ndarray, "n 3"], b: Float[ndarray, "n 3"]) -> Float[ndarray, " n"]:
    """Dot product from elementwise operations only."""
    product: Float[ndarray, " n"] = a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]
    return product


def cross(a: Float[ndarray, "n 3"], b: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    """Cross product from elementwise operations only."""
    rows = [a[:, i] * b[:, j] - a[:, j] * b[:, i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.stack(rows, axis=1)
