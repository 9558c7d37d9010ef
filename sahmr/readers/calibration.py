"""Camera calibrations: RICH's OpenCV XML and PROX's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sahmr.cameras.checks import LARGEST, Array, check_rigid
from sahmr.cameras.opencv_xml import xml_matrix
from sahmr.errors import RawDataError
from sahmr.units import as_if
from sahmr.untrusted.texts import read_json, read_xml

_FARTHEST_CAMERA_M = 100.0  # from the first of its capture; RICH's farthest is 14 m away (formats a.5)
_SAME_PX = 0.5  # that two statements of one camera may differ by


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """One calibrated camera: K row-major in pixels of the full image, rigid world-to-camera row-major in metres."""

    intrinsics: tuple[float, ...]
    camera_from_world: tuple[float, ...]


def read_rich_calibration(path: Path) -> Calibration:
    """Read ``CCC.xml``: ``CameraMatrix`` = [R t] world to camera, ``Intrinsics`` = K; distortion is not applied.

    Raises:
        RawDataError: if nodes are missing, R is no rotation, or K is not fx = fy without skew.
    """
    root = read_xml(path)
    extrinsics = np.concatenate([xml_matrix(path, root, "CameraMatrix", (3, 4)), [[0.0, 0.0, 0.0, 1.0]]])
    check_rigid(f"{path}, CameraMatrix", extrinsics)
    _check_distance(path, extrinsics)
    intrinsics = xml_matrix(path, root, "Intrinsics", (3, 3))
    fx, fy, skew = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 1]
    if not (
        0 < fx < LARGEST and abs(fx - fy) <= 1e-3 * fx and abs(skew) <= 1e-6 and np.allclose(intrinsics[2], [0, 0, 1])
    ):
        raise RawDataError(f"{path}: Intrinsics must be fx = fy > 0 without skew; found {intrinsics.tolist()}")
    return Calibration(intrinsics=_flat(intrinsics), camera_from_world=_flat(extrinsics))


def _check_distance(path: Path, extrinsics: Array) -> None:
    """In another unit a camera sees nobody, and its frames would only be counted as dropped."""
    far = float(np.sqrt((extrinsics[:3, 3] ** 2).sum()))
    if far > _FARTHEST_CAMERA_M:
        raise RawDataError(
            f"{path}, CameraMatrix: the camera is {far:.4g} m from the capture's first{as_if(far, 1, 30)}; allowed: "
            f"{_FARTHEST_CAMERA_M:g} m; translations are in metres: convert them, or fetch it again"
        )


def check_first_camera(path: Path, calibration: Calibration) -> None:
    """Camera 0 spans the world frame of its capture: raise RawDataError unless it is identity within 1e-4."""
    off = float(np.abs(np.array(calibration.camera_from_world).reshape(4, 4) - np.eye(4)).max())
    if off > 1e-4:
        raise RawDataError(f"{path}: camera 0 defines the capture's frame and must be identity, it is {off:.2g} off")


def read_json_transform(path: Path) -> Array:
    """A rigid 4x4 matrix stored as nested lists (``cam2world``, ``vicon2scene``)."""
    try:
        matrix = np.array(read_json(path), dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape != (4, 4):
        raise RawDataError(f"{path}: expected a 4x4 matrix as nested lists, found shape {matrix.shape}")
    check_rigid(str(path), matrix)
    return matrix


def read_prox_intrinsics(path: Path) -> Array:
    """K [3, 3] of ``calibration/Color.json`` from ``f`` and ``c``; it belongs to the *flipped* image.

    Raises:
        RawDataError: if either is missing or not two positive numbers.
    """
    content = read_json(path)
    values = [content.get(key) if isinstance(content, dict) else None for key in ("f", "c")]
    flat = [v for pair in values if isinstance(pair, list) and len(pair) == 2 for v in pair]
    if len(flat) != 4 or not all(isinstance(v, int | float) and 0 < v < LARGEST for v in flat):
        raise RawDataError(f"{path}: expected 'f': [fx, fy] and 'c': [cx, cy] in pixels, found {values}")
    fx, fy, cx, cy = map(float, flat)
    intrinsics = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    _check_same(path, content.get("camera_mtx"), intrinsics)
    return intrinsics


def _check_same(path: Path, stated: Any, intrinsics: Array) -> None:
    """``camera_mtx``, where it is there, says the same as ``f`` and ``c``."""
    if stated is None:
        return
    try:
        matrix = np.array(stated, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape != (3, 3) or not (np.abs(matrix - intrinsics)[:2] <= _SAME_PX).all():
        raise RawDataError(
            f"{path}: 'camera_mtx' is {str(stated)[:120]}, but 'f' and 'c' say {intrinsics.tolist()}; they must be the "
            "same within half a pixel; correct the wrong one"
        )


def _flat(matrix: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in matrix.ravel())
