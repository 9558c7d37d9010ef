"""A photograph that lies in no shard, as a shard would hold it: the same region, reduction and JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.shards.decode import StoredSample
from sahmr.shards.encode import Shards, encode_jpeg
from sahmr.shards.region import first_divisor, reduce, stored_region


@runtime_checkable
class Picture(Protocol):
    """What parts are taken of."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of all of it, pixels."""

    def part(self, region: tuple[int, int, int, int], divisor: int) -> UInt8[ndarray, "rows columns 3"]:
        """RGB of (left, top, right, bottom), averaged over squares of ``divisor`` pixels, of which all four are
        multiples.
        """


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture that is in memory, RGB, without distortion."""

    array: UInt8[ndarray, "height width 3"]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.array.shape[1], self.array.shape[0]

    def part(self, region: tuple[int, int, int, int], divisor: int) -> UInt8[ndarray, "rows columns 3"]:
        """By averaging."""
        return np.asarray(Image.fromarray(self.array).crop(region).reduce(divisor))


def stored_photo(
    key: str,
    picture: Picture,
    intrinsics: Float[ndarray, "3 3"],
    camera_from_world: Float[ndarray, "4 4"],
    person_box: Float[ndarray, "4"],
    settings: Shards,
) -> StoredSample:
    """What :func:`sahmr.shards.encode.encode_sample` and :func:`sahmr.shards.decode.decode_sample` make of it.

    Args:
        key: of the photograph.
        picture: all of it; its parts must be those that a reader gives of the file, or the network sees another image.
        intrinsics, camera_from_world: pixels, metres.
        person_box: (left, top, right, bottom), pixels.
        settings: of the stage ``shards``.

    Raises:
        RawDataError: if the person lies outside the image.
    """
    size = picture.size
    region = stored_region(person_box, *size, settings.margin)
    if region[2] <= region[0] or region[3] <= region[1]:
        raise RawDataError(f"photograph {key}: person box {person_box.tolist()} lies outside the {size} image")
    divisor = first_divisor(region, *size, settings.max_side_px)
    content = encode_jpeg(reduce(picture.part(region, divisor), settings.max_side_px), settings.jpeg_quality)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    assert image is not None  # encoded two lines above
    return StoredSample(
        key=key,
        intrinsics=intrinsics,
        camera_from_world=camera_from_world,
        person_box=person_box,
        vertices_world=None,
        contact=None,
        dataset="",
        split="",
        sequence="",
        scene_key="",
        gender="neutral",
        box_source="person",
        image=image,
        region=region,
        image_size=size,
    )
