"""A photograph that lies in no shard, as a shard would hold it: the same region, reduction and JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.shards.decode import StoredSample
from sahmr.shards.encode import Shards, encode_jpeg
from sahmr.shards.region import first_divisor, reduce, stored_region


def stored_photo(
    key: str,
    pixels: UInt8[ndarray, "height width 3"],
    intrinsics: Float[ndarray, "3 3"],
    camera_from_world: Float[ndarray, "4 4"],
    person_box: Float[ndarray, "4"],
    settings: Shards,
) -> StoredSample:
    """What :func:`sahmr.shards.encode.encode_sample` and :func:`sahmr.shards.decode.decode_sample` make of it.

    Large JPEGs are reduced by averaging here, and within their decoder there: the two differ by less than a grey level
    in the mean.

    Args:
        key: of the photograph.
        pixels: all of it, RGB, without distortion.
        intrinsics, camera_from_world: pixels, metres.
        person_box: (left, top, right, bottom), pixels.
        settings: of the stage ``shards``.

    Raises:
        RawDataError: if the person lies outside the image.
    """
    size = (pixels.shape[1], pixels.shape[0])
    region = stored_region(person_box, *size, settings.margin)
    if region[2] <= region[0] or region[3] <= region[1]:
        raise RawDataError(f"photograph {key}: person box {person_box.tolist()} lies outside the {size} image")
    divisor = first_divisor(region, *size, settings.max_side_px)
    part = np.asarray(Image.fromarray(pixels).crop(region).reduce(divisor))
    content = encode_jpeg(reduce(part, settings.max_side_px), settings.jpeg_quality)
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
