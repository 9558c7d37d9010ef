"""Samples to tar members; their inverse is in :mod:`sahmr.shards.decode`."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from PIL import Image

from sahmr.datasets import find_card
from sahmr.dimensions import CROP_SIZE, NUM_VERTICES
from sahmr.errors import RawDataError
from sahmr.settings import Between, Quarantine, settings
from sahmr.shards.crop import READY, SIDE, ZOOM_RANGE, crop_box
from sahmr.shards.decode import READY_VERSION, TEXT_FIELDS, WHOLE_VERSION
from sahmr.shards.region import first_divisor, reduce, stored_region
from schemas.conform import check_array, check_object
from schemas.frame import FrameRecord
from schemas.sample import SAMPLE_JSON_SCHEMA, SAMPLE_SCHEMA


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

    samples_per_shard: Annotated[int, Between(1, 10_000)]
    max_side_px: Annotated[int, Between(32, 16_384)]
    margin: Annotated[float, Between(SIDE + ZOOM_RANGE, 4)]  # from the largest training crop on
    jpeg_quality: Annotated[int, Between(1, 95)]
    max_quarantined: Quarantine = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPlan:
    """What to read of an image.

    Attributes:
        region: (left, top, right, bottom) in whole full-image pixels, right and bottom exclusive.
        divisor: side, in pixels, of the squares that are averaged to one pixel while reading.
        is_ready: the file is the crop itself, to be read and stored as it is; ``region`` is round its box.
    """

    region: tuple[int, int, int, int]
    divisor: int
    is_ready: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array to be read: rows, columns, 3."""
        left, top, right, bottom = self.region
        if self.is_ready:
            return CROP_SIZE, CROP_SIZE, 3
        return (bottom - top) // self.divisor, (right - left) // self.divisor, 3


# What this module, a reader that loads a sample and the index read of a record: all that decides a sample's bytes. The
# hashes stand for the files' content.
ENCODED_FIELDS = (
    *TEXT_FIELDS, "intrinsics", "camera_from_world", "image_width", "image_height", "person_box", "image_divisor",
    "mirrored", "image_file", "image_sha256", "body_file", "body_sha256", "contact_file", "contact_sha256",
)  # fmt: skip


def plan_crop(record: FrameRecord, settings: Shards) -> CropPlan:
    """Which region of a record's image is stored, and how far it is reduced while reading.

    Raises:
        RawDataError: if the person lies outside the image.
    """
    if record.box_source == READY:
        left, top, right, bottom = crop_box(np.array(record.person_box)).tolist()
        region = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
        return CropPlan(region=region, divisor=1, is_ready=True)
    size = (record.image_width, record.image_height)
    region = stored_region(np.array(record.person_box), *size, settings.margin)
    if region[2] <= region[0] or region[3] <= region[1]:
        raise RawDataError(f"sample {record.key}: person box {record.person_box} lies outside the {size} image")
    divisor = max(first_divisor(region, *size, settings.max_side_px), record.image_divisor)
    return CropPlan(region=region, divisor=divisor)


def encode_sample(
    record: FrameRecord,
    image: UInt8[ndarray, "height width 3"],
    vertices_world: Float[ndarray, "vertices 3"] | None,
    contact: Bool[ndarray, " labels"] | None,
    settings: Shards,
) -> dict[str, bytes]:
    """Encode one sample as tar members, by extension: jpg, json and, where known, vertices.npy and contact.npy.

    A publisher's ready-made crop is stored without loss, as png in place of jpg.

    Args:
        record: its row in the frame table.
        image: what :func:`plan_crop` asks for, RGB, un-mirrored.
        vertices_world: world frame, metres; None: the record has no ground truth, no member is written.
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
    _check_truth(record, vertices_world, contact)
    stored = image if plan.is_ready else reduce(image, settings.max_side_px)
    meta = _meta(record, plan.region, (stored.shape[1], stored.shape[0]), contact is not None)
    check_object(meta, SAMPLE_JSON_SCHEMA, place)
    members = {
        **({"png": _png(stored)} if plan.is_ready else {"jpg": encode_jpeg(stored, settings.jpeg_quality)}),
        "json": json.dumps(meta, sort_keys=True, allow_nan=False).encode(),
    }
    if vertices_world is not None:
        members["vertices.npy"] = _npy("vertices.npy", vertices_world.astype("<f4"), place)
    if contact is not None:
        members["contact.npy"] = _npy("contact.npy", np.packbits(contact.astype(bool)), place)
    return members


def _check_truth(record: FrameRecord, vertices_world: ndarray | None, contact: ndarray | None) -> None:
    """Insist that ground truth is there as a whole or not at all, as the record says, and of the right shape."""
    place = f"sample {record.key}"
    if (vertices_world is None) != (record.body_file is None) or (vertices_world is None and contact is not None):
        raise RawDataError(
            f"{place}: body_file is {record.body_file}, vertices are given: {vertices_world is not None}, labels are "
            f"given: {contact is not None}; there must be vertices as the record says, and labels only with vertices"
        )
    if vertices_world is not None and not (
        vertices_world.shape == (NUM_VERTICES, 3) and np.isfinite(vertices_world).all()
    ):
        raise RawDataError(f"{place}: {record.body_file} gives {vertices_world.shape} vertices, or some not finite")
    if contact is not None and contact.shape != (NUM_VERTICES,):
        raise RawDataError(f"{place}: {record.contact_file} gives {contact.shape} labels, expected {NUM_VERTICES}")


def _meta(
    record: FrameRecord, region: tuple[int, int, int, int], stored_size: tuple[int, int], has_contact: bool
) -> dict[str, Any]:
    """The JSON member: what a reader of the tar alone has to know."""
    return {
        **{name: getattr(record, name) for name in TEXT_FIELDS},
        "camera_from_world": record.camera_from_world,
        "has_body": record.body_file is not None,
        "has_contact": has_contact,
        "image_size": [record.image_width, record.image_height],
        "intrinsics": record.intrinsics,
        "licence": find_card(record.dataset).licence_notice,
        "member_version": READY_VERSION if record.box_source == READY else WHOLE_VERSION,
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


def encode_jpeg(image: UInt8[ndarray, "height width 3"], quality: int) -> bytes:
    """A picture as a shard holds it: full color, equal bytes for equal pixels."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=0, optimize=False, progressive=False)
    return stream.getvalue()


def _png(image: UInt8[ndarray, "height width 3"]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def _npy(name: str, values: ndarray, place: str) -> bytes:
    check_array(values.shape, str(values.dtype), SAMPLE_SCHEMA.field(name), place)
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(values), allow_pickle=False)
    return stream.getvalue()
