"""The closest point of a triangle mesh, found with proof, and the side of the surface a point lies on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64
from numpy import ndarray
from scipy.spatial import cKDTree

from sahmr.scenes.voxels import cross, dot, sorted_unique, subdivide

_CORNERS_ASKED = 6  # nearest corners fetched at first; a point that needs more gets four times as many, and again
_PIECE_EDGES = 1.25  # halve edges longer than this many times the root mean square of the faces' longest ones
_MOST_FACES = 1000  # that meet at a corner; decimated scans have up to a hundred. Time and memory grow with it
_POINTS, _PAIRS, _ENTRIES = 1 << 13, 1 << 14, 1 << 20  # treated at once; bound memory, cannot change the result
_ROUNDING = 1e-9  # of the reach, many times what float64 loses
_TIE_M = 1e-9  # faces as near as that are equally near
_CANCELLED = 1e-9  # a shorter pseudo-normal is what rounding leaves of opposite faces
_GOLDEN, _HALF_WAY = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)  # 2^64 over the golden ratio: spreads the bits
_FACE, _EDGES, _CORNERS = 0, (1, 2, 3), (4, 5, 6)  # columns of the table of features


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshEdges:
    """How faces meet; corners at one place are one corner.

    Attributes:
        num_open: edges of a single face: the rim of an open mesh.
        num_flipped: edges whose two faces disagree about the side that is outside.
        num_non_manifold: edges of three faces or more.
    """

    num_open: int
    num_flipped: int
    num_non_manifold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The closest surface point of each of some points; the mesh's frame, metres.

    Attributes:
        point: the closest surface point.
        normal: the pseudo-normal there, of any length; zero where opposite faces coincide.
        is_rim: it lies on an open edge of the mesh.
        distance: signed; negative where the normal points away from the asked point.
    """

    point: Float[ndarray, "n 3"]
    normal: Float[ndarray, "n 3"]
    is_rim: Bool[ndarray, " n"]
    distance: Float[ndarray, " n"]


