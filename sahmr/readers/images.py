"""Raw images: size from the header, pixels as 8-bit RGB, and the checks that they belong to their camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sahmr.errors import RawDataError

_MODES = ("RGB", "L")  # 8 bits per channel
_EXIF_ORIENTATION = 0x0112
# A principal point lies near the middle of its image; RICH's worst is 7 % off (formats a.5). Farther off means that
# image and calibration have different sizes or orientations.
PRINCIPAL_POINT_TOLERANCE = 0.15


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header alone.

    Raises:
        RawDataError: if the file is missing, not an image, not 8 bits per channel, or flagged as rotated.
    """
    try:
        with Image.open(path) as image:
            _check_header(path, image)
            return image.size
    except (UnidentifiedImageError, OSError) as problem:
        raise RawDataError(f"{path}: not a readable image ({problem}); fetch it again") from None


def _check_header(path: Path, image: Image.Image) -> None:
    if image.mode not in _MODES:
        raise RawDataError(f"{path}: image mode is {image.mode}; allowed: {', '.join(_MODES)} with 8 bits per channel")
    turned = image.getexif().get(_EXIF_ORIENTATION, 1)
    if turned != 1:
        raise RawDataError(f"{path}: EXIF says the image is rotated ({turned}); store it upright, without that tag")


def decode_image(path: Path) -> NDArray[np.uint8]:
    """Decode to RGB [height, width, 3], as it lies on disk.

    Raises:
        RawDataError: as :func:`image_size`, and if the file is cut short or damaged.
    """
    try:
        with Image.open(path) as image:
            _check_header(path, image)
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError) as problem:
        raise RawDataError(f"{path}: damaged image ({problem}); fetch it again") from None


def check_fits_camera(path: Path, size: tuple[int, int], intrinsics: NDArray[np.float64]) -> None:
    """Insist that K belongs to an image of this size.

    Raises:
        RawDataError: if the principal point is more than 15 % of a side away from the middle.
    """
    for axis, side in enumerate(size):
        center = float(intrinsics[axis, 2])
        if not abs(center - side / 2) <= PRINCIPAL_POINT_TOLERANCE * side:
            raise RawDataError(
                f"{path}: image is {size[0]}x{size[1]} but its calibration has the principal point "
                f"({intrinsics[0, 2]:.1f}, {intrinsics[1, 2]:.1f}); it must lie near the middle: use the full-size "
                "image, upright, with the calibration of the same camera"
            )
