"""nerfstudio's ``transforms.json``: OpenGL axes, poses world from camera, K with pixel corners at 0."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.cameras.checks import LARGEST, refuse_fisheye
from sahmr.cameras.json_fields import need_number, need_object, need_side, need_transform, read_object
from sahmr.cameras.photo_camera import (
    OPENCV_FROM_OPENGL,
    LengthUnit,
    PhotoCamera,
    checked,
    intrinsics_matrix,
    invert_pose,
)
from sahmr.errors import RawDataError

_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_HALF = 0.5  # of a pixel: nerfstudio's first pixel has its centre at (0.5, 0.5), OpenCV's at (0, 0)


def read_nerfstudio(path: Path, unit: LengthUnit) -> tuple[PhotoCamera, ...]:
    """Cameras of all frames, in the axes the world had before nerfstudio's: ``applied_*`` are undone.

    A stored point is ``applied_scale * (applied_transform @ point)``; both are optional. Intrinsics of a frame go
    before those of the file.

    Args:
        path: ``transforms.json``.
        unit: of the world; no such file says. Metres after Polycam, Record3D and others that measure, unknown after
            COLMAP.

    Raises:
        RawDataError: if a key is missing or says something else, the lens is a fisheye's, or the camera is none
            (:func:`checked`).
    """
    content = read_object(path)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise RawDataError(f"{path}: 'frames' is missing or empty; allowed: a list of one frame or more")
    undo = _undo(path, content)
    return tuple(
        _camera(path, content, need_object(f"{path}, frame {number}", frame), number, undo, unit)
        for number, frame in enumerate(frames)
    )


def _camera(
    path: Path, content: Mapping[str, Any], frame: Mapping[str, Any], number: int,
    undo: tuple[Float[ndarray, "4 4"], float], unit: LengthUnit,
) -> PhotoCamera:  # fmt: skip
    name = frame.get("file_path")
    if not isinstance(name, str):
        raise RawDataError(f"{path}, frame {number}: no 'file_path'; add the photograph's")
    where, lens = f"{path}, frame {number} ({name[:80]!r})", {**content, **frame}
    size = (need_side(where, lens, "w"), need_side(where, lens, "h"))
    stored = need_transform(f"{where}, 'transform_matrix'", frame.get("transform_matrix"))
    applied, scale = undo
    camera_from_stored = OPENCV_FROM_OPENGL @ invert_pose(f"{where}, 'transform_matrix'", stored)
    pose = camera_from_stored.copy()
    pose[:3, 3] /= scale
    return checked(
        PhotoCamera(
            name=name.removeprefix("./"),
            intrinsics=_intrinsics(where, lens, size),
            image_size=size,
            distortion=_distortion(where, lens),
            camera_from_world=pose @ applied,
            unit=unit,
            source=path,
        )
    )


def _undo(path: Path, content: Mapping[str, Any]) -> tuple[Float[ndarray, "4 4"], float]:
    """``applied_transform`` as 4x4 and ``applied_scale``, if they are there; both must be proper."""
    applied, scale = np.eye(4), need_number(str(path), content, "applied_scale", 1.0)
    if not 1 / LARGEST < scale < LARGEST:
        raise RawDataError(f"{path}: 'applied_scale' is {scale:.4g}; allowed: above 0, and below {LARGEST:g}")
    if "applied_transform" in content:
        where = f"{path}, 'applied_transform'"
        applied = need_transform(where, content["applied_transform"])
        invert_pose(where, applied)
    return applied, scale


def _intrinsics(where: str, lens: Mapping[str, Any], size: tuple[int, int]) -> Float[ndarray, "3 3"]:
    """K with the centre of the first pixel at 0; focal length from ``camera_angle_x`` where ``fl_x`` is absent."""
    if "fl_x" not in lens and "camera_angle_x" not in lens:
        raise RawDataError(f"{where}: neither 'fl_x' nor 'camera_angle_x'; no focal length is assumed: add one of them")
    fx = _focal(where, lens, "x", size[0])
    fy = _focal(where, lens, "y", size[1]) if "fl_y" in lens or "camera_angle_y" in lens else fx
    center = [need_number(where, lens, key, side / 2) for key, side in zip(("cx", "cy"), size, strict=True)]
    return intrinsics_matrix(fx, fy, center[0] - _HALF, center[1] - _HALF)


def _focal(where: str, lens: Mapping[str, Any], axis: str, side: int) -> float:
    if f"fl_{axis}" in lens:
        return need_number(where, lens, f"fl_{axis}")
    angle = need_number(where, lens, f"camera_angle_{axis}")
    if not 0 < angle < math.pi:
        raise RawDataError(f"{where}: 'camera_angle_{axis}' is {angle:.4g}; allowed: radians, above 0 and below pi")
    return side / 2 / math.tan(angle / 2)


def _distortion(where: str, lens: Mapping[str, Any]) -> tuple[float, ...]:
    """OpenCV's (k1, k2, p1, p2, k3); a k4 is no term of it."""
    model = lens.get("camera_model", "OPENCV")
    if model not in _MODELS or lens.get("is_fisheye", False):
        raise refuse_fisheye(where, "fisheye" if model in _MODELS else str(model))
    k1, k2, p1, p2, k3, k4 = (need_number(where, lens, key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3", "k4"))
    if k4:
        raise RawDataError(
            f"{where}: 'k4' is {k4:.4g}; allowed: 0, the lens model {model} has no such term; it may be a fisheye's: "
            "undistort the photographs first"
        )
    return (k1, k2, p1, p2, k3) if k3 else (k1, k2, p1, p2)
