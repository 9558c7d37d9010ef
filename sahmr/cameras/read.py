"""Cameras of any file: which of the formats it is, told by its name and its keys."""

from __future__ import annotations

from pathlib import Path

from sahmr.cameras import exif, opencv_file
from sahmr.cameras.colmap import cameras_of_model
from sahmr.cameras.colmap_binary import read_binary_model
from sahmr.cameras.colmap_text import read_text_model
from sahmr.cameras.explicit import read_explicit
from sahmr.cameras.json_fields import read_object
from sahmr.cameras.nerfstudio import read_nerfstudio
from sahmr.cameras.opencv_file import read_opencv_file
from sahmr.cameras.photo_camera import LengthUnit, PhotoCamera
from sahmr.errors import RawDataError

_PLACES = (".", "sparse/0", "sparse", "colmap/sparse/0")  # where COLMAP and its users leave a model
FORMATS = (
    "explicit .json; nerfstudio's transforms.json; a folder of COLMAP's cameras and images (.bin or .txt); OpenCV's "
    ".xml, .yml, .yaml or .json; a photograph with EXIF, for K alone"
)


def read_cameras(path: Path, unit: LengthUnit = "unknown") -> tuple[PhotoCamera, ...]:
    """All cameras of a file or folder, in one convention.

    Args:
        path: a file of one of the formats, or the folder of a COLMAP model.
        unit: of formats that do not say: all but the explicit JSON, which does.

    Raises:
        RawDataError: if it is missing, of no known format or damaged, or two cameras have one name.
    """
    cameras = _read(path, unit)
    names = [camera.name for camera in cameras]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RawDataError(f"{path}: {names.count(twice)} cameras have the name {twice[:80]!r}; allowed: one each")
    return cameras


def _read(path: Path, unit: LengthUnit) -> tuple[PhotoCamera, ...]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _read_folder(path, unit)
    if suffix == ".json":
        content = read_object(path)
        if "frames" in content:
            return read_nerfstudio(path, unit)
        is_opencv = any(isinstance(value, dict) and "type_id" in value for value in content.values())
        return read_opencv_file(path, unit) if is_opencv else read_explicit(path)
    if suffix in opencv_file.SUFFIXES:
        return read_opencv_file(path, unit)
    if suffix in exif.SUFFIXES:
        return (exif.read_exif(path).camera,)
    if path.name in ("cameras.bin", "images.bin", "cameras.txt", "images.txt"):
        return _read_folder(path.parent, unit)
    raise RawDataError(
        f"{path}: {'no camera file by its name' if path.exists() else 'no such file'}; read are {FORMATS}"
    )


def _read_folder(folder: Path, unit: LengthUnit) -> tuple[PhotoCamera, ...]:
    for place in (folder / name for name in _PLACES):
        if (place / "images.bin").is_file():
            return cameras_of_model(read_binary_model(place), unit)
        if (place / "images.txt").is_file():
            return cameras_of_model(read_text_model(place), unit)
    if (folder / "transforms.json").is_file():
        return read_nerfstudio(folder / "transforms.json", unit)
    raise RawDataError(f"{folder}: neither images.bin, images.txt nor transforms.json in it; read are {FORMATS}")
