"""Rays against triangles; Embree does the work."""

from __future__ import annotations

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Caster:
    """A triangle mesh that rays can be cast against."""

    def __init__(self, vertices: Array, faces: NDArray[np.int64]) -> None:
        """Vertices [v, 3] and faces [f, 3], any frame."""
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, vertices.astype(np.float32), faces.astype(np.int32))

    def first(self, origins: Array, directions: Array) -> tuple[Array, NDArray[np.int64], Array]:
        """Ray length [n] (infinite if nothing), face number [n] (-1) and barycentric u, v [n, 2] of the first hit."""
        hit = self._scene.run(_single(origins, len(directions)), directions.astype(np.float32), output=True)
        face = hit["primID"].astype(np.int64)
        length = np.where(face >= 0, hit["tfar"].astype(np.float64), np.inf)
        return length, face, np.stack([hit["u"], hit["v"]], 1).astype(np.float64)

    def blocked(self, origins: Array, direction: Array) -> Mask:
        """Whether something lies in ``direction`` [3] of each origin [n, 3]."""
        directions = np.broadcast_to(direction, origins.shape).astype(np.float32)
        if not len(origins):
            return np.zeros(0, dtype=bool)
        return np.asarray(self._scene.run(origins.astype(np.float32), directions, query="OCCLUDED") == 0)


def _single(origins: Array, count: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.broadcast_to(origins, (count, 3)), dtype=np.float32)
