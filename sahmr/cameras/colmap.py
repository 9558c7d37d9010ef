"""A COLMAP model: cameras, images and, since 3.12, rigs and frames; poses camera from world, no scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.cameras.checks import refuse_fisheye
from sahmr.cameras.photo_camera import LengthUnit, PhotoCamera, checked, intrinsics_matrix, quaternion_matrix
from sahmr.errors import RawDataError

Pose = tuple[float, ...]  # quaternion w, x, y, z and translation: as stored
Sensor = tuple[str, int]  # its type and number; cameras are CAMERA
_SAME = 1e-4  # that an image's pose and its rig's may differ by, of the largest number; text files round to 1e-6
_HALF = 0.5  # of a pixel: COLMAP's first pixel has its centre at (0.5, 0.5), OpenCV's at (0, 0)
# Name -> number in binary files, how many parameters. The rest are fisheyes and others without K.
MODELS = {
    "SIMPLE_PINHOLE": (0, 3), "PINHOLE": (1, 4), "SIMPLE_RADIAL": (2, 4), "RADIAL": (3, 5), "OPENCV": (4, 8),
    "OPENCV_FISHEYE": (5, 8), "FULL_OPENCV": (6, 12), "FOV": (7, 5), "SIMPLE_RADIAL_FISHEYE": (8, 4),
    "RADIAL_FISHEYE": (9, 5), "THIN_PRISM_FISHEYE": (10, 12), "RAD_TAN_THIN_PRISM_FISHEYE": (11, 16),
}  # fmt: skip
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_PINHOLES = (*_ONE_FOCAL, "PINHOLE", "OPENCV", "FULL_OPENCV")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColmapLens:
    """A row of ``cameras``."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColmapImage:
    """A row of ``images``; its pose is camera from world."""

    number: int
    pose: Pose
    camera: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColmapFrame:
    """A row of ``frames``: when all sensors of a rig saw one thing; ``images`` has image numbers by sensor."""

    rig: int
    rig_from_world: Pose
    images: tuple[tuple[Sensor, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColmapModel:
    """A model as stored. ``rigs``: sensor -> its pose in the rig, None where it defines the rig or has none."""

    folder: Path
    lenses: Mapping[int, ColmapLens]
    images: tuple[ColmapImage, ...]
    rigs: Mapping[int, Mapping[Sensor, Pose | None]]
    frames: tuple[ColmapFrame, ...]


def cameras_of_model(model: ColmapModel, unit: LengthUnit) -> tuple[PhotoCamera, ...]:
    """A camera for every image, sorted by name.

    The pose is the image's own. Where rigs and frames say it too (``sensor_from_rig @ rig_from_world``), both must
    agree.

    Raises:
        RawDataError: if there are no images, one names a camera that is not there, a lens is a fisheye's, rigs
            contradict images, or a camera is none (:func:`checked`).
    """
    if not model.images:
        raise RawDataError(f"{model.folder}: no images; allowed: a model with registered images; export it again")
    poses = {image.number: _image_pose(model, image) for image in model.images}
    _compare_frames(model, poses)
    cameras = []
    for image in sorted(model.images, key=lambda image: image.name):
        where = f"{model.folder}: image {image.name[:80]!r}"
        lens = model.lenses.get(image.camera)
        if lens is None:
            raise RawDataError(f"{where}: names camera {image.camera}, which is not there; export the model again")
        intrinsics, distortion = _lens(where, lens)
        camera = PhotoCamera(
            name=image.name,
            intrinsics=intrinsics,
            image_size=(lens.width, lens.height),
            distortion=distortion,
            camera_from_world=poses[image.number],
            unit=unit,
            source=model.folder,
        )
        cameras.append(checked(camera))
    return tuple(cameras)


def _image_pose(model: ColmapModel, image: ColmapImage) -> Float[ndarray, "4 4"]:
    return quaternion_matrix(f"{model.folder}: image {image.name[:80]!r}", image.pose[:4], image.pose[4:])


def _lens(where: str, lens: ColmapLens) -> tuple[Float[ndarray, "3 3"], tuple[float, ...]]:
    """K with the first pixel's centre at 0, and OpenCV's coefficients, whose order COLMAP has too."""
    if lens.model not in _PINHOLES:
        raise refuse_fisheye(where, lens.model)
    if len(lens.params) != MODELS[lens.model][1]:
        raise RawDataError(
            f"{where}: {lens.model} with {len(lens.params)} parameters; allowed: {MODELS[lens.model][1]}; export the "
            "model again"
        )
    focal = lens.params[:1] * 2 if lens.model in _ONE_FOCAL else lens.params[:2]
    cx, cy, *terms = lens.params[1 if lens.model in _ONE_FOCAL else 2 :]
    distortion = tuple(terms) + (0.0,) * max(0, 4 - len(terms)) if terms else ()
    return intrinsics_matrix(focal[0], focal[1], cx - _HALF, cy - _HALF), distortion


def _compare_frames(model: ColmapModel, poses: Mapping[int, Float[ndarray, "4 4"]]) -> None:
    """Insist that rigs and frames say of every image what it says itself."""
    for frame in model.frames:
        if frame.rig not in model.rigs:
            raise RawDataError(
                f"{model.folder}: a frame names rig {frame.rig}, which is not there; export the model again"
            )
        sensors = model.rigs[frame.rig]
        rig_from_world = quaternion_matrix(
            f"{model.folder}: frame of rig {frame.rig}", frame.rig_from_world[:4], frame.rig_from_world[4:]
        )
        for sensor, number in frame.images:
            if sensor[0] != "CAMERA" or number not in poses:
                continue  # of an IMU, or not registered
            if sensor not in sensors:
                raise RawDataError(
                    f"{model.folder}: rig {frame.rig} has no camera {sensor[1]}, a frame of it has; export the model "
                    "again"
                )
            stated = sensors[sensor]
            expected = rig_from_world
            if stated is not None:
                expected = quaternion_matrix(f"{model.folder}: rig {frame.rig}", stated[:4], stated[4:]) @ expected
            _compare(model, number, poses[number], expected)


def _compare(model: ColmapModel, number: int, found: Float[ndarray, "4 4"], expected: Float[ndarray, "4 4"]) -> None:
    off = float(np.abs(found - expected).max())
    if not off <= _SAME * max(1.0, float(np.abs(found).max())):
        raise RawDataError(
            f"{model.folder}: image {number} and its rig say different poses ({off:.3g} apart); allowed: the same "
            f"within {_SAME:g}; rigs, frames and images must be of one export: export the model again"
        )
