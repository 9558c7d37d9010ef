"""A square body on a level floor."""

from __future__ import annotations

import numpy as np

from sahmr.report.panels import Tile
from sahmr.report.surfels import Surfels

FACES = np.array([[0, 1, 2], [0, 2, 3]])
UP = np.array([0.0, -1, 0])
NONE = np.zeros((0, 3))


def square(x: float, y: float, side: float, depth: float = 1.0) -> np.ndarray:
    """Across the line of sight, its first corner at x, y."""
    return np.array([[x, y, depth], [x + side, y, depth], [x + side, y + side, depth], [x, y + side, depth]])


def floor(height: float = 0.5) -> Surfels:
    """Two metres to every side of a point three metres ahead."""
    x, z = np.meshgrid(np.arange(-2, 2, 0.02), np.arange(1, 5, 0.02))
    points = np.stack([x.ravel(), np.full(x.size, height), z.ravel()], axis=1)
    return Surfels(points=points, normals=np.tile(UP, (len(points), 1)), openness=np.ones(len(points)), pitch=0.02)


def no_scene() -> Surfels:
    return Surfels(points=NONE, normals=NONE, openness=np.zeros(0), pitch=0.02)


def tile(**changes: object) -> Tile:
    """The crop is the unit square at a depth of one metre; a black image, no scene."""
    values: dict[str, object] = {
        "caption": "somebody",
        "image": np.zeros((224, 224, 3), dtype=np.uint8),
        "intrinsics": np.array([[223.0, 0, 0], [0, 223, 0], [0, 0, 1]]),
        "crop_box": np.array([0.0, 0, 223, 223]),
        "true": square(0.25, 0.5, 0.25),
        "predicted": square(0.0, 0.0, 0.25),
        "up": UP,
        "scene": no_scene(),
        "contacts": NONE,
        "true_contacts": NONE,
    }
    return Tile(**values | changes)
