"""The one type of camera that all formats are read into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.cameras.checks import check_distortion, check_intrinsics, check_rigid, check_size
from sahmr.errors import RawDataError
from sahmr.geometry.rigid_numpy import invert_rigid

LengthUnit = Literal["m", "unknown"]
_TRIM = 0.5  # pixels that a scaled side may be off by rounding
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # of camera axes; its own inverse


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoCamera:
    """A camera, or one photograph's, in OpenCV's convention: x right, y down, z forward.

    Attributes:
        name: as the file has it: of the camera, or the photograph's file. A stranger's text; no path to open as it is.
        intrinsics: K, pixels of the full image; (0, 0) is the *centre* of the first pixel. No skew.
        image_size: (width, height) that K is for; None where the file does not say.
        distortion: OpenCV's (k1, k2, p1, p2[, k3[, k4, k5, k6[, s1 .. s4[, tx, ty]]]]); empty: a pinhole.
        camera_from_world: rigid; its translation in ``unit``. None where the file has K alone.
        unit: "m", or "unknown": a reconstruction from photographs has no scale, and axes of its own.
        source: the file it was read from.
    """

    name: str
    intrinsics: Float[ndarray, "3 3"]
    image_size: tuple[int, int] | None
    distortion: tuple[float, ...]
    camera_from_world: Float[ndarray, "4 4"] | None
    unit: LengthUnit
    source: Path


def checked(camera: PhotoCamera) -> PhotoCamera:
    """The camera itself, if it can be one; distortion of zeros alone is left out.

    Raises:
        RawDataError: on a pose that is no rotation, a K of no lens, a size of no picture, NaN and wild numbers.
    """
    where = f"{camera.source}: camera {camera.name[:80]!r}"
    if not camera.name or not camera.name.isprintable() or len(camera.name) > 1000:
        raise RawDataError(f"{camera.source}: a camera has the name {camera.name[:40]!r}; allowed: printable text")
    if camera.image_size is not None:
        check_size(where, camera.image_size)
    check_intrinsics(where, camera.intrinsics, camera.image_size)
    check_distortion(where, camera.distortion)
    if camera.camera_from_world is not None:
        check_rigid(f"{where}, pose", camera.camera_from_world, remedy="export it again")
    return camera if any(camera.distortion) else replace(camera, distortion=())


def fit_to_image(camera: PhotoCamera, size: tuple[int, int]) -> PhotoCamera:
    """The camera of a photograph of ``size``: (width, height).

    Raises:
        RawDataError: if its K is for an image of another size; saying whether it was scaled or turned.
    """
    if camera.image_size is None:
        return checked(replace(camera, image_size=size))
    width, height = camera.image_size
    if size == (width, height):
        return camera
    scale, hint = size[0] / width, "they are not of the same picture (cropped?)"
    if size == (height, width):
        hint = "the photograph is turned by 90 degrees: store it as the camera saw it"
    elif abs(size[1] - height * scale) <= _TRIM:
        hint = f"the photograph is {scale:.4g} times as large: give the original, or multiply K by that"
    raise RawDataError(
        f"{camera.source}: camera {camera.name!r} is for images of {width}x{height}, the photograph has "
        f"{size[0]}x{size[1]}; allowed: the same size; {hint}"
    )


def need_metres(camera: PhotoCamera) -> Float[ndarray, "4 4"]:
    """The pose, metres, in the scan's frame.

    Raises:
        RawDataError: if the camera has none, or no scale.
    """
    if camera.camera_from_world is None:
        raise RawDataError(
            f"{camera.source}: camera {camera.name!r} has K alone, no pose in the scan; give camera_from_world in an "
            "explicit JSON"
        )
    if camera.unit != "m":
        raise RawDataError(
            f"{camera.source}: camera {camera.name!r} has no scale (its unit is unknown); allowed: metres, in the "
            "scan's frame; run: python -m pipelines.align"
        )
    return camera.camera_from_world


def intrinsics_matrix(fx: float, fy: float, cx: float, cy: float) -> Float[ndarray, "3 3"]:
    """K from focal lengths and principal point, pixels."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def invert_pose(where: str, pose: Float[ndarray, "4 4"]) -> Float[ndarray, "4 4"]:
    """The inverse of a stranger's pose.

    Raises:
        RawDataError: if it is not rigid.
    """
    check_rigid(where, pose, remedy="export it again")
    return invert_rigid(pose)


def quaternion_matrix(where: str, wxyz: tuple[float, ...], xyz: tuple[float, ...]) -> Float[ndarray, "4 4"]:
    """Rotation of a quaternion (scalar first) and translation as a transform; the quaternion is scaled to length 1.

    Raises:
        RawDataError: if its length is not 1 within 1e-3 (files round to 1e-6 at worst), or the translation is wild.
    """
    length = float(np.sqrt(sum(part * part for part in wxyz)))
    if not abs(length - 1) <= 1e-3:
        raise RawDataError(
            f"{where}: a quaternion of length {length:.4g}; allowed: 1, it is a rotation; export it again"
        )
    w, x, y, z = (part / length for part in wxyz)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = xyz
    check_rigid(where, matrix, remedy="export it again")
    return matrix
