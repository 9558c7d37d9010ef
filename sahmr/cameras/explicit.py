"""Our own JSON of cameras: everything by name, nothing assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from numpy import ndarray

from sahmr.cameras.checks import refuse_fisheye
from sahmr.cameras.json_fields import (
    need_matrix,
    need_number,
    need_object,
    need_side,
    need_text,
    need_transform,
    read_object,
    refuse_unknown,
)
from sahmr.cameras.photo_camera import OPENCV_FROM_OPENGL, PhotoCamera, checked, intrinsics_matrix, invert_pose
from sahmr.errors import RawDataError
from sahmr.files import publish_text
from sahmr.units import METRES

UNITS = {"metres": 1.0, "m": 1.0, "cm": METRES["centimetres"], "mm": METRES["millimetres"], **METRES, "unknown": 1.0}
POSES = ("camera_from_world", "world_from_camera")
CONVENTIONS = ("opencv", "opengl")
_FOCAL = ("fx", "fy", "cx", "cy")
KEYS = (
    "image", "width", "height", "K", *_FOCAL, "pixel_center", "distortion", *POSES, "convention", "units",
)  # fmt: skip


def read_explicit(path: Path) -> tuple[PhotoCamera, ...]:
    """Cameras of a JSON file: one, or several by name under ``cameras``. docs/own-scene.md has the keys.

    Raises:
        RawDataError: if a key is missing, unknown or given twice, says something else, or the camera is none
            (:func:`checked`).
    """
    content = read_object(path)
    if "cameras" not in content:
        return (_camera(path, path.stem, content),)
    refuse_unknown(str(path), content, ("cameras", "about"))
    cameras = need_object(f"{path}, 'cameras'", content["cameras"])
    if not cameras:
        raise RawDataError(f"{path}: 'cameras' is empty; allowed: one camera or more, by name")
    return tuple(_camera(path, name, need_object(f"{path}, {name[:80]!r}", each)) for name, each in cameras.items())


def _camera(path: Path, name: str, content: Mapping[str, Any]) -> PhotoCamera:
    where = f"{path}, {name[:80]!r}"
    refuse_unknown(where, content, KEYS)
    image = content.get("image", name)
    if not isinstance(image, str):
        raise RawDataError(f"{where}: 'image' is a {type(image).__name__}; allowed: the name of a photograph")
    factor = need_text(where, content, "units", tuple(UNITS), None) if any(key in content for key in POSES) else "m"
    return checked(
        PhotoCamera(
            name=image,
            intrinsics=_intrinsics(where, content),
            image_size=(need_side(where, content, "width"), need_side(where, content, "height")),
            distortion=_distortion(where, content),
            camera_from_world=_pose(where, content, UNITS[factor]),
            unit="unknown" if factor == "unknown" else "m",
            source=path,
        )
    )


def _intrinsics(where: str, content: Mapping[str, Any]) -> Float[ndarray, "3 3"]:
    named = [key for key in _FOCAL if key in content]
    if ("K" in content) == bool(named):
        found = "both" if named else "neither"
        raise RawDataError(f"{where}: found {found}; allowed: either 'K' or 'fx', 'fy', 'cx', 'cy'")
    if named:
        intrinsics = intrinsics_matrix(*(need_number(where, content, key) for key in _FOCAL))
    else:
        intrinsics = need_matrix(f"{where}, 'K'", content["K"], [(3, 3)])
    center = need_number(where, content, "pixel_center", 0.0)
    if center not in (0.0, 0.5):
        raise RawDataError(
            f"{where}: 'pixel_center' is {center:g}; allowed: 0 (OpenCV's: the first pixel's centre is 0, 0) or 0.5 "
            "(COLMAP's: its corner is)"
        )
    intrinsics[:2, 2] -= center
    return intrinsics


def _distortion(where: str, content: Mapping[str, Any]) -> tuple[float, ...]:
    found = content.get("distortion")
    if found is None:
        return ()
    lens = need_object(f"{where}, 'distortion'", found)
    refuse_unknown(f"{where}, 'distortion'", lens, ("model", "coefficients"))
    model = lens.get("model")
    if isinstance(model, str) and "fisheye" in model:
        raise refuse_fisheye(where, model)
    need_text(f"{where}, 'distortion'", lens, "model", ("opencv",), None)
    values = need_matrix(
        f"{where}, 'distortion', 'coefficients'", lens.get("coefficients"), [(4,), (5,), (8,), (12,), (14,)]
    )
    return tuple(float(value) for value in values)


def _pose(where: str, content: Mapping[str, Any], factor: float) -> Float[ndarray, "4 4"] | None:
    """``camera_from_world`` in OpenCV's axes and metres, or in no unit; None where no pose is given."""
    named = [key for key in POSES if key in content]
    if not named:
        return None
    if len(named) == 2:
        raise RawDataError(f"{where}: found both {' and '.join(POSES)}; allowed: one of them")
    convention = need_text(where, content, "convention", CONVENTIONS, None)
    pose = need_transform(f"{where}, '{named[0]}'", content[named[0]])
    if named[0] == "world_from_camera":
        pose = invert_pose(f"{where}, '{named[0]}'", pose)
    if convention == "opengl":
        pose = OPENCV_FROM_OPENGL @ pose
    pose[:3, 3] *= factor
    return pose


def write_explicit(path: Path, cameras: Sequence[PhotoCamera], *, about: str) -> None:
    """Write cameras that :func:`read_explicit` reads back bit for bit; ``about`` is for people.

    Raises:
        RawDataError: if the size of a camera's image is not known.
    """
    made = dict[str, Any]()
    for camera in cameras:
        if camera.image_size is None:
            raise RawDataError(
                f"{camera.source}: does not say how large the image is; add image_width and image_height"
            )
        width, height = camera.image_size
        one: dict[str, Any] = {"width": width, "height": height, "K": camera.intrinsics.tolist()}
        if camera.distortion:
            one["distortion"] = {"model": "opencv", "coefficients": list(camera.distortion)}
        if camera.camera_from_world is not None:
            units = "metres" if camera.unit == "m" else "unknown"
            one |= {"camera_from_world": camera.camera_from_world.tolist(), "convention": "opencv", "units": units}
        made[camera.name] = one
    publish_text(path, json.dumps({"about": about, "cameras": made}, indent=1) + "\n")
