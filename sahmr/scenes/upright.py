"""Which way is up in a scan, read off its floors, seats and tables."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from sahmr.geometry.field_normal import field_normals
from sahmr.remote import Place
from sahmr.scenes.store import Scene, load_scene

_ROUGH_DEG, _SAME_DEG = 45.0, 8.0  # a wall is at least 45 degrees from up; floors are level to a few degrees
_SAMPLES = 4096  # points of a scan that are looked at
_FEWEST = 32  # level points below which the rough axis is kept


def rough_up_of(
    stated: tuple[float, float, float] | None, camera_from_world: Float[ndarray, "4 4"]
) -> tuple[float, float, float]:
    """A data set's rough up, or, where scans may lie any way, that of an upright photograph, to a tenth.

    Args:
        stated: by the data set's card.
        camera_from_world: of the photograph.

    Returns:
        World frame, length 1.
    """
    if stated is not None:
        return stated
    rounded = np.round(-camera_from_world[1, :3], 1)  # cameras have y down
    x, y, z = rounded / np.linalg.norm(rounded)
    return float(x), float(y), float(z)


def upright_axis(
    stated: tuple[float, float, float] | None, camera_from_world: Float[ndarray, "4 4"]
) -> tuple[float, float, float]:
    """The same as an axis of the scan's frame, so that all photographs of a level scan have one.

    Arguments as :func:`rough_up_of`.
    """
    if stated is not None:
        return stated
    up = -camera_from_world[1, :3]
    axis = int(np.abs(up).argmax())
    x, y, z = (float(np.sign(up[axis])) if number == axis else 0.0 for number in range(3))
    return x, y, z


@lru_cache(maxsize=32)
def load_up(store: Place, scene_key: str, rough_up: tuple[float, float, float]) -> Float[Tensor, "3"]:
    """:func:`find_up` of a stored scene, kept per process. Errors as :func:`sahmr.scenes.store.load_scene`."""
    return find_up(load_scene(store, scene_key), rough_up)


def find_up(scene: Scene, rough_up: tuple[float, float, float]) -> Float[Tensor, "3"]:
    """The direction most surfaces that face roughly upwards have in common: the normal of floor, seats and tables.

    Args:
        scene: with its distance field.
        rough_up: less than 45 degrees from up, world frame, length 1.

    Returns:
        World frame, length 1; ``rough_up`` itself where fewer than 32 of the points looked at face that way.
    """
    rough = torch.tensor(rough_up, dtype=torch.float64)
    points = scene.points[:: max(1, len(scene.points) // _SAMPLES)]
    normals = field_normals(scene.sdf, scene.sdf_min, scene.sdf_max, points).double()
    normals = normals[normals @ rough > torch.cos(torch.deg2rad(torch.tensor(_ROUGH_DEG)))]  # [level, 3]
    if len(normals) < _FEWEST:
        return rough
    return densest_direction(normals)[0]


def densest_direction(directions: Float[Tensor, "directions 3"]) -> tuple[Float[Tensor, "3"], int]:
    """The mean of the directions within 8 degrees of the one that has most of them near, and how many they are.

    Args:
        directions: one or more, length 1.
    """
    near = directions @ directions.T > torch.cos(torch.deg2rad(torch.tensor(_SAME_DEG)))  # [directions, directions]
    best = int(near.sum(dim=1).argmax())  # the densest place among directions
    mean = directions[near[best]].mean(dim=0)
    middle: Float[Tensor, "3"] = mean / mean.norm()
    return middle, int(near[best].sum())
