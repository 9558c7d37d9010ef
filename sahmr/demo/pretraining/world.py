"""The frame in which a room was scanned: turned and shifted, as scans are, against the room's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SHIFT_M = 2.0


def world_from_room(rng: np.random.Generator) -> Array:
    """Any rotation and a small shift [4, 4], metres.

    In the room's own axes every floor and wall would be a single flat layer of voxels, and every floor's a centimetre
    above the floor; of scans that lie at an angle to the voxel grid, as RICH's do, networks see neither.

    Source: Shoemake, Graphics Gems III: a quaternion of four normal numbers is uniform.
    """
    w, x, y, z = _unit(rng.normal(size=4))
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = rng.uniform(-_SHIFT_M, _SHIFT_M, 3)
    return matrix


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.sqrt((vector**2).sum()))
