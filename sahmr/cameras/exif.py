"""A focal length out of a photograph's EXIF data: K alone, and not well known."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sahmr.cameras.photo_camera import PhotoCamera, checked, intrinsics_matrix
from sahmr.errors import RawDataError
from sahmr.untrusted.regular import open_regular

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
_MOST_BYTES = 1 << 28
_ORIENTATION, _EXIF = 0x0112, 0x8769
_FOCAL_35MM, _WIDTH, _HEIGHT = 0xA405, 0xA002, 0xA003
_FILM_MM = (36.0, 24.0)
_FILM_DIAGONAL_MM = math.hypot(*_FILM_MM)  # 43.27
_LENSES_MM = (8, 2000)  # of any camera with such a tag
_SAME_ASPECT = 0.01  # that a resized image's sides may differ by


@dataclass(frozen=True, slots=True, kw_only=True)
class ExifCamera:
    """A camera whose K comes from EXIF.

    Attributes:
        camera: without pose; its principal point is the middle.
        focal_error: how far off the focal length may be, as a share of it.
    """

    camera: PhotoCamera
    focal_error: float


def read_exif(path: Path) -> ExifCamera:
    """K of a photograph from ``FocalLengthIn35mmFilm``.

    The tag states the lens that has this diagonal angle of view on film of 36 x 24 mm:
    ``f_px = f_35 * hypot(width, height) / 43.27``. It is off by

    - rounding to whole millimetres: ``0.5 / f_35``;
    - makers who go by the width instead: the ratio of ``width / 36`` to ``diagonal / 43.27``, 4 % for 4:3;
    - a change of angle by focusing, stabilisation or correction of distortion, and the middle taken for the principal
      point: 3 % together, an estimate.

    Their sum is ``focal_error``. A root at 4 m moves in depth by that share: 7 % are 28 cm. A calibration is better.

    Raises:
        RawDataError: if the file is no image, has no such tag, or was cropped or turned since.

    Source: EXIF 2.32, tag 41989; CIPA DCG-001 (diagonal).
    """
    size, exif, about = _read(path)
    if (turned := about.get(_ORIENTATION, 1)) != 1:
        raise RawDataError(f"{path}: EXIF says the image is rotated ({turned}); store it upright, without that tag")
    focal = exif.get(_FOCAL_35MM)
    if not isinstance(focal, int | float) or not _LENSES_MM[0] <= focal <= _LENSES_MM[1]:
        raise RawDataError(
            f"{path}: EXIF has {'no focal length' if not focal else f'the focal length {focal!s:.20}'} for 35 mm film; "
            f"allowed: {_LENSES_MM[0]} to {_LENSES_MM[1]} mm; give a camera file, no focal length is assumed"
        )
    _check_uncropped(path, size, (exif.get(_WIDTH), exif.get(_HEIGHT)))
    width, height = size
    by_diagonal = float(focal) * math.hypot(width, height) / _FILM_DIAGONAL_MM
    by_width = float(focal) * max(size) / _FILM_MM[0]
    camera = PhotoCamera(
        name=path.name,
        intrinsics=intrinsics_matrix(by_diagonal, by_diagonal, (width - 1) / 2, (height - 1) / 2),
        image_size=size,
        distortion=(),
        camera_from_world=None,
        unit="unknown",
        source=path,
    )
    error = 0.5 / float(focal) + abs(by_width / by_diagonal - 1) + 0.03
    return ExifCamera(camera=checked(camera), focal_error=error)


def _check_uncropped(path: Path, size: tuple[int, int], stated: tuple[Any, Any]) -> None:
    """A resized image keeps its angle of view, a cropped one does not."""
    width, height = stated
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        return
    if abs(size[0] / size[1] * height / width - 1) > _SAME_ASPECT:
        raise RawDataError(
            f"{path}: EXIF says the camera took {width}x{height}, the file has {size[0]}x{size[1]}: it was cropped or "
            "turned, and its focal length is another's; give the original"
        )


def _read(path: Path) -> tuple[tuple[int, int], dict[int, Any], dict[int, Any]]:
    """Size, EXIF and main tags, from the header alone."""
    try:
        with (
            warnings.catch_warnings(),
            open_regular(path, most_bytes=_MOST_BYTES) as stream,
            Image.open(stream, formats=_FORMATS) as image,
        ):
            warnings.simplefilter("error")
            exif = Image.Image.getexif(image)
            return image.size, dict(exif.get_ifd(_EXIF)), dict(exif)
    except RawDataError:
        raise
    except Exception as problem:  # Pillow, of broken files: a SyntaxError for a PNG, a struct.error for an EXIF
        raise RawDataError(f"{path}: not a readable image ({', '.join(_FORMATS)}): {problem!s:.200}") from None
