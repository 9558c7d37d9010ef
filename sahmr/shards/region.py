"""The region of an image that a shard stores, and how far it is reduced; its reader needs neither."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from sahmr.shards.crop import GRID, max_jitter_px


def stored_region(person_box: Float[ndarray, "4"], width: int, height: int, margin: float) -> tuple[int, int, int, int]:
    """The part of the image worth keeping for a person: every training crop lies inside, where the image does.

    Args:
        person_box: (left, top, right, bottom), full-image pixels.
        width, height: of the image.
        margin: side of the kept square / larger side of the person box, before room for jitter is added.

    Returns:
        (left, top, right, bottom) in whole pixels, right and bottom exclusive, widened to multiples of ``GRID`` and
        clipped to the image; without area if the person lies outside.
    """
    center = (person_box[:2] + person_box[2:]) / 2
    half = (person_box[2:] - person_box[:2]).max() * margin / 2 + max_jitter_px(width, height) + 1
    left, top = np.maximum(np.floor((center - half) / GRID) * GRID, 0).astype(int)
    right, bottom = np.minimum(np.ceil((center + half + 1) / GRID) * GRID, (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def first_divisor(region: tuple[int, int, int, int], width: int, height: int, max_side_px: int) -> int:
    """How far a region is reduced before :func:`reduce` makes it fit: 4, 2 or 1.

    The largest that leaves at least ``max_side_px`` and divides the image evenly. It depends on the full image alone:
    a quarter-size file and a full-size one, JPEG or not, give the same stored crop but for what the files differ in.

    Args:
        region: from :func:`stored_region`.
        width, height: of the full image, pixels.
        max_side_px: of the stored crop.
    """
    larger = max(region[2] - region[0], region[3] - region[1])
    fitting = (n for n in (4, 2) if larger >= n * max_side_px and width % n == 0 and height % n == 0)
    return next(fitting, 1)


def reduce(image: UInt8[ndarray, "height width 3"], max_side_px: int) -> UInt8[ndarray, "rows columns 3"]:
    """Shrink by area averaging until the larger side fits; a smaller image is returned as it is."""
    height, width = image.shape[:2]
    larger = max(width, height)
    if larger <= max_side_px:
        return image
    size = tuple(max(1, round(side * max_side_px / larger)) for side in (width, height))
    smaller: UInt8[ndarray, "rows columns 3"] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return smaller
