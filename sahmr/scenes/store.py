"""Scenes of a Zarr store as tensors, kept per process: occupied voxels and a signed distance field each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.errors import StoreError
from sahmr.remote import Place
from sahmr.scenes.arrays import extent, list_scenes, read_array, store_attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A scene as the stages after ``scenes`` see it. World frame, metres.

    Attributes:
        points: centres of the occupied voxels, in Morton order; as given where the publisher ships them.
        sdf: signed distance, index order [x][y][z], negative inside or behind the surface.
        sdf_min, sdf_max: centres of its first and last sample (align-corners convention).
        attributes: what the store says about it: pitch, sources, licence.
    """

    points: Float[Tensor, "points 3"]
    sdf: Float[Tensor, "nx ny nz"]
    sdf_min: Float[Tensor, "3"]
    sdf_max: Float[Tensor, "3"]
    attributes: dict[str, Any]


def voxel_pitch_m(store: Place) -> float:
    """The pitch that the voxels of all scenes of a store have, metres.

    Raises:
        StoreError: as :func:`list_scenes`, or if the store has no scene, or scenes of different pitch.
    """
    found = {float(store_attributes(store, key)["voxel_pitch_m"]) for key in list_scenes(store)}
    if len(found) != 1:
        raise StoreError(
            f"{store}: its scenes have the voxel pitches {sorted(found)} m, expected exactly one; run: dvc repro scenes"
        )
    return found.pop()


@lru_cache(maxsize=32)
def load_points(store: Place, scene_key: str) -> Float[Tensor, "points 3"]:
    """Voxel centres of a scene, world frame, metres; kept per process. Errors as :func:`load_scene`."""
    return torch.from_numpy(read_array(store, scene_key, "points"))


@lru_cache(maxsize=32)
def load_scene(store: Place, scene_key: str) -> Scene:
    """A whole scene, kept per process: treat it as read-only. Errors as :func:`sahmr.scenes.arrays.read_scene`."""
    sdf = torch.from_numpy(read_array(store, scene_key, "sdf"))
    attributes = extent(store, scene_key, tuple(sdf.shape))
    return Scene(
        points=load_points(store, scene_key),
        sdf=sdf,
        sdf_min=torch.tensor(attributes["sdf_min"], dtype=torch.float32),
        sdf_max=torch.tensor(attributes["sdf_max"], dtype=torch.float32),
        attributes=attributes,
    )
