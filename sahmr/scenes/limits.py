"""What a scene store may claim, compared with the files that are there before zarr reads them; refuses only.

Zarr believes its ``zarr.json``: it allocates what a shape says, runs every codec that is named, and follows links.
"""

from __future__ import annotations

import json
import math
import stat
from itertools import product
from typing import Any

import numpy as np
from numpy import ndarray

from sahmr.remote import Place

DIMENSIONS = {"points": 2, "sdf": 3}  # of each array of a scene
_MOST_JSON = 1 << 20  # bytes; ours have 2 kB
_MOST_CHUNK = 1 << 31  # bytes, unpacked
_MOST_CHUNKS = 1 << 20
_MOST_RATIO = 1000  # bytes unpacked per byte on the disk; distances and centres have 2 to 20
_SMALL = 1 << 26  # bytes; less is allocated whatever the files hold
_FAR_M = 1e5
_OFF_GRID = 0.05  # pitches; float32 is 0.002 off at 300 m
_CODECS = (["bytes", "zstd"], ["bytes"])
_ZSTD = bytes.fromhex("28b52ffd")


def _read_json(path: Place) -> dict[str, Any]:
    """A ``zarr.json``: a regular file, of sane length, with an object in it."""
    size = _regular(path)
    if size > _MOST_JSON:
        raise ValueError(f"{path.name} has {size} bytes, allowed are {_MOST_JSON}")
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds a {type(content).__name__}, expected an object")
    return content


def _regular(path: Place) -> int:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path.name} is no regular file")
    return found.st_size


def read_group(folder: Place, scene_key: str) -> dict[str, Any]:
    """Attributes of a store (no key), or of one of its scenes, which must be the one that its folder is named after.

    Raises:
        ValueError, OSError, RecursionError: if it is not what the stage wrote.
    """
    if scene_key and folder.is_symlink():
        raise ValueError("the scene is a link")
    content = _read_json(folder / "zarr.json")
    _require(content, "node_type", "group")
    _require(content, "zarr_format", 3)
    attributes = content.get("attributes")
    if not isinstance(attributes, dict):
        raise ValueError(f"attributes are a {type(attributes).__name__}, expected an object")
    if scene_key:
        _require(attributes, "scene_key", scene_key)
        pitch = attributes.get("voxel_pitch_m")
        if not _is_near(pitch) or float(str(pitch)) <= 0:
            raise ValueError(f"voxel_pitch_m is {str(pitch)[:40]}, expected metres above 0")
    return attributes


def _require(content: dict[str, Any], name: str, wanted: object) -> None:
    if type(content.get(name)) is not type(wanted) or content[name] != wanted:
        raise ValueError(f"{name} is {str(content.get(name))[:40]!r}, expected {wanted!r}")


def require_array(folder: Place, dimensions: int) -> None:
    """Insist on an array as the stage writes it, all of whose chunks are there and unpack to what it says.

    Raises:
        ValueError, TypeError, OSError, RecursionError: if it is anything else.
    """
    if folder.is_symlink():
        raise ValueError("the array is a link")
    content = _read_json(folder / "zarr.json")
    for name, wanted in (("node_type", "array"), ("zarr_format", 3), ("data_type", "float32"), ("fill_value", "NaN")):
        _require(content, name, wanted)
    _require(content["chunk_grid"], "name", "regular")
    _require(content["chunk_key_encoding"], "name", "default")
    _require(content["chunk_key_encoding"].get("configuration", {"separator": "/"}), "separator", "/")
    if content.get("storage_transformers"):
        raise ValueError("it has storage transformers, expected none")
    codecs = [codec["name"] for codec in content["codecs"]]
    if codecs not in _CODECS:
        raise ValueError(f"its codecs are {str(codecs)[:80]}, expected {_CODECS[0]}")
    shape, chunk = (
        _sides(content["shape"], dimensions),
        _sides(content["chunk_grid"]["configuration"]["chunk_shape"], dimensions),
    )
    if (dimensions == 2 and shape[1] != 3) or any(c > s for c, s in zip(chunk, shape, strict=True)):
        raise ValueError(f"its shape is {shape} in chunks of {chunk}, which cannot be")
    _require_chunks(folder, shape, chunk, is_packed=codecs == _CODECS[0])


