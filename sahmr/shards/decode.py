"""Tar members back to a sample; their encoding is in :mod:`sahmr.shards.encode`."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import ShardError
from sahmr.shards.crop import READY, compose, crop_box, crop_from_image, invert, stored_from_image, warp
from sahmr.shards.limits import (
    read_meta,
    require_array,
    require_finite,
    require_member,
    require_meta,
    require_picture,
    require_png,
)
from sahmr.shards.members import plain_members
from schemas.version import VersionError, readable_minor

# Each sample says the oldest version that can read it: 1.2 brought ready-made crops, as png, and changed no other.
WHOLE_VERSION, READY_VERSION = "1.1", "1.2"
MEMBER_VERSION = READY_VERSION
TEXT_FIELDS = ("key", "dataset", "split", "sequence", "scene_key", "gender", "box_source")
# Of the JSON member: what each minor version added, and what it is in older members.
_ADDED: dict[int, dict[str, Any]] = {1: {"has_body": True, "box_source": "body"}}
_CONTACT_BYTES = -(-NUM_VERTICES // 8)  # 862: packbits, big-endian, 6 bits of padding


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGeometry:
    """What a shard holds of a sample besides names and picture.

    Attributes:
        key: as in ``FrameRecord``.
        intrinsics, camera_from_world: of the full image; pixels, metres.
        person_box: (left, top, right, bottom), full-image pixels, not clipped.
        vertices_world: world frame, metres; None: no ground truth, then ``contact`` is None too.
        contact: True where a vertex touches the scene; None: unknown.
    """

    key: str
    intrinsics: Float[ndarray, "3 3"]
    camera_from_world: Float[ndarray, "4 4"]
    person_box: Float[ndarray, "4"]
    vertices_world: Float[ndarray, "6890 3"] | None
    contact: Bool[ndarray, "6890"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample(StoredGeometry):
    """A sample as it lies in a shard, decoded but neither cropped nor culled.

    Attributes:
        dataset, split, sequence, scene_key, gender, box_source: as in ``FrameRecord``.
        image: RGB of the stored region, un-mirrored; where ``box_source`` is ``READY``, the publisher's 224x224 crop of
            the person box's square.
        region: that region, (left, top, right, bottom) in whole full-image pixels, right and bottom exclusive;
            ``sahmr.shards.crop.stored_from_image`` maps between the two.
        image_size: (width, height) of the full image.
    """

    dataset: str
    split: str
    sequence: str
    scene_key: str
    gender: str
    box_source: str
    image: UInt8[ndarray, "height width 3"]
    region: tuple[int, int, int, int]
    image_size: tuple[int, int]


def decode_sample(data: bytes, *, place: str = "sample") -> StoredSample:
    """Decode the tar members of one sample.

    Args:
        data: its byte range of a shard, tar headers included.
        place: where it comes from; begins every error message.

    Raises:
        ShardError: if a member is missing, damaged or of a version that is not read, or the members disagree.
    """
    with _one_error(place):
        members, meta = _open(data)
        kind = "png" if meta["box_source"] == READY else "jpg"
        require = require_png if kind == "png" else require_picture
        require(members[kind], meta["stored_size"])
        image = cv2.imdecode(
            np.frombuffer(members[kind], np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if image is None or [image.shape[1], image.shape[0]] != meta["stored_size"]:
            raise ValueError(f"{kind} does not decode to the stored size {meta['stored_size']}")
        left, top, right, bottom = meta["stored_region"]
        width, height = meta["image_size"]
        texts: dict[str, Any] = {name: meta[name] for name in TEXT_FIELDS}
        return StoredSample(
            **texts,
            **_arrays(members, meta),
            image=image,
            region=(left, top, right, bottom),
            image_size=(width, height),
        )


def decode_geometry(data: bytes, *, place: str = "sample") -> StoredGeometry:
    """Decode one sample without its picture. Arguments and errors as :func:`decode_sample`."""
    with _one_error(place):
        members, meta = _open(data)
        return StoredGeometry(key=meta["key"], **_arrays(members, meta))


@contextmanager
def _one_error(place: str) -> Iterator[None]:
    """Whatever damaged bytes provoke, as one ShardError that names the place."""
    try:
        yield
    except VersionError as problem:
        raise ShardError(f"{place}: {problem}") from None
    except KeyError as problem:
        raise ShardError(f"{place}: lacks {problem}; rebuild with: dvc repro shards") from None
    except Exception as problem:  # tarfile, json, numpy and OpenCV raise many types for damaged bytes
        reason = str(problem)[:200] or type(problem).__name__
        raise ShardError(f"{place}: damaged ({reason}); rebuild with: dvc repro shards") from None


def _open(data: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Members of one sample by extension, and the JSON one in the version of today."""
    members = _members(data)
    meta = read_meta(members["json"])
    minor = readable_minor(meta["member_version"], MEMBER_VERSION, rebuild="dvc repro shards")
    for added, defaults in _ADDED.items():
        if added > minor:
            meta = {**defaults, **meta}
    require_meta(meta, TEXT_FIELDS)
    return members, meta


def _arrays(members: dict[str, bytes], meta: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``StoredGeometry`` that are arrays."""
    vertices, contact = None, None
    if meta["has_body"]:
        vertices = _load(members["vertices.npy"], (NUM_VERTICES, 3), "<f4")
    if meta["has_contact"]:
        packed = _load(members["contact.npy"], (_CONTACT_BYTES,), "|u1")
        contact = np.unpackbits(packed, count=NUM_VERTICES).astype(bool)
    return {
        "intrinsics": np.array(meta["intrinsics"], dtype=np.float64).reshape(3, 3),
        "camera_from_world": np.array(meta["camera_from_world"], dtype=np.float64).reshape(4, 4),
        "person_box": np.array(meta["person_box"], dtype=np.float64).reshape(4),
        "vertices_world": vertices,
        "contact": contact,
    }


def _members(data: bytes) -> dict[str, bytes]:
    """Members of one sample by extension."""
    members, keys = {}, set()
    for name, start, size in plain_members(data) or _any_members(data):
        key, _, extension = name.partition(".")
        keys.add(key)
        members[extension] = data[start : start + size]
    if len(keys) != 1:
        raise ValueError(f"expected members of one key, found {sorted(keys)[:3]}")
    return members


def _any_members(data: bytes) -> Iterator[tuple[str, int, int]]:
    """As :func:`sahmr.shards.members.plain_members`, of any tar; refuses what is no sample of ours."""
    found = set()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for info in tar:
            extension = info.name.partition(".")[2]
            require_member(info, len(data), is_new=extension not in found)
            found.add(extension)
            yield info.name, info.offset_data, info.size


def _load(data: bytes, shape: tuple[int, ...], kind: str) -> ndarray:
    values: ndarray = np.frombuffer(data, kind, offset=require_array(data, shape, kind)).reshape(shape).copy()
    return require_finite(values)


def crop_stored(sample: StoredSample, box: Float[ndarray, "4"]) -> UInt8[ndarray, "224 224 3"]:
    """Cut a square box, full-image pixels, out of a stored sample with one resampling.

    A publisher's ready-made crop comes back bit for bit where the box is its own.
    """
    height, width = sample.image.shape[:2]
    if sample.box_source == READY:
        own = crop_box(sample.person_box)
        if np.array_equal(own, box):
            return sample.image
        image_from_stored = invert(crop_from_image(own))
    else:
        image_from_stored = invert(stored_from_image(sample.region, width, height))
    return warp(sample.image, compose(crop_from_image(box), image_from_stored))
