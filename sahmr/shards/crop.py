"""Square person crops: their box, their affine maps, and the pixels (method 3)."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from sahmr.dimensions import CROP_SIZE

SIDE = 1.15  # of the larger side of the person box; the reference's
ZOOM_RANGE = 0.4  # training widens the side by up to this much
GRID = 4  # stored regions begin and end on multiples of this, so that images of a quarter of the size hold them exactly
READY = "crop"  # box_source of a sample whose picture is a crop of its publisher: that goes to the network as it is
JITTER_SHARE = 40 / 4112  # of the image's larger side: the reference moves by 10 px in an image of a quarter of 4112 px


def draw(seed: int, epoch: int, key: str) -> Float[ndarray, "3"]:
    """Three uniform numbers in [0, 1) that depend on the arguments alone: centre x, centre y, zoom."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{key}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    return generator.random(3)


def max_jitter_px(width: int, height: int) -> float:
    """How far training may move a crop's centre along each axis, full-image pixels."""
    return JITTER_SHARE * max(width, height)


def crop_box(
    person_box: Float[ndarray, "4"],
    *,
    zoom_range: float = 0.0,
    jitter_px: float = 0.0,
    draws: Float[ndarray, "3"] | None = None,
) -> Float[ndarray, "4"]:
    """Square box round a person.

    Args:
        person_box: (left, top, right, bottom), pixels; need not be square nor inside the image.
        zoom_range: largest widening, as a share of the person box's larger side.
        jitter_px: largest move of the centre along each axis, pixels.
        draws: uniform numbers in [0, 1) for centre x, centre y and zoom; None: no move, no widening.

    Returns:
        (left, top, right, bottom), same pixels; corners are the *centres* of the crop's first and last pixel.
    """
    draws = np.array([0.5, 0.5, 0.0]) if draws is None else draws
    center = (person_box[:2] + person_box[2:]) / 2 + (2 * draws[:2] - 1) * jitter_px
    side = (person_box[2:] - person_box[:2]).max() * (SIDE + zoom_range * draws[2])
    return np.concatenate([center - side / 2, center + side / 2])


def box_of_crop(square: Float[ndarray, "4"]) -> Float[ndarray, "4"]:
    """The person box whose :func:`crop_box` is a given square, up to the last bits."""
    center, half = (square[:2] + square[2:]) / 2, (square[2:] - square[:2]).max() / SIDE / 2
    return np.concatenate([center - half, center + half])


def stored_from_image(
    region: tuple[int, int, int, int], stored_width: int, stored_height: int
) -> Float[ndarray, "2 3"]:
    """Affine map from full-image pixels to pixels of a stored, reduced region.

    Area reduction keeps pixel *edges* in place, so with scale ``s`` = region side / stored side a centre moves by
    ``image = left + (stored + 0.5) * s - 0.5``. This is the one place where the two pixel conventions meet. The
    reference drops the half pixels when it crops its quarter-size images: it sees them 1.5 full pixels off.
    """
    left, top, right, bottom = region
    scale = np.array([stored_width / (right - left), stored_height / (bottom - top)])
    shift = (0.5 - np.array([left, top])) * scale - 0.5
    return np.array([[scale[0], 0.0, shift[0]], [0.0, scale[1], shift[1]]])


def crop_from_image(box: Float[ndarray, "4"]) -> Float[ndarray, "2 3"]:
    """Affine map from image pixels to crop pixels: the box corners go to the pixel centres 0 and 223."""
    scale = (CROP_SIZE - 1) / (box[2:] - box[:2])
    return np.array([[scale[0], 0.0, -box[0] * scale[0]], [0.0, scale[1], -box[1] * scale[1]]])


def compose(second: Float[ndarray, "2 3"], first: Float[ndarray, "2 3"]) -> Float[ndarray, "2 3"]:
    """``second`` after ``first``, both axis-aligned scalings with a shift."""
    scale = np.array([second[0, 0] * first[0, 0], second[1, 1] * first[1, 1]])
    shift = np.array([second[0, 0] * first[0, 2] + second[0, 2], second[1, 1] * first[1, 2] + second[1, 2]])
    return np.array([[scale[0], 0.0, shift[0]], [0.0, scale[1], shift[1]]])


def invert(affine: Float[ndarray, "2 3"]) -> Float[ndarray, "2 3"]:
    """Inverse of an axis-aligned scaling with a shift."""
    x, y = affine[0, 0], affine[1, 1]
    return np.array([[1 / x, 0.0, -affine[0, 2] / x], [0.0, 1 / y, -affine[1, 2] / y]])


def warp(
    image: UInt8[ndarray, "height width 3"], crop_from_pixels: Float[ndarray, "2 3"]
) -> UInt8[ndarray, "224 224 3"]:
    """Resample an image bilinearly; what lies outside is black."""
    size = (CROP_SIZE, CROP_SIZE)
    crop: UInt8[ndarray, "224 224 3"] = cv2.warpAffine(image, crop_from_pixels, size, flags=cv2.INTER_LINEAR)
    return crop
