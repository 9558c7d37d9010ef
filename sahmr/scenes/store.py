"""Reading a Zarr store of scenes: occupied voxels and a signed distance field each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import zarr
from jaxtyping import Float
from torch import Tensor

from sahmr.errors import StoreError
from schemas.version import VersionError, readable_minor

STORE_VERSION = "1.1"  # 1.1: arrays say what their axes are called and their unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A scene as the stages after ``scenes`` see it. World frame, metres.

    Attributes:
        points: centres of the occupied voxels, in Morton order.
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
    return [str(key) for key in cast("list[str]", _open(store).attrs.get("left_out", []))]


def list_scenes(store: Path) -> list[str]:
    """Sorted keys of the scenes in a store.

    Raises:
        StoreError: if there is no store, or another version wrote it.
    """
    return sorted(_open(store).group_keys())


def voxel_pitch_m(store: Path) -> float:
    """The pitch that the voxels of all scenes of a store have, metres.

    Raises:
        StoreError: as :func:`list_scenes`, or if the store has no scene, or scenes of different pitch.
    """
    found = {float(cast("float", group.attrs["voxel_pitch_m"])) for _, group in _open(store).groups()}
    if len(found) != 1:
        raise StoreError(
            f"{store}: its scenes have the voxel pitches {sorted(found)} m, expected exactly one; run: dvc repro scenes"
        )
    return found.pop()


def _open(store: Path) -> zarr.Group:
    if not (store / "zarr.json").is_file():
        raise StoreError(f"{store}: no scene store; make it with: dvc repro scenes")
    try:
        group = zarr.open_group(str(store), mode="r", zarr_format=3)
    except (ValueError, KeyError, OSError) as problem:
        raise StoreError(f"{store}: damaged scene store ({problem}); rebuild with: dvc repro scenes") from None
    try:
        readable_minor(group.attrs.get("store_version"), STORE_VERSION, rebuild="dvc repro scenes")
    except VersionError as problem:
        raise StoreError(f"{store}: {problem}") from None
    return group


def _read_array(store: Path, scene_key: str, name: str) -> Float[Tensor, "..."]:
    """One array of a scene, checked for lost and damaged chunks."""
    place = f"{store}: {scene_key}/{name}"
    try:
        array = _open(store)[f"{scene_key}/{name}"]
        values = np.asarray(array[...])  # type: ignore[index]  # an array by construction
    except KeyError:
        raise StoreError(f"{place}: not there; the store has {list_scenes(store)}; run: dvc repro scenes") from None
    except (ValueError, RuntimeError, OSError) as problem:
        raise StoreError(f"{place}: damaged ({problem}); rebuild with: dvc repro scenes") from None
    if not np.isfinite(values).all():
        raise StoreError(f"{place}: a chunk is missing (its values read as NaN); rebuild with: dvc repro scenes")
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
    attributes = dict(sorted(_open(store)[scene_key].attrs.asdict().items()))
    return Scene(
        points=load_points(store, scene_key),
        sdf=sdf,
        sdf_min=torch.tensor(attributes["sdf_min"], dtype=torch.float32),
        sdf_max=torch.tensor(attributes["sdf_max"], dtype=torch.float32),
        attributes=attributes,
    )