def _sides(values: object, dimensions: int) -> list[int]:
    if not isinstance(values, list) or len(values) != dimensions:
        raise ValueError(f"a shape is {str(values)[:60]}, expected {dimensions} numbers")
    if not all(type(value) is int and 1 <= value < 2**40 for value in values):
        raise ValueError(f"a shape is {str(values)[:60]}, expected whole numbers above 0")
    return values


def _require_chunks(folder: Place, shape: list[int], chunk: list[int], *, is_packed: bool) -> None:
    counts = [-(-side // step) for side, step in zip(shape, chunk, strict=True)]
    unpacked, total = 4 * math.prod(chunk), math.prod(counts)
    if unpacked > _MOST_CHUNK or total > _MOST_CHUNKS:
        raise ValueError(f"it claims {total} chunks of {unpacked} bytes")
    held = 0
    for index in product(*map(range, counts)):
        name = "/".join(["c", *map(str, index)])
        path = folder / name
        try:
            held += _regular(path)
        except FileNotFoundError:
            raise ValueError(f"a chunk is missing: {name}") from None
        if any(parent.is_symlink() for parent in path.parents[: len(index)]):
            raise ValueError(f"chunk {name} is behind a link")
        found = _unpacked_size(path) if is_packed else path.stat().st_size
        if found != unpacked:
            raise ValueError(f"chunk {name} holds {found} bytes, expected {unpacked}")
    if total * unpacked > max(_SMALL, _MOST_RATIO * held):
        raise ValueError(f"it claims {total * unpacked} bytes, its files have {held}")


def _unpacked_size(path: Place) -> int:
    """What the header of a zstd frame says; RFC 8878, section 3.1.1.1."""
    with path.open("rb") as stream:
        head = stream.read(18)
    if head[:4] != _ZSTD:
        raise ValueError(f"chunk {path.name} is no zstd frame")
    flags = head[4]
    is_single = bool(flags & 0x20)
    width = {0: int(is_single), 1: 2, 2: 4, 3: 8}[flags >> 6]
    start = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
    if width == 0 or len(head) < start + width:
        raise ValueError(f"chunk {path.name} does not say its size")
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


def require_extent(attributes: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Insist that a distance field's corners are finite, in order, and as far apart as its samples say.

    Raises:
        ValueError: with what was found.
    """
    for name in ("sdf_min", "sdf_max", "sdf_spacing_m"):
        values = attributes.get(name)
        if not isinstance(values, list) or len(values) != 3 or not all(map(_is_near, values)):
            raise ValueError(f"{name} is {str(values)[:60]}, expected 3 finite numbers of metres")
    corners = zip(attributes["sdf_min"], attributes["sdf_max"], attributes["sdf_spacing_m"], shape, strict=True)
    for low, high, step, count in corners:
        if not (low < high and step > 0 and math.isclose(high - low, step * (count - 1), rel_tol=1e-6, abs_tol=1e-6)):
            raise ValueError(f"sdf_min {low:g} to sdf_max {high:g} is not {count - 1} times sdf_spacing_m {step:g}")


def require_grid(points: ndarray, pitch_m: float) -> None:
    """Insist on voxel centres: half a pitch beside its multiples, along every axis.

    Raises:
        ValueError: with the first point that is none.
    """
    places = points.astype(np.float64) / pitch_m - 0.5
    off = np.abs(places - np.round(places)).max(axis=1) > _OFF_GRID
    if off.any():
        raise ValueError(f"point {points[off][0].tolist()} is no centre of a voxel of {pitch_m:g} m (voxel_pitch_m)")


def _is_near(value: object) -> bool:
    return type(value) in (int, float) and -_FAR_M < value < _FAR_M  # type: ignore[operator]  # NaN is neither
