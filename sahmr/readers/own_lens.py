"""A scene's cameras as they are needed: posed, of the picture's size, without distortion."""

from __future__ import annotations

from functools import lru_cache

from sahmr.cameras.photo_camera import PhotoCamera, fit_to_image, need_metres
from sahmr.cameras.undistort import Undistortion, plan_undistortion
from sahmr.errors import RawDataError
from sahmr.readers.calibration import Calibration
from sahmr.readers.own_files import SETTINGS
from sahmr.readers.own_layout import SceneFolder, cameras_of


def lens_of(scene: SceneFolder, camera: str, size: tuple[int, int]) -> Undistortion:
    """How a camera's pictures of (width, height) become pinhole images.

    Raises:
        RawDataError: if the scene lost the camera, it is for another size, or its distortion cannot be undone.
    """
    cameras = cameras_of(scene)
    if camera not in cameras:
        raise RawDataError(f"{scene.path}: no camera {camera[:80]!r} any more; run: dvc repro frames")
    return _plan(_Kept(cameras[camera]), size)


class _Kept:
    """A camera as a key: the object itself, which :func:`cameras_of` keeps."""

    __slots__ = ("camera",)

    def __init__(self, camera: PhotoCamera) -> None:
        self.camera = camera

    def __hash__(self) -> int:
        return id(self.camera)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and self.camera is other.camera


@lru_cache(maxsize=256)
def _plan(kept: _Kept, size: tuple[int, int]) -> Undistortion:
    """A fixed camera is planned once for its thousands of frames."""
    return plan_undistortion(fit_to_image(kept.camera, size))


def require_pose(camera: PhotoCamera) -> None:
    """Insist that a camera stands somewhere in the scan.

    Raises:
        RawDataError: as :func:`need_metres`, saying what to do.
    """
    try:
        need_metres(camera)
    except RawDataError as error:
        if camera.camera_from_world is None:
            raise
        raise RawDataError(
            f'{error}; or, if the poses are in metres and in the scan\'s axes, write {{"camera_unit": "m"}} into '
            f"{SETTINGS}"
        ) from None


def calibration_of(camera: PhotoCamera) -> Calibration:
    """Of a camera with a pose."""
    pose = need_metres(camera)
    return Calibration(
        intrinsics=tuple(float(value) for value in camera.intrinsics.ravel()),
        camera_from_world=tuple(float(value) for value in pose.ravel()),
    )
