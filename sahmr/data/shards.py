"""Samples as tar members: the encoding and its inverse stand side by side."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from PIL import Image

from sahmr.data.crop import first_divisor, reduce, stored_region
from sahmr.data.licence import LICENCE_NOTICE
from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import RawDataError, ShardError
from sahmr.settings import settings
from schemas.frame import FrameRecord

MEMBER_VERSION = 1
_CONTACT_BYTES = -(-NUM_VERTICES // 8)  # 862: packbits, big-endian, 6 bits of padding
_TEXT_FIELDS = ("key", "dataset", "split", "sequence", "scene_key", "gender")


@settings
class Shards:
    """Section ``shards`` of params.yaml.

    Attributes:
        samples_per_shard: a tar's size; the last of a split may be smaller.
        max_side_px: stored crops are reduced to at most this side.
        margin: stored square / larger side of the person box, before room for jitter.
        jpeg_quality: 1..95.
        max_quarantined: this many damaged raw files are left out, counted and listed; one more, and the stage fails.
    """

    samples_per_shard: int
    max_side_px: int
    margin: float
    jpeg_quality: int
    max_quarantined: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample:
    """A sample as it lies in a shard, decoded but neither cropped nor culled.

    Attributes:
        key, dataset, split, sequence, scene_key, gender: as in ``FrameRecord``.
        image: RGB of the stored region, un-mirrored.
        region: that region, (left, top, right, bottom) in whole full-image pixels, right and bottom exclusive;
            ``sahmr.data.crop.stored_from_image`` maps between the two.
        image_size: (width, height) of the full image.
        intrinsics, camera_from_world: of the full image; pixels, metres.
        person_box: (left, top, right, bottom), full-image pixels, not clipped.
        vertices_world: world frame, metres.
        contact: True where a vertex touches the scene; None: unknown.
    """

    key: str
    dataset: str
    split: str
    sequence: str
    scene_key: str
    gender: str
    image: UInt8[ndarray, "height width 3"]
    region: tuple[int, int, int, int]
    image_size: tuple[int, int]
    intrinsics: Float[ndarray, "3 3"]
    camera_from_world: Float[ndarray, "4 4"]
    person_box: Float[ndarray, "4"]
    vertices_world: Float[ndarray, "6890 3"]
    contact: Bool[ndarray, "6890"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPlan:
    """What to read of an image.

    Attributes:
        region: (left, top, right, bottom) in whole full-image pixels, right and bottom exclusive.
        divisor: squares of so many pixels become one by averaging, while reading.
    """

    region: tuple[int, int, int, int]
    divisor: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array to be read: rows, columns, 3."""
        left, top, right, bottom = self.region
        return (bottom - top) // self.divisor, (right - left) // self.divisor, 3


def plan_crop(record: FrameRecord, settings: Shards) -> CropPlan:
    """Which region of a record's image is stored, and how far it is reduced while reading.

    Raises:
        RawDataError: if the person lies outside the image.
    """
    size = (record.image_width, record.image_height)
    region = stored_region(np.array(record.person_box), *size, settings.margin)
    if region[2] <= region[0] or region[3] <= region[1]:
        raise RawDataError(f"sample {record.key}: person box {record.person_box} lies outside the {size} image")
    divisor = max(first_divisor(region, *size, settings.max_side_px), record.image_divisor)
    return CropPlan(region=region, divisor=divisor)


def encode_sample(
    record: FrameRecord,
    image: UInt8[ndarray, "height width 3"],
    vertices_world: Float[ndarray, "vertices 3"],
    contact: Bool[ndarray, " labels"] | None,
    settings: Shards,
) -> dict[str, bytes]:
    """Encode one sample as tar members, by extension: jpg, json, vertices.npy and, where known, contact.npy.

    Args:
        record: its row in the frame table.
        image: what :func:`plan_crop` asks for, RGB, un-mirrored.
        vertices_world: world frame, metres.
        contact: True where a vertex touches the scene; None: unknown, no member is written.

    Raises:
        RawDataError: if image or arrays contradict the record, or the person lies outside the image.
    """
    place, plan = f"sample {record.key}", plan_crop(record, settings)
    if image.shape != plan.shape or image.dtype != np.uint8:
        raise RawDataError(
            f"{place}: image is {image.shape} {image.dtype}, its record asks for {plan.shape} uint8; "
            "run: dvc repro frames"
        )
    if vertices_world.shape != (NUM_VERTICES, 3) or not np.isfinite(vertices_world).all():
        raise RawDataError(f"{place}: {record.body_file} gives {vertices_world.shape} vertices, or some not finite")
    if contact is not None and contact.shape != (NUM_VERTICES,):
        raise RawDataError(f"{place}: {record.contact_file} gives {contact.shape} labels, expected {NUM_VERTICES}")
    stored = reduce(image, settings.max_side_px)
    meta = _meta(record, plan.region, (stored.shape[1], stored.shape[0]), contact is not None)
    members = {
        "jpg": _jpeg(stored, settings.jpeg_quality),
        "json": json.dumps(meta, sort_keys=True, allow_nan=False).encode(),
        "vertices.npy": _npy(vertices_world.astype("<f4")),
    }
    if contact is not None:
        members["contact.npy"] = _npy(np.packbits(contact.astype(bool)))
    return members


