"""Raw images: size from the header, pixels as 8-bit RGB, and the checks that they belong to their camera."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from sahmr.errors import RawDataError
from sahmr.readers.image_headers import HEAD_BYTES, check_bits, other_format
from sahmr.readers.jpeg import first_rows
from sahmr.untrusted.regular import inside, open_regular, read_regular
from schemas.frame import FrameRecord

Region = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom exclusive
_FORMATS = ("JPEG", "PNG", "BMP")
_MOST_BYTES = 1 << 29  # twice what as many pixels as Pillow takes have uncompressed
_PNG = b"\x89PNG"
_MODES = ("RGB", "L")  # 8 bits per channel
_EXIF_ORIENTATION = 0x0112
# A principal point lies near the middle of its image; RICH's worst is 7 % off (formats a.5). Farther off means that
# image and calibration have different sizes or orientations.
PRINCIPAL_POINT_TOLERANCE = 0.15
# Of the larger side: angles of view from 6 to 136 degrees; RICH's are 0.87 to 1.8. Millimetres are some 0.001.
FOCAL_LENGTHS = (0.2, 10.0)


@contextmanager
def _told_as_ours(path: Path) -> Iterator[None]:
    """Whatever Pillow raises or warns of a file, here or while decoding, as RawDataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except RawDataError:
        raise
    except UnidentifiedImageError:
        other = other_format(_head(path)) or "; fetch it again"
        raise RawDataError(f"{path}: not a readable image ({', '.join(_FORMATS)}){other}") from None
    except Exception as problem:  # Pillow, of broken files: a SyntaxError for a PNG, a struct.error for an EXIF
        raise RawDataError(f"{path}: damaged image ({problem}); fetch it again") from None


def _head(path: Path) -> bytes:
    try:
        with open_regular(path, most_bytes=_MOST_BYTES) as stream:
            return stream.read(HEAD_BYTES)
    except RawDataError:  # reported by who opens it to read pixels
        return b""


