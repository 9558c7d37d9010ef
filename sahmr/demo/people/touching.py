"""Which vertices touch the room, and the scan triangles nearest to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sahmr.demo.places.room import Box, Room, Surface

Array = NDArray[np.float64]

TOUCH_M = 0.02  # a vertex this near to the surface is in contact


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestSurface:
    """Per point: the vector to the closest surface point [n, 3] and the surface's normal there [n, 3]."""

    offset: Array
    normal: Array


def nearest_surface(room: Room, points: Array) -> NearestSurface:
    """Closest point of floor and boxes, exactly; points [n, 3] in the room frame, metres."""
    offset = np.zeros_like(points)
    offset[:, 2] = -points[:, 2]
    normal = np.zeros_like(points)
    normal[:, 2] = 1.0
    best, middle = np.abs(points[:, 2]), points.mean(0)
    for box in sorted(room.boxes, key=lambda box: _bound(box, middle)):
        ball = np.sqrt(((points - np.array(box.center)) ** 2).sum(1)) - np.sqrt(sum(h * h for h in box.half))
        some = np.flatnonzero(ball < best)
        if not len(some):
            continue
        vector, direction = _nearest_on_box(box, points[some])
        distance = np.sqrt((vector**2).sum(1))
        nearer = distance < best[some]
        chosen = some[nearer]
        best[chosen], offset[chosen], normal[chosen] = distance[nearer], vector[nearer], direction[nearer]
    return NearestSurface(offset=offset, normal=normal)


def _bound(box: Box, middle: Array) -> float:
    return float(box.distance(middle[None])[0])


def _nearest_on_box(box: Box, points: Array) -> tuple[Array, Array]:
    """Vectors [n, 3] to the closest point of a box's surface and the normals [n, 3] there."""
    axes, half = box.axes(), np.array(box.half)
    local = box.local(points)
    excess = np.abs(local) - half
    axis = excess.argmax(1)
    row = np.arange(len(points))
    sign = np.where(local[row, axis] < 0, -1.0, 1.0)
    closest = np.clip(local, -half, half)
    inside = np.flatnonzero(excess[row, axis] < 0)
    closest[inside, axis[inside]] = (sign * half[axis])[inside]
    return np.einsum("nj,jk->nk", closest - local, axes), sign[:, None] * axes[axis]


def in_contact(nearest: NearestSurface, normals: Array) -> NDArray[np.bool_]:
    """True where a vertex is within 2 cm of the surface and its skin does not face the same way as the surface."""
    near = np.sqrt((nearest.offset**2).sum(1)) < TOUCH_M
    return np.asarray(near & (np.einsum("nk,nk->n", nearest.normal, normals) < 0.3))


class ScanIndex:
    """A scan prepared to tell which triangle a surface point lies on; room frame, metres."""

    def __init__(self, scan: Surface) -> None:
        """Index the triangles by their centres."""
        self._corners = scan.vertices[scan.faces]
        self._tree = cKDTree(self._corners.mean(1))
        normal = np.cross(self._corners[:, 1] - self._corners[:, 0], self._corners[:, 2] - self._corners[:, 0])
        self._normals = normal / np.sqrt((normal**2).sum(1))[:, None]

    def triangles(self, surface_points: Array) -> Array:
        """Corners [n, 3, 3] of the nearest triangle, by its centre, in whose plane each surface point lies."""
        distance, candidates = self._tree.query(surface_points, k=4)
        to_corner = surface_points[:, None] - self._corners[candidates, 0]
        off_plane = np.abs(np.einsum("nck,nck->nc", to_corner, self._normals[candidates]))
        pick = (distance + 100.0 * off_plane).argmin(1)
        return np.asarray(self._corners[candidates[np.arange(len(pick)), pick]])