def _meta(
    record: FrameRecord, region: tuple[int, int, int, int], stored_size: tuple[int, int], has_contact: bool
) -> dict[str, Any]:
    """The JSON member: what a reader of the tar alone has to know."""
    return {
        **{name: getattr(record, name) for name in _TEXT_FIELDS},
        "camera_from_world": record.camera_from_world,
        "has_contact": has_contact,
        "image_size": [record.image_width, record.image_height],
        "intrinsics": record.intrinsics,
        "licence": LICENCE_NOTICE[record.dataset],
        "member_version": MEMBER_VERSION,
        "person_box": record.person_box,
        "source_sha256": {
            "body": record.body_sha256,
            "contact": record.contact_sha256,
            "image": record.image_sha256,
        },
        "stored_region": region,
        "stored_size": stored_size,
        "units": "metres; pixels of the full image; image = left + (stored + 0.5) * (right - left) / width - 0.5",
    }


def _jpeg(image: UInt8[ndarray, "height width 3"], quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=0, optimize=False, progressive=False)
    return stream.getvalue()


def _npy(values: ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(values), allow_pickle=False)
    return stream.getvalue()


def decode_sample(data: bytes, *, place: str = "sample") -> StoredSample:
    """Decode the tar members of one sample.

    Args:
        data: its byte range of a shard, tar headers included.
        place: where it comes from; begins every error message.

    Raises:
        ShardError: if a member is missing, damaged or of another version, or the members disagree.
    """
    try:
        members = _members(data)
        meta = json.loads(members["json"])
        if meta["member_version"] != MEMBER_VERSION:
            raise ValueError(f"member version {meta['member_version']}, expected {MEMBER_VERSION}")
        image = cv2.imdecode(
            np.frombuffer(members["jpg"], np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if image is None or [image.shape[1], image.shape[0]] != meta["stored_size"]:
            raise ValueError(f"jpg does not decode to the stored size {meta['stored_size']}")
        vertices = _load(members["vertices.npy"], (NUM_VERTICES, 3), "<f4")
        contact = None
        if meta["has_contact"]:
            packed = _load(members["contact.npy"], (_CONTACT_BYTES,), "|u1")
            contact = np.unpackbits(packed, count=NUM_VERTICES).astype(bool)
        left, top, right, bottom = (int(side) for side in meta["stored_region"])
        width, height = (int(side) for side in meta["image_size"])
        return StoredSample(
            **{name: str(meta[name]) for name in _TEXT_FIELDS},
            image=image,
            region=(left, top, right, bottom),
            image_size=(width, height),
            intrinsics=np.array(meta["intrinsics"], dtype=np.float64).reshape(3, 3),
            camera_from_world=np.array(meta["camera_from_world"], dtype=np.float64).reshape(4, 4),
            person_box=np.array(meta["person_box"], dtype=np.float64).reshape(4),
            vertices_world=vertices,
            contact=contact,
        )
    except KeyError as problem:
        raise ShardError(f"{place}: lacks {problem}; rebuild with: dvc repro shards") from None
    except (ValueError, TypeError, tarfile.TarError, EOFError, cv2.error) as problem:
        raise ShardError(f"{place}: damaged ({problem}); rebuild with: dvc repro shards") from None


def _members(data: bytes) -> dict[str, bytes]:
    """Members of one sample by extension."""
    members, keys = {}, set()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for info in tar:
            key, _, extension = info.name.partition(".")
            stream = tar.extractfile(info)
            if stream is None:
                raise ValueError(f"member {info.name} is not a file")
            keys.add(key)
            members[extension] = stream.read()
    if len(keys) != 1:
        raise ValueError(f"expected members of one key, found {sorted(keys)}")
    return members


def _load(data: bytes, shape: tuple[int, ...], kind: str) -> ndarray:
    values: ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    if values.shape != shape or values.dtype != np.dtype(kind):
        raise ValueError(f"array is {values.shape} {values.dtype.str}, expected {shape} {kind}")
    return values