def _check_header(path: Path, image: Image.Image) -> None:
    if image.mode not in _MODES:
        raise RawDataError(
            f"{path}: image mode is {image.mode}; allowed: {', '.join(_MODES)} with 8 bits per channel; convert it"
        )
    if getattr(image, "n_frames", 1) != 1:
        raise RawDataError(f"{path}: holds {image.n_frames} pictures ({image.format}); allowed: one per file")  # type: ignore[attr-defined]
    turned = Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1)  # a PNG's own would decode the whole image
    if turned != 1:
        raise RawDataError(f"{path}: EXIF says the image is rotated ({turned}); store it upright, without that tag")


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header alone.

    Raises:
        RawDataError: if the file is missing, not an image, not 8 bits per channel, or flagged as rotated.
    """
    check_bits(str(path), _head(path))
    with (
        _told_as_ours(path),
        open_regular(path, most_bytes=_MOST_BYTES) as stream,
        Image.open(stream, formats=_FORMATS) as image,
    ):
        _check_header(path, image)
        return image.size


def decode_region(path: Path, region: Region, divisor: int) -> NDArray[np.uint8]:
    """RGB of a region of a file, as it lies on disk, averaged over squares of ``divisor`` pixels.

    A JPEG is averaged by its decoder, which then leaves out most of the work: libjpeg keeps the lowest frequencies of
    each 8x8 block, in integers, so equal on every machine. That differs from averaging the decoded pixels by less
    than one grey level in the mean; in 4:2:0 files by some 20 levels at sharp color edges, where the full decoder's
    smooth up-sampling of chroma bleeds across. 4:2:2 files, and all other formats, are decoded fully and averaged.

    Args:
        path: the file.
        region: inside the image; all sides multiples of ``divisor``, as the image's own.
        divisor: 1, 2 or 4.

    Raises:
        RawDataError: as :func:`image_size`, and if the file is damaged or cut short, be it below the region.
    """
    with _told_as_ours(path):
        content = read_regular(path, most_bytes=_MOST_BYTES)
        check_bits(str(path), content)
        if content.startswith(_PNG):
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                image.verify()  # its checksums: decoding alone takes zeros for pixels
        with Image.open(io.BytesIO(first_rows(content, region[3])), formats=_FORMATS) as image:
            _check_header(path, image)
            return _reduced(image, region, divisor)


def _reduced(image: Image.Image, region: Region, divisor: int) -> NDArray[np.uint8]:
    size = image.size
    if divisor > 1 and isinstance(image, JpegImageFile) and _is_evenly_sampled(image):
        image.draft(None, (size[0] // divisor, size[1] // divisor))
    if image.size == size:
        return np.asarray(image.crop(region).reduce(divisor).convert("RGB"))
    left, top, right, bottom = (side // divisor for side in region)
    return np.asarray(image.crop((left, top, right, bottom)).convert("RGB"))


def _is_evenly_sampled(image: JpegImageFile) -> bool:
    """Whether every color is sampled alike across and down (4:4:4, 4:2:0): of others the reducing decoder takes only
    half the color there is.
    """
    across, down = (max(layer[axis] for layer in image.layer) for axis in (1, 2))
    return all(layer[1] * down == layer[2] * across for layer in image.layer)


def check_fits_camera(path: Path, size: tuple[int, int], intrinsics: NDArray[np.float64], divisor: int = 1) -> None:
    """Insist that K belongs to an image of this size.

    Args:
        path: the file, for messages.
        size: (width, height) of the full image.
        intrinsics: K [3, 3] of the full image.
        divisor: how many times smaller the file is.

    Raises:
        RawDataError: if the principal point is more than 15 % of a side away from the middle, or the focal length
            belongs to no lens.
    """
    focal = (float(intrinsics[0, 0]), float(intrinsics[1, 1]))
    low, high = (share * max(size) for share in FOCAL_LENGTHS)
    if not (low <= min(focal) and max(focal) <= high):
        raise RawDataError(
            f"{path}: image is {size[0]}x{size[1]} but its calibration has the focal length ({focal[0]:.4g}, "
            f"{focal[1]:.4g}); allowed: {low:.4g} to {high:.4g} pixels; it must be in pixels of the full-size image"
        )
    for axis, side in enumerate(size):
        center = float(intrinsics[axis, 2])
        if not abs(center - side / 2) <= PRINCIPAL_POINT_TOLERANCE * side:
            found = f"image is {size[0] // divisor}x{size[1] // divisor}"
            if divisor > 1:
                found += f", as 1/{divisor} of {size[0]}x{size[1]},"
            raise RawDataError(
                f"{path}: {found} but its calibration has the principal point "
                f"({intrinsics[0, 2]:.1f}, {intrinsics[1, 2]:.1f}); it must lie near the middle: use the full-size "
                "image, or a quarter-size one in images_ds4, upright, with the calibration of the same camera"
            )


def read_record_image(root: Path, record: FrameRecord, region: Region, divisor: int) -> NDArray[np.uint8]:
    """Decode a region of a record's image, reduced, un-mirrored; compare the file's size with the record and K.

    Args:
        root: the raw root.
        record: its row in the frame table.
        region: part wanted, un-mirrored full-image pixels, all sides multiples of ``divisor``.
        divisor: side of the squares that are averaged to one pixel, full-image pixels; a multiple of
            ``record.image_divisor``.

    Returns:
        RGB [rows, columns, 3] of the region's size / ``divisor``.

    Raises:
        RawDataError: if the image is damaged or not the one the record was made from.
    """
    path, scale = inside(root, record.image_file), record.image_divisor
    full = (record.image_width, record.image_height)
    left, top, right, bottom = region
    is_inside = 0 <= left < right <= full[0] and 0 <= top < bottom <= full[1]
    if not is_inside or divisor % scale or any(side % divisor for side in (*region, *full)):
        raise ValueError(f"{path}: region {region} of {full} cannot be read at 1/{divisor} from a file at 1/{scale}")
    width, height = image_size(path)
    if (width * scale, height * scale) != full:
        raise RawDataError(
            f"{path}: image is {width}x{height}, frame '{record.key}' was recorded with "
            f"{full[0] // scale}x{full[1] // scale}; run: dvc repro frames"
        )
    check_fits_camera(path, full, np.array(record.intrinsics).reshape(3, 3), scale)
    if record.mirrored:
        left, right = full[0] - right, full[0] - left
    part = (left // scale, top // scale, right // scale, bottom // scale)
    pixels = decode_region(path, part, divisor // scale)
    return np.ascontiguousarray(pixels[:, ::-1]) if record.mirrored else pixels
