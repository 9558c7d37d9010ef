"""Reading a Zarr store of scenes: occupied voxels and a signed distance field each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from jaxtyping import Float
from torch import Tensor

from sahmr.errors import StoreError
from sahmr.scenes.limits import DIMENSIONS, read_group, require_array, require_extent, require_grid
from schemas.version import VersionError, readable_minor

# 1.1: arrays say what their axes are called and their unit; 1.2: points may lie off the grid (``is_on_grid``). What
# lies on it is written as before.
STORE_VERSION, GRID_VERSION = "1.2", "1.1"
_REBUILD = "rebuild with: dvc repro scenes"


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


def left_out_scenes(store: Path) -> list[str]:
    """Keys of scenes the user agreed to do without. Errors as :func:`list_scenes`."""
    left_out = _attributes(store).get("left_out", [])
    if not isinstance(left_out, list):
        raise StoreError(f"{store}: left_out is a {type(left_out).__name__}, expected a list; {_REBUILD}")
    return [str(key) for key in left_out]


def list_scenes(store: Path) -> list[str]:
    """Sorted keys of the scenes in a store.

    Raises:
        StoreError: if there is no store, it is damaged, or another version wrote it.
    """
    _attributes(store)
    return sorted(path.parent.name for path in store.glob("*/zarr.json"))


def voxel_pitch_m(store: Path) -> float:
    """The pitch that the voxels of all scenes of a store have, metres.

    Raises:
        StoreError: as :func:`list_scenes`, or if the store has no scene, or scenes of different pitch.
    """
    found = {float(_attributes(store, key)["voxel_pitch_m"]) for key in list_scenes(store)}
    if len(found) != 1:
        raise StoreError(
            f"{store}: its scenes have the voxel pitches {sorted(found)} m, expected exactly one; run: dvc repro scenes"
        )
    return found.pop()


def _attributes(store: Path, scene_key: str = "") -> dict[str, Any]:
    """What the store, or one of its scenes, says about itself."""
    if not (store / "zarr.json").is_file():
        raise StoreError(f"{store}: no scene store; make it with: dvc repro scenes")
    try:
        attributes = read_group(store / scene_key, scene_key)
        readable_minor(attributes.get("store_version"), STORE_VERSION, rebuild="dvc repro scenes")
    except VersionError as problem:
        raise StoreError(f"{store}: {problem}") from None
    except (ValueError, RecursionError, OSError) as problem:
        place = f"{store}: scene {scene_key}" if scene_key else f"{store}"
        raise StoreError(f"{place}: damaged scene store ({problem}); {_REBUILD}") from None
    return attributes


def _read_array(store: Path, scene_key: str, name: str) -> Float[Tensor, "..."]:
    """One array of a scene, checked for lost and damaged chunks."""
    place, known = f"{store}: {scene_key}/{name}", list_scenes(store)
    if scene_key not in known:
        raise StoreError(f"{place}: not there; the store has {known}; run: dvc repro scenes")
    attributes = _attributes(store, scene_key)
    try:
        require_array(store / scene_key / name, DIMENSIONS[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what zarr warns of is refused above, or harmless
            array = zarr.open_array(str(store / scene_key / name), mode="r", zarr_format=3)
            values = np.asarray(array[...])
        if name == "points" and np.isfinite(values).all() and attributes.get("is_on_grid") is not False:
            require_grid(values, attributes["voxel_pitch_m"])
    except Exception as problem:  # zarr and its codecs raise many types for damaged bytes
        raise StoreError(f"{place}: damaged ({str(problem)[:300] or type(problem).__name__}); {_REBUILD}") from None
    if not np.isfinite(values).all():
        raise StoreError(f"{place}: a chunk is missing (its values read as NaN), or damaged; {_REBUILD}")
    return torch.from_numpy(values)


@lru_cache(maxsize=32)
def load_points(store: Path, scene_key: str) -> Float[Tensor, "points 3"]:
    """Voxel centres of a scene, world frame, metres; kept per process. Errors as :func:`load_scene`."""
    return _read_array(store, scene_key, "points")


@lru_cache(maxsize=32)
def load_scene(store: Path, scene_key: str) -> Scene:
    """A whole scene, kept per process: treat it as read-only.

    Raises:
        StoreError: if store or scene are missing, damaged, or of another version.
    """
    sdf = _read_array(store, scene_key, "sdf")
    attributes = dict(sorted(_attributes(store, scene_key).items()))
    try:
        require_extent(attributes, tuple(sdf.shape))
    except ValueError as problem:
        raise StoreError(f"{store}: scene {scene_key}: {problem}; {_REBUILD}") from None
    return Scene(
        points=load_points(store, scene_key),
        sdf=sdf,
        sdf_min=torch.tensor(attributes["sdf_min"], dtype=torch.float32),
        sdf_max=torch.tensor(attributes["sdf_max"], dtype=torch.float32),
        attributes=attributes,
    )
