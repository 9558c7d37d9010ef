"""Signed distance to a triangle mesh that need not be closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from sahmr.data.surface import cross, dot, subdivide

SIGN_CONVENTION = "negative inside or behind the surface"
_CHUNK = 1 << 16  # points treated at once; cannot change the result
_BAND_CELLS = 2.01  # within so many cells of the surface its nearest piece is searched exactly
_PIECE_CELLS = 1.4  # longest edge of a piece; longer ones leave holes between the occupied cells
_CANDIDATES = 3  # nearest pieces whose faces are compared there
_FACE, _EDGES, _CORNERS = 0, (1, 2, 3), (4, 5, 6)  # columns of the table of pseudo-normals


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceGrid:
    """Signed distances on a regular grid; index order [x][y][z].

    Attributes:
        values: metres; negative inside or behind the surface.
        lower, upper: centres of the first and last sample, metres, the mesh's frame.
    """

    values: Float[ndarray, "nx ny nz"]
    lower: Float[ndarray, "3"]
    upper: Float[ndarray, "3"]


def grid_spacing(extent_m: Float[ndarray, "3"], spacing_m: float, margin_m: float, max_samples: int) -> float:
    """The wanted spacing, or the smallest of its multiples by sqrt(2) that needs no more than ``max_samples``."""
    while np.prod(_grid_shape(extent_m, spacing_m, margin_m)) > max_samples:
        spacing_m *= 2**0.5
    return spacing_m


def _grid_shape(extent_m: Float[ndarray, "3"], spacing_m: float, margin_m: float) -> Int[ndarray, "3"]:
    shape: Int[ndarray, "3"] = np.ceil((extent_m + 2 * margin_m) / spacing_m).astype(np.int64) + 1
    return shape


def signed_distance_grid(triangles: Float[ndarray, "faces 3 3"], *, spacing_m: float, margin_m: float) -> DistanceGrid:
    """Sample the signed distance to a mesh on a grid that surrounds it.

    The distance is exact to the face chosen for a sample: near the surface the nearest of the faces whose pieces
    (about a grid step small) are closest, farther away the face of the nearest occupied cell, at worst half a grid
    step too far. The sign is that of the angle-weighted pseudo-normal at the closest point (Baerentzen and Aanaes
    2005): on an open scan everything behind a wall or under the floor is negative. Faces without area have no normal
    and take no part.

    Args:
        triangles: corners, metres; their winding says which side is outside.
        spacing_m: grid step, metres.
        margin_m: how far the grid reaches beyond the mesh, metres.

    Raises:
        ValueError: if no triangle has an area.
    """
    table = _pseudo_normals(triangles)
    has_area = dot(table[:, _FACE], table[:, _FACE]) > 0
    triangles, table = triangles[has_area], table[has_area]
    if not len(triangles):
        raise ValueError("no triangle has an area; a distance field needs a surface")
    corners = triangles.reshape(-1, 3)
    lower = corners.min(axis=0) - margin_m
    shape = _grid_shape(corners.max(axis=0) - corners.min(axis=0), spacing_m, margin_m)
    face = _nearest_face(triangles, table, lower, shape, spacing_m)
    values = np.empty(len(face), dtype=np.float32)
    for start in range(0, len(face), _CHUNK):
        flat = np.arange(start, min(start + _CHUNK, len(face)))
        index = np.stack(np.unravel_index(flat, shape), axis=1)
        values[flat] = _distance_to_faces(lower + index * spacing_m, triangles, table, face[flat])
    return DistanceGrid(values=values.reshape(shape), lower=lower, upper=lower + (shape - 1) * spacing_m)


def _nearest_face(
    triangles: Float[ndarray, "faces 3 3"],
    normals: Float[ndarray, "faces 7 3"],
    lower: Float[ndarray, "3"],
    shape: Int[ndarray, "3"],
    spacing_m: float,
) -> Int[ndarray, " samples"]:
    """Pick a face for every grid sample, in C order."""
    pieces, parent = subdivide(triangles, _PIECE_CELLS * spacing_m)
    middle = (pieces[:, 0] + pieces[:, 1] + pieces[:, 2]) / 3
    cell = np.rint((middle - lower) / spacing_m).astype(np.int64)
    is_free = np.ones(shape, dtype=bool)
    is_free[tuple(cell.T)] = False
    steps, nearest = distance_transform_edt(is_free, return_indices=True)
    is_near = steps <= _BAND_CELLS
    points = lower + np.argwhere(is_near) * spacing_m
    count = min(_CANDIDATES, len(middle))
    candidates = parent[cKDTree(middle).query(points, k=range(1, count + 1))[1]]
    distances = [np.abs(_distance_to_faces(points, triangles, normals, candidates[:, k])) for k in range(count)]
    face = np.empty(shape, dtype=np.int32)
    face[is_near] = candidates[np.arange(len(points)), np.argmin(distances, axis=0)]
    result: Int[ndarray, " samples"] = face[tuple(nearest)].ravel()
    result[is_near.ravel()] = face[is_near]
    return result


def _distance_to_faces(
    points: Float[ndarray, "n 3"],
    triangles: Float[ndarray, "faces 3 3"],
    normals: Float[ndarray, "faces 7 3"],
    face: Int[ndarray, " n"],
) -> Float[ndarray, " n"]:
    """Signed distance of each point to its face (Ericson, Real-Time Collision Detection, 5.1.5)."""
    chosen = triangles[face]
    a, ab, ac = chosen[:, 0], chosen[:, 1] - chosen[:, 0], chosen[:, 2] - chosen[:, 0]
    ap = points - a
    d1, d2 = dot(ab, ap), dot(ac, ap)
    squared_ab, squared_ac, product = dot(ab, ab), dot(ac, ac), dot(ab, ac)
    d3, d4, d5, d6 = d1 - squared_ab, d2 - product, d1 - product, d2 - squared_ac
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    regions = (  # corner a, b, c, edge ab, bc, ca; each with the weights of b and c at the closest point
        ((d1 <= 0) & (d2 <= 0), _CORNERS[0], 0.0, 0.0),
        ((d3 >= 0) & (d4 <= d3), _CORNERS[1], 1.0, 0.0),
        ((d6 >= 0) & (d5 <= d6), _CORNERS[2], 0.0, 1.0),
        ((vc <= 0) & (d1 >= 0) & (d3 <= 0), _EDGES[0], d1 / squared_ab, 0.0),
        ((va <= 0) & (d4 >= d3) & (d5 >= d6), _EDGES[1], *_along_bc(d3, d4, d5, d6)),
        ((vb <= 0) & (d2 >= 0) & (d6 <= 0), _EDGES[2], 0.0, d2 / squared_ac),
    )
    total = va + vb + vc
    inside = np.divide(1.0, total, out=np.zeros_like(total), where=total != 0)
    conditions = [region[0] for region in regions]
    feature = np.select(conditions, [region[1] for region in regions], _FACE)
    weight_b = np.select(conditions, [region[2] for region in regions], vb * inside)
    weight_c = np.select(conditions, [region[3] for region in regions], vc * inside)
    offset = ap - ab * weight_b[:, None] - ac * weight_c[:, None]
    side = np.where(dot(offset, normals[face, feature]) < 0, -1.0, 1.0)
    distance: Float[ndarray, " n"] = side * np.sqrt(dot(offset, offset))
    return distance


def _along_bc(d3: ndarray, d4: ndarray, d5: ndarray, d6: ndarray) -> tuple[ndarray, ndarray]:
    """Weights of b and c of the closest point on the edge bc; meaningless off its region."""
    total = (d4 - d3) + (d5 - d6)
    share = np.divide(d4 - d3, total, out=np.zeros_like(total), where=total != 0)
    return 1 - share, share


def _pseudo_normals(triangles: Float[ndarray, "faces 3 3"]) -> Float[ndarray, "faces 7 3"]:
    """Normals of each face, of its edges ab, bc, ca, and of its corners; corners at one place count as one.

    A face without area has a zero normal.
    """
    edges = np.roll(triangles, -1, axis=1) - triangles
    normal = cross(edges[:, 0], edges[:, 1])
    length = np.sqrt(dot(normal, normal))[:, None]
    normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    _, vertex = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    corner = vertex.reshape(-1, 3)
    ends = np.stack([corner, np.roll(corner, -1, axis=1)], axis=2).reshape(-1, 2)
    ends.sort(axis=1)
    _, edge = np.unique(ends[:, 0] * (corner.max() + 1) + ends[:, 1], return_inverse=True)
    of_edge = _sum_by(edge, np.repeat(normal, 3, axis=0))[edge].reshape(-1, 3, 3)
    weighted = (normal[:, None] * _corner_angles(edges)[:, :, None]).reshape(-1, 3)
    of_corner = _sum_by(corner.ravel(), weighted)[corner.ravel()].reshape(-1, 3, 3)
    return np.concatenate([normal[:, None], of_edge, of_corner], axis=1)


def _corner_angles(edges: Float[ndarray, "faces 3 3"]) -> Float[ndarray, "faces 3"]:
    """Angle at each corner, radians; edge k leaves corner k."""
    angles = np.zeros(edges.shape[:2])
    for k in range(3):
        leaving, arriving = edges[:, k], -edges[:, k - 1]
        turned = cross(leaving, arriving)
        angles[:, k] = np.arctan2(np.sqrt(dot(turned, turned)), dot(leaving, arriving))
    return angles


def _sum_by(group: Int[ndarray, " n"], values: Float[ndarray, "n 3"]) -> Float[ndarray, "groups 3"]:
    """Sum the rows of each group, in order."""
    return np.stack([np.bincount(group, weights=values[:, axis]) for axis in range(3)], axis=1)
