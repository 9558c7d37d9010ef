"""Reading a Zarr store of scenes as plain arrays, wherever it lies; :mod:`sahmr.scenes.store` has them as tensors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float
from numpy import ndarray

from sahmr.errors import RemoteError, StoreError
from sahmr.remote import Place, RemotePath
from sahmr.scenes.limits import DIMENSIONS, read_group, require_array, require_extent, require_grid
from schemas.version import VersionError, readable_minor

# 1.1: arrays say what their axes are called and their unit; 1.2: points may lie off the grid (``is_on_grid``); 1.3: a
# cloud (``is_cloud``) has no distance field. All others are written as before.
STORE_VERSION, VOXELS_VERSION, GRID_VERSION = "1.3", "1.2", "1.1"
_REBUILD = "rebuild with: dvc repro scenes"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneArrays:
    """A scene as it is stored. World frame, metres.

    Attributes:
        points: centres of the occupied voxels, in Morton order.
        sdf: signed distance, index order [x][y][z], negative inside or behind the surface.
        sdf_min, sdf_max: centres of its first and last sample (align-corners convention).
        attributes: what the store says about it: pitch, sources, licence.
    """

    points: Float[ndarray, "points 3"]
    sdf: Float[ndarray, "nx ny nz"]
    sdf_min: Float[ndarray, "3"]
    sdf_max: Float[ndarray, "3"]
    attributes: dict[str, Any]


def left_out_scenes(store: Place) -> list[str]:
    """Keys of scenes the user agreed to do without. Errors as :func:`list_scenes`."""
    left_out = store_attributes(store).get("left_out", [])
    if not isinstance(left_out, list):
        raise StoreError(f"{store}: left_out is a {type(left_out).__name__}, expected a list; {_REBUILD}")
    return [str(key) for key in left_out]


def list_scenes(store: Place) -> list[str]:
    """Sorted keys of the scenes in a store.

    Raises:
        StoreError: if there is no store, it is damaged, or another version wrote it.
        RemoteError: if it lies elsewhere and cannot be had.
    """
    store_attributes(store)
    return sorted(path.parent.name for path in store.glob("*/zarr.json"))


def store_attributes(store: Place, scene_key: str = "") -> dict[str, Any]:
    """What the store, or one of its scenes, says about itself. Errors as :func:`list_scenes`."""
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


def is_cloud(store: Place, scene_key: str) -> bool:
    """Whether a scene is of points without faces, and so has no distance field. Errors as :func:`list_scenes`."""
    return store_attributes(store, scene_key).get("is_cloud") is True


def read_array(store: Place, scene_key: str, name: str) -> Float[ndarray, "..."]:
    """``points`` or ``sdf`` of a scene, checked for lost and damaged chunks. Errors as :func:`read_scene`."""
    place, known = f"{store}: {scene_key}/{name}", list_scenes(store)
    if scene_key not in known:
        raise StoreError(f"{place}: not there; the store has {known}; run: dvc repro scenes")
    attributes = store_attributes(store, scene_key)
    if name == "sdf" and attributes.get("is_cloud") is True:
        raise StoreError(
            f"{store}: scene {scene_key} was scanned as points without faces: it has voxels to predict with, and no "
            "distance field; allowed: a mesh; to score penetration or contact give one, and run: dvc repro scenes"
        )
    folder = store / scene_key / name
    try:
        folder = folder.hold() if isinstance(folder, RemotePath) else folder
        require_array(folder, DIMENSIONS[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what zarr warns of is refused above, or harmless
            array = zarr.open_array(_zarr_store(folder), mode="r", zarr_format=3)
            values = np.asarray(array[...])
        if name == "points" and np.isfinite(values).all() and attributes.get("is_on_grid") is not False:
            require_grid(values, attributes["voxel_pitch_m"])
    except RemoteError:
        raise
    except Exception as problem:  # zarr and its codecs raise many types for damaged bytes
        raise StoreError(f"{place}: damaged ({str(problem)[:300] or type(problem).__name__}); {_REBUILD}") from None
    if not np.isfinite(values).all():
        raise StoreError(f"{place}: a chunk is missing (its values read as NaN), or damaged; {_REBUILD}")
    return values


def _zarr_store(folder: Place) -> Any:
    """What zarr opens: a local folder by its name, or files that are in memory."""
    if not isinstance(folder, RemotePath):
        return str(folder)
    kind = zarr.core.buffer.default_buffer_prototype().buffer
    return zarr.storage.MemoryStore({name: kind.from_bytes(data) for name, data in folder.contents().items()})


def extent(store: Place, scene_key: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Attributes of a scene, sorted, whose distance field has the given shape. Errors as :func:`read_scene`."""
    attributes = dict(sorted(store_attributes(store, scene_key).items()))
    try:
        require_extent(attributes, shape)
    except ValueError as problem:
        raise StoreError(f"{store}: scene {scene_key}: {problem}; {_REBUILD}") from None
    return attributes


def read_scene(store: Place, scene_key: str) -> SceneArrays:
    """A whole scene.

    Raises:
        StoreError: if store or scene are missing, damaged, or of another version.
        RemoteError: if it lies elsewhere and cannot be had, or is not what its manifest says.
    """
    sdf = read_array(store, scene_key, "sdf")
    attributes = extent(store, scene_key, sdf.shape)
    return SceneArrays(
        points=read_array(store, scene_key, "points"),
        sdf=sdf,
        sdf_min=np.array(attributes["sdf_min"], dtype=np.float32),
        sdf_max=np.array(attributes["sdf_max"], dtype=np.float32),
        attributes=attributes,
    )
