"""Which files of an own scene's folder are what, by their names alone; needs no more than a folder to look into."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from sahmr.errors import RawDataError

SETTINGS = "scene.json"
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm")
BOX_FILES = ("boxes.csv", "boxes.json")
CAMERA_FILES = (  # in this order: what stands in a scene's folder under these names
    "cameras.json", "camera.json", "transforms.json", "cameras.xml", "camera.xml", "cameras.yml", "camera.yml",
    "cameras.yaml", "camera.yaml", "cameras", "sparse", "colmap",
)  # fmt: skip
_MODEL = ("cameras.bin", "images.bin", "cameras.txt", "images.txt", "rigs.bin", "frames.bin", "rigs.txt", "frames.txt")


def is_video(name: str) -> bool:
    """By its suffix."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def camera_files(place: Path) -> list[Path]:
    """Every file that the cameras are read from of a file or folder of ``CAMERA_FILES``, sorted.

    Raises:
        RawDataError: if the folder may not be listed, or its disk fails.
    """
    if place.is_file():
        return [place]
    model = model_folder(place)
    if model is not None:
        return sorted(model / name for name in _MODEL if (model / name).is_file())
    return single_files(place)


def model_folder(place: Path) -> Path | None:
    """Where COLMAP's model is in a folder."""
    places = (place, place / "0", place / "sparse/0")
    return next((each for each in places if any((each / name).is_file() for name in _MODEL)), None)


def single_files(place: Path) -> list[Path]:
    """A file for each camera, as RICH has them. Errors as :func:`camera_files`."""
    try:
        return sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise RawDataError(f"{place}: cannot be listed ({problem.strerror}); allow it, or check its disk") from None