class FaceFinder:
    """A mesh prepared for :meth:`nearest`.

    Long edges are halved until every surface point ``q`` has a corner of its own face within ``gap_m``: on the same
    edge if ``q`` is on an edge, at ``q`` if ``q`` is a corner. From a point whose closest surface point is ``q``, at
    distance ``d``, that corner is at most ``sqrt(d^2 + gap_m^2)`` away, as ``q - corner`` is at a right angle to the
    offset. So the nearest face is among those that meet at the corners within this reach; the distance of any face
    will do for ``d``.

    Attributes:
        corners: all corners, of the mesh and of the halved faces, each place once.
        gap_m: see above.
        edges: how the faces meet.
    """

    def __init__(self, triangles: Float[ndarray, "faces 3 3"], longest_m: float) -> None:
        """Prepare faces that have an area each; ``longest_m`` bounds the edges and decides speed alone.

        Raises:
            ValueError: if more than a thousand faces meet at a corner.
        """
        edges = np.roll(triangles, -1, axis=1) - triangles
        squared = np.maximum.reduce([dot(edges[:, k], edges[:, k]) for k in range(3)])  # [faces]
        longest_m = min(longest_m, _PIECE_EDGES * float(np.sqrt(squared.mean())))
        is_long = squared > longest_m * longest_m
        pieces, parent = subdivide(triangles[is_long], longest_m)
        self.corners, corner = number_places(np.concatenate([triangles, pieces]).reshape(-1, 3))
        self.gap_m = min(float(np.sqrt(squared.max())), longest_m) / 3**0.5  # to the middle of an equilateral piece
        self._triangles = triangles.reshape(-1, 9)
        faces = np.arange(len(triangles))
        face = np.repeat(np.concatenate([faces, faces[is_long][parent]]), 3)
        fans = sorted_unique(corner * len(faces) + face)  # [pairs]; compressed sparse rows: a row of faces per corner
        self._fan_faces = fans % len(faces)
        self._fan_starts = np.searchsorted(fans // len(faces), np.arange(len(self.corners) + 1))
        crowd = int(np.diff(self._fan_starts).max())
        if crowd > _MOST_FACES:
            raise ValueError(f"{crowd} faces meet at one corner; allowed: {_MOST_FACES}")
        self._features, self._normals, self._is_rim, self.edges = _features(
            corner[: 3 * len(faces)].reshape(-1, 3), edges
        )
        self._tree = cKDTree(self.corners, leafsize=32)

    def nearest(self, points: Float[ndarray, "n 3"]) -> Nearest:
        """Find the exact closest surface point of each point; of equally near ones, one that has the point in front."""
        closest, distance = np.empty((len(points), 3)), np.empty(len(points))
        feature = np.empty(len(points), dtype=np.int64)
        waiting = [
            (np.arange(i, min(i + _POINTS, len(points))), _CORNERS_ASKED) for i in range(0, len(points), _POINTS)
        ]
        while waiting:
            rows, asked = waiting.pop()
            is_proven, candidates = self._candidates(points[rows], min(asked, len(self.corners)))
            closest[rows], feature[rows], distance[rows] = self._choose(points[rows], *candidates)
            unproven, asked = rows[~is_proven], 4 * asked
            share = max(1, _ENTRIES // asked)
            waiting += [(unproven[i : i + share], asked) for i in range(0, len(unproven), share)]
        return Nearest(point=closest, normal=self._normals[feature], is_rim=self._is_rim[feature], distance=distance)

    def _candidates(
        self, points: Float[ndarray, "n 3"], count: int
    ) -> tuple[Bool[ndarray, " n"], tuple[Int[ndarray, " pairs"], Int[ndarray, " pairs"], Float[ndarray, " pairs"]]]:
        """Faces at each point's ``count`` nearest corners that may be its nearest, and whether no other face may be.

        Returns:
            Whether the candidates are complete; each one's point, face, and squared distance to the point.
        """
        to_corner, corner = self._tree.query(points, k=count)  # [n, count] each
        owner, face = self._fans(np.arange(len(points)), corner[:, 0])  # [pairs] each
        squared = self._squared(points, owner, face)
        reach = np.sqrt(np.minimum.reduceat(squared, _starts(owner)) + self.gap_m * self.gap_m)  # [n]
        is_within = to_corner <= reach[:, None] * (1 + _ROUNDING)  # [n, count]
        row, column = np.nonzero(is_within[:, 1:])  # [more] each
        more_owner, more_face = self._fans(row, corner[row, column + 1])
        pairs = np.concatenate([owner, more_owner]), np.concatenate([face, more_face])
        squared = np.concatenate([squared, self._squared(points, more_owner, more_face)])
        return ~is_within[:, -1] | (count == len(self.corners)), (*pairs, squared)

    def _fans(
        self, owner: Int[ndarray, " n"], corner: Int[ndarray, " n"]
    ) -> tuple[Int[ndarray, " pairs"], Int[ndarray, " pairs"]]:
        """Owner and face of every face that meets at each corner, in order."""
        count = self._fan_starts[corner + 1] - self._fan_starts[corner]
        first = self._fan_starts[corner] - (count.cumsum() - count)
        return np.repeat(owner, count), self._fan_faces[np.arange(count.sum()) + np.repeat(first, count)]

    def _squared(
        self, points: Float[ndarray, "n 3"], owner: Int[ndarray, " pairs"], face: Int[ndarray, " pairs"]
    ) -> Float[ndarray, " pairs"]:
        squared = np.empty(len(owner))
        for start in range(0, len(owner), _PAIRS):
            part = slice(start, start + _PAIRS)
            offset, _ = offset_from_triangles(points[owner[part]], self._triangles[face[part]])
            squared[part] = _dot(offset, offset)
        return squared

    def _choose(
        self,
        points: Float[ndarray, "n 3"],
        owner: Int[ndarray, " pairs"],
        face: Int[ndarray, " pairs"],
        squared: Float[ndarray, " pairs"],
    ) -> tuple[Float[ndarray, "n 3"], Int[ndarray, " n"], Float[ndarray, " n"]]:
        """Closest point, the feature it lies on, and the signed distance."""
        nearest = np.full(len(points), np.inf)
        np.minimum.at(nearest, owner, squared)
        distance = np.sqrt(nearest)
        is_tied = squared <= ((distance + _TIE_M) ** 2)[owner]  # [pairs]
        owner, face = owner[is_tied], face[is_tied]
        offset, feature = offset_from_triangles(points[owner], self._triangles[face])  # [3, tied] and [tied]
        feature = self._features[face, feature]
        is_behind = _dot(offset, self._normals[feature].T) < 0
        order = np.lexsort((face, is_behind, owner))  # [tied]; by point, the faces that have it in front first
        best = order[_starts(owner[order])]  # [n]
        return points - offset.T[best], feature[best], np.where(is_behind[best], -distance, distance)


def offset_from_triangles(
    points: Float[ndarray, "n 3"], triangles: Float[ndarray, "n 9"]
) -> tuple[Float[ndarray, "3 n"], Int[ndarray, " n"]]:
    """From the closest point of each point's triangle to the point, and the feature it lies on.

    Returns:
        The offset, and the feature: 0 the face, 1 2 3 its edges ab bc ca, 4 5 6 its corners. Rounding can move the
        closest point within the triangle, never off it.

    Source: Ericson, Real-Time Collision Detection, 5.1.5.
    """
    corners = np.ascontiguousarray(triangles.T)  # [9, n]; one row per coordinate: rows are contiguous
    ap = np.ascontiguousarray(points.T) - corners[:3]  # [3, n]
    ab, ac = corners[3:6] - corners[:3], corners[6:] - corners[:3]
    d1, d2, product = _dot(ab, ap), _dot(ac, ap), _dot(ab, ac)
    squared_ab, squared_ac = _dot(ab, ab), _dot(ac, ac)
    d3, d4, d5, d6 = d1 - squared_ab, d2 - product, d1 - product, d2 - squared_ac
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2  # [n] each; Ericson's signed areas
    to_b, to_c = d5 - d6, d4 - d3
    along_bc = to_c * _inverse(to_b + to_c)
    inside = _inverse(va + vb + vc)
    weight_b = np.clip(vb * inside, 0, 1)  # [n]; barycentric
    weight_c = np.clip(vc * inside, 0, 1 - weight_b)
    feature = np.full(len(d1), _FACE)
    for is_there, where, b, c in (  # corners win over edges, edges over the face
        ((vb <= 0) & (d2 >= 0) & (d6 <= 0), _EDGES[2], 0.0, d2 / squared_ac),
        ((va <= 0) & (to_c >= 0) & (to_b >= 0), _EDGES[1], 1 - along_bc, along_bc),
        ((vc <= 0) & (d1 >= 0) & (d3 <= 0), _EDGES[0], d1 / squared_ab, 0.0),
        ((d6 >= 0) & (d5 <= d6), _CORNERS[2], 0.0, 1.0),
        ((d3 >= 0) & (d4 <= d3), _CORNERS[1], 1.0, 0.0),
        ((d1 <= 0) & (d2 <= 0), _CORNERS[0], 0.0, 0.0),
    ):
        for array, value in ((feature, where), (weight_b, b), (weight_c, c)):
            np.copyto(array, value, where=is_there)
    return ap - ab * weight_b - ac * weight_c, feature


def number_places(points: Float[ndarray, "n 3"]) -> tuple[Float[ndarray, "places 3"], Int[ndarray, " n"]]:
    """The different places among some points, sorted by x, then y, then z, and each point's place.

    Told apart by a hash of their bits: by the first of them, if two places share these by all, and if even two of
    those are the same, by ``np.unique`` of the rows, many times slower.
    """
    hashed = _hash(points)
    first, group, _ = _grouped(hashed >> np.uint64(_index_bits(len(points))))
    if not _are(points, first, group):
        _, first, group = np.unique(hashed, return_index=True, return_inverse=True)
        if not _are(points, first, group):
            places, number = np.unique(points, axis=0, return_inverse=True)
            return places, number.reshape(-1)
    found = points[first]
    order, rank = np.lexsort(found.T[::-1]), np.empty(len(first), dtype=np.int64)  # [places] each
    rank[order] = np.arange(len(order))
    return found[order], np.take(rank, group)


def _are(points: Float[ndarray, "n 3"], first: Int[ndarray, " groups"], group: Int[ndarray, " n"]) -> bool:
    """Whether all points of each group are its first."""
    return bool((np.take(points[first], group, axis=0) == points).all())


def _grouped(
    keys: UInt64[ndarray, " n"],
) -> tuple[Int[ndarray, " groups"], Int[ndarray, " n"], Int[ndarray, " groups"]]:
    """First place, group of each, and size of each group of equal keys, groups sorted by key: ``np.unique``'s answers.

    Sorted with each key's place in its lower bits, where there is room: numpy sorts numbers several times faster than
    it finds their order.
    """
    shift = _index_bits(len(keys))
    if len(keys) == 0 or int(keys.max()) >> (64 - shift):
        _, first, group, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        return first, group, count
    packed = np.sort(keys << np.uint64(shift) | np.arange(len(keys), dtype=np.uint64))
    place = (packed & np.uint64((1 << shift) - 1)).astype(np.int64)
    packed >>= np.uint64(shift)
    is_first = np.concatenate([[True], packed[1:] != packed[:-1]])
    group = np.empty(len(keys), dtype=np.int64)
    group[place] = np.cumsum(is_first) - 1
    starts = np.flatnonzero(is_first)
    return place[starts], group, np.diff(starts, append=len(keys))


def _index_bits(count: int) -> int:
    return max(1, count.bit_length())


def _hash(points: Float[ndarray, "n 3"]) -> UInt64[ndarray, " n"]:
    """0.0 and -0.0 are the same."""
    bits = np.ascontiguousarray(points + 0.0, dtype=np.float64).view(np.uint64)  # [n, 3]
    mixed: UInt64[ndarray, " n"] = np.zeros(len(points), dtype=np.uint64)
    for axis in range(3):
        mixed = (mixed ^ bits[:, axis]) * _GOLDEN
        mixed ^= mixed >> _HALF_WAY
    return mixed


def _features(
    corner: Int[ndarray, "faces 3"], edges: Float[ndarray, "faces 3 3"]
) -> tuple[Int[ndarray, "faces 7"], Float[ndarray, "features 3"], Bool[ndarray, " features"], MeshEdges]:
    """Number every face, edge and corner; give each its pseudo-normal, and say whether it is on the rim.

    The pseudo-normal of an edge is the sum of its faces' unit normals, that of a corner their sum weighted by angle.

    Source: Baerentzen and Aanaes, Signed distance computation using the angle weighted pseudonormal, 2005.
    """
    normal = cross(edges[:, 0], edges[:, 1])  # [faces, 3]
    normal /= np.sqrt(dot(normal, normal))[:, None]
    ends = np.stack([corner, np.roll(corner, -1, axis=1)], axis=2).reshape(-1, 2)  # [3 faces, 2]
    num_corners = corner.max() + 1
    start, end = ends.T
    key = np.minimum(start, end) * num_corners + np.maximum(start, end)  # [3 faces]; the same for both directions
    _, edge, count = _grouped(key.astype(np.uint64))
    num_forward = np.bincount(edge, weights=start < end)
    weighted = (normal[:, None] * _corner_angles(edges)[:, :, None]).reshape(-1, 3)  # [3 faces, 3]
    sums = [normal, _sum_by(edge, np.repeat(normal, 3, axis=0)), _sum_by(corner.ravel(), weighted)]
    normals = np.concatenate(sums)  # [features, 3]
    normals[dot(normals, normals) < _CANCELLED * _CANCELLED] = 0
    is_rim = np.zeros(len(normals), dtype=bool)
    is_rim[len(normal) : len(normal) + len(count)] = count == 1
    is_rim[len(normal) + len(count) + ends[count[edge] == 1].ravel()] = True
    numbers = [
        np.arange(len(normal))[:, None],
        len(normal) + edge.reshape(-1, 3),
        len(normal) + len(count) + corner,
    ]
    met = MeshEdges(
        num_open=int((count == 1).sum()),
        num_flipped=int(((count == 2) & (num_forward != 1)).sum()),
        num_non_manifold=int((count > 2).sum()),
    )
    return np.concatenate(numbers, axis=1).astype(np.int32), normals, is_rim, met


def _corner_angles(edges: Float[ndarray, "faces 3 3"]) -> Float[ndarray, "faces 3"]:
    """Angle at each corner, radians; edge k leaves corner k."""
    angles = np.zeros(edges.shape[:2])
    for k in range(3):
        leaving, arriving = edges[:, k], -edges[:, k - 1]
        turned = cross(leaving, arriving)  # [faces, 3]
        angles[:, k] = np.arctan2(np.sqrt(dot(turned, turned)), dot(leaving, arriving))
    return angles


def _sum_by(group: Int[ndarray, " n"], values: Float[ndarray, "n 3"]) -> Float[ndarray, "groups 3"]:
    """Sum the rows of each group, in order."""
    return np.stack([np.bincount(group, weights=np.ascontiguousarray(values[:, axis])) for axis in range(3)], axis=1)


def _starts(owner: Int[ndarray, " n"]) -> Int[ndarray, " groups"]:
    """Where each run of equal numbers starts."""
    return np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))


def _dot(a: Float[ndarray, "3 n"], b: Float[ndarray, "3 n"]) -> Float[ndarray, " n"]:
    product: Float[ndarray, " n"] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def _inverse(value: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """One over the value; 0 for 0."""
    inverse: Float[ndarray, " n"] = np.divide(1.0, value, out=np.zeros_like(value), where=value != 0)
    return inverse
