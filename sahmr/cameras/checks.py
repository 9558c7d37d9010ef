"""What every camera must be: a rigid pose, a K of one lens, a size of one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError

Array = NDArray[np.float64]
LARGEST = 1e6  # metres or pixels in a calibration: far beyond any, and too small to overflow
_RIGID_TOLERANCE = 1e-3  # of R R^T against identity; published matrices are rounded to about 1e-5
_MOST_PIXELS = 1 << 28  # the largest sensors of photographers have 1.5e8
_LONGEST_SIDE = 1 << 15  # what OpenCV's remapping can address
_COEFFICIENTS = (0, 4, 5, 8, 12, 14)  # what OpenCV takes
_LARGEST_COEFFICIENT = 1e4  # rational models of phones reach a few hundred


def check_rigid(where: str, transform: Array, *, remedy: str = "fetch it again") -> None:
    """Raise RawDataError unless the [4, 4] matrix is a rotation and a translation."""
    rotation = transform[:3, :3]
    if not (np.abs(transform) < LARGEST).all():
        raise RawDataError(f"{where}: holds NaN, infinite or wild values; {remedy}")
    off = float(np.abs(np.einsum("ij,kj->ik", rotation, rotation) - np.eye(3)).max())
    handed = float(np.einsum("i,i->", np.cross(rotation[0], rotation[1]), rotation[2]))
    if off > _RIGID_TOLERANCE or handed < 0 or not np.allclose(transform[3], [0, 0, 0, 1]):
        raise RawDataError(
            f"{where}: not a rigid transform (R R^T is {off:.2g} off identity, det R = {handed:.3f}); allowed: a "
            f"rotation within {_RIGID_TOLERANCE:g}, det +1, last row 0 0 0 1"
        )


def check_size(where: str, size: tuple[int, int]) -> None:
    """Raise RawDataError unless (width, height) are those of a picture."""
    width, height = size
    if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE and width * height <= _MOST_PIXELS):
        raise RawDataError(
            f"{where}: an image of {width:.9g} x {height:.9g} pixels; allowed: sides from 1 to {_LONGEST_SIDE}, at "
            f"most {_MOST_PIXELS:,} pixels; correct its width and height"
        )


def check_intrinsics(where: str, intrinsics: Array, size: tuple[int, int] | None) -> None:
    """Raise RawDataError unless K [3, 3] has positive focal lengths, no skew, and its principal point inside."""
    fx, fy, skew = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 1]
    is_upper = np.array_equal(intrinsics[2], [0, 0, 1]) and intrinsics[1, 0] == 0
    if not (is_upper and (np.abs(intrinsics) < LARGEST).all() and fx > 0 and fy > 0):
        raise RawDataError(
            f"{where}: K is {intrinsics.tolist()}; allowed: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx and fy above "
            "0, in pixels; its rows may be swapped with its columns"
        )
    if abs(skew) > 1e-6 * fx:
        raise RawDataError(
            f"{where}: K has the skew {skew:.4g}; allowed: 0, pixels are rectangles; calibrate without skew"
        )
    if size is not None and not all(0 < intrinsics[axis, 2] < side for axis, side in enumerate(size)):
        raise RawDataError(
            f"{where}: the principal point ({intrinsics[0, 2]:.5g}, {intrinsics[1, 2]:.5g}) lies outside the image of "
            f"{size[0]} x {size[1]} pixels; K must be in pixels of that image: scale both alike"
        )


def check_distortion(where: str, coefficients: tuple[float, ...]) -> None:
    """Raise RawDataError unless the coefficients are as many as OpenCV's pinhole models have, and no wild ones."""
    if len(coefficients) not in _COEFFICIENTS or not all(abs(c) < _LARGEST_COEFFICIENT for c in coefficients):
        found = ", ".join(f"{c:.4g}" for c in coefficients[:14])
        raise RawDataError(
            f"{where}: {len(coefficients)} distortion coefficients ({found}); allowed: {_COEFFICIENTS} of OpenCV's "
            f"(k1, k2, p1, p2, k3, ...), each below {_LARGEST_COEFFICIENT:g}; calibrate again"
        )


def refuse_fisheye(where: str, model: str) -> RawDataError:
    """The refusal of a lens model that no pinhole image can hold."""
    return RawDataError(
        f"{where}: the lens model {model[:40]!r} is not read: photographs of fisheye and panorama lenses have no K; "
        "undistort them to pinhole images first (colmap image_undistorter, or cv2.fisheye.undistortImage) and give the "
        "cameras of those"
    )
