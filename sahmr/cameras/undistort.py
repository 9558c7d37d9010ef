"""The door between photographs as a lens makes them and pinhole images: undone once, when a photograph is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from sahmr.cameras.photo_camera import PhotoCamera
from sahmr.errors import RawDataError

_SAME_PX = 0.5  # between a pixel and itself, taken through the lens and back
_ACROSS = 33  # points looked at along a side
_CRITERIA = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undistortion:
    """From a photograph with distortion to one of the same size without.

    Attributes:
        taken: the camera that took it.
        camera: the pinhole camera of the new image, with the new K.
    """

    taken: PhotoCamera
    camera: PhotoCamera

    def apply(self, image: UInt8[ndarray, "rows columns 3"]) -> UInt8[ndarray, "rows columns 3"]:
        """The new image, resampled bilinearly; the camera's own if it has no distortion."""
        if not self.taken.distortion:
            return image
        assert self.camera.image_size is not None, "plan_undistortion insists on it"
        coefficients = np.array(self.taken.distortion)
        across, down = cv2.initUndistortRectifyMap(
            self.taken.intrinsics, coefficients, np.eye(3), self.camera.intrinsics, self.camera.image_size, cv2.CV_32FC1
        )
        made: UInt8[ndarray, "rows columns 3"] = cv2.remap(image, across, down, cv2.INTER_LINEAR)
        return made

    def move(self, points: Float[ndarray, "points 2"]) -> Float[ndarray, "points 2"]:
        """Where pixels of the photograph, such as corners of a box, are in the new image."""
        if not self.taken.distortion:
            return points
        return _undistort(points, self.taken, self.camera.intrinsics)

    def move_box(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """The box round where a box's corners and the middles of its sides are in the new image."""
        if not self.taken.distortion:
            return box
        left, top, right, bottom = box
        places = [(u, v) for u in (left, (left + right) / 2, right) for v in (top, (top + bottom) / 2, bottom)]
        moved = self.move(np.array(places))
        (left, top), (right, bottom) = moved.min(axis=0).tolist(), moved.max(axis=0).tolist()
        return left, top, right, bottom


def plan_undistortion(camera: PhotoCamera) -> Undistortion:
    """The pinhole camera that sees all of the image that is valid: OpenCV's optimal new K with alpha 0.

    Every pixel of the new image shows something; what bulges over its border is cut off, as undistorted photographs
    always are.

    Raises:
        RawDataError: if the size of its image is not known, or the distortion folds the image onto itself.
    """
    if not camera.distortion:
        return Undistortion(taken=camera, camera=camera)
    if camera.image_size is None:
        raise RawDataError(f"{camera.source}: camera {camera.name!r} has distortion, but no image size; add it")
    coefficients = np.array(camera.distortion)
    _check_unfolded(camera)
    made, _ = cv2.getOptimalNewCameraMatrix(camera.intrinsics, coefficients, camera.image_size, 0)
    intrinsics = np.asarray(made, dtype=np.float64)
    return Undistortion(taken=camera, camera=replace(camera, intrinsics=intrinsics, distortion=()))


def _undistort(
    points: Float[ndarray, "points 2"], camera: PhotoCamera, intrinsics: Float[ndarray, "3 3"]
) -> Float[ndarray, "points 2"]:
    moved: Float[ndarray, "points 2"] = cv2.undistortPoints(
        np.ascontiguousarray(points, dtype=np.float64)[:, None], camera.intrinsics, np.array(camera.distortion),
        P=intrinsics, criteria=_CRITERIA,
    ).reshape(-1, 2)  # fmt: skip
    return moved


def _check_unfolded(camera: PhotoCamera) -> None:
    """Pixels must come back through the lens: coefficients fitted to the middle alone turn round at the border."""
    assert camera.image_size is not None, "asked by the caller"
    width, height = camera.image_size
    grid = np.meshgrid(np.linspace(0, width - 1, _ACROSS), np.linspace(0, height - 1, _ACROSS))
    pixels = np.stack(grid, axis=-1).reshape(-1, 2)
    rays = _undistort(pixels, camera, np.eye(3))
    ahead = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    back, _ = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), camera.intrinsics, np.array(camera.distortion))
    off = np.abs(back.reshape(-1, 2) - pixels).max(axis=1)
    if not (off <= _SAME_PX).all():
        share = float((~(off <= _SAME_PX)).mean())
        raise RawDataError(
            f"{camera.source}: camera {camera.name!r}: its distortion folds {share:.0%} of the image onto itself; "
            "allowed: one place for every pixel; calibrate with points near the corners, or undistort the photographs "
            "with the tool that calibrated them"
        )
