"""A folder of one's own: where scans, cameras, photographs, videos, boxes and bodies of each scene lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal, cast

from sahmr.cameras.json_fields import need_text, read_object, refuse_unknown
from sahmr.cameras.photo_camera import LengthUnit, PhotoCamera
from sahmr.cameras.read import read_cameras
from sahmr.errors import RawDataError
from sahmr.readers.base import IMAGE_SUFFIXES, SPLITS
from sahmr.readers.names import entries, name_some
from sahmr.readers.own_files import (
    BOX_FILES,
    CAMERA_FILES,
    SETTINGS,
    VIDEO_SUFFIXES,
    model_folder,
    single_files,
)
from sahmr.readers.own_files import camera_files as files_of_cameras
from sahmr.scenes.own_scan import READERS

PAGE = "docs/own-scene.md"
IMAGES, BODIES = "images", "bodies"
BODY_SUFFIXES = (".ply", ".npy")
_SCENE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PHOTOGRAPHS = (*IMAGE_SUFFIXES, ".heic", ".webp", ".tif", ".tiff")
_DEEPEST = 6  # folders below images


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSettings:
    """``scene.json``: what no file of a scene says of itself.

    Attributes:
        camera_unit: of poses whose file has none; "m": metres, in the scan's axes.
        split: of all its frames.
    """

    camera_unit: LengthUnit = "unknown"
    split: Literal["train", "val", "test"] = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFolder:
    """One scene; names are relative to its folder, parts joined by ``/``."""

    name: str
    path: Path
    scan: str
    cameras: str
    boxes: str | None
    settings: SceneSettings


def scene_names(root: Path) -> list[str]:
    """Sorted names of the folders that hold a scan. Errors as :func:`sahmr.readers.names.entries`."""
    return sorted(name for name, is_folder in entries(root) if is_folder and _scans(root / name))


def open_scene(root: Path, name: str) -> SceneFolder:
    """Where the files of a scene lie.

    Raises:
        RawDataError: if its name makes no key, it has no camera file, or several scans, camera or box files, or
            ``scene.json`` is not what it may be.
    """
    path = root / name
    if not _SCENE.fullmatch(name):
        raise RawDataError(
            f"{path}: the name of a scene is {name[:80]!r}; allowed: letters, digits, _ and -; rename it"
        )
    there = {entry for entry, _ in entries(path)}
    boxes = [file for file in BOX_FILES if file in there]
    return SceneFolder(
        name=name,
        path=path,
        scan=_only(path, "scan", _scans(path)),
        cameras=_only(path, "camera file", [file for file in CAMERA_FILES if file in there]),
        boxes=_only(path, "file of boxes", boxes) if boxes else None,
        settings=_settings(path / SETTINGS) if SETTINGS in there else SceneSettings(),
    )


def _scans(path: Path) -> list[str]:
    """``scan.ply``, or with its unit ``scan.mm.ply``."""
    names = (name for name, is_folder in entries(path) if not is_folder and name.split(".")[0] == "scan")
    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in READERS)


def _only(path: Path, what: str, found: list[str]) -> str:
    if len(found) == 1:
        return found[0]
    if not found:
        raise RawDataError(f"{path}: no {what}; allowed: {', '.join(CAMERA_FILES)}; {PAGE} has the layout")
    raise RawDataError(f"{path}: {len(found)} of a {what}: {', '.join(found)}; allowed: one; remove the others")


def _settings(path: Path) -> SceneSettings:
    content = read_object(path)
    refuse_unknown(str(path), content, ("camera_unit", "split"))
    unit = need_text(str(path), content, "camera_unit", ("m", "unknown"), "unknown")
    split = need_text(str(path), content, "split", SPLITS, "test")
    return SceneSettings(camera_unit=cast("LengthUnit", unit), split=cast("Literal['train', 'val', 'test']", split))


def camera_files(scene: SceneFolder) -> list[Path]:
    """Every file that the cameras of a scene are read from, sorted; ``scene.json`` with them."""
    found = [scene.path / SETTINGS] if (scene.path / SETTINGS).is_file() else []
    return sorted([*found, *files_of_cameras(scene.path / scene.cameras)])


def cameras_of(scene: SceneFolder) -> dict[str, PhotoCamera]:
    """A scene's cameras by name; kept per process while their files are unchanged.

    Raises:
        RawDataError: as :func:`read_cameras`, or if two cameras share a name.
    """
    state = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in camera_files(scene))
    return _read(scene.path, scene.cameras, scene.settings.camera_unit, state)


_State = tuple[tuple[str, int, int], ...]  # of every file: path, time of change, size


@lru_cache(maxsize=64)
def _read(path: Path, cameras: str, unit: LengthUnit, state: _State) -> dict[str, PhotoCamera]:
    place = path / cameras
    model = model_folder(place) if place.is_dir() else place
    files = single_files(place) if model is None else [model]
    read = [read_cameras(file, unit) for file in files]
    found: dict[str, PhotoCamera] = {}
    for camera in (camera for group in read for camera in group):
        if found.setdefault(camera.name, camera) is not camera:
            raise RawDataError(f"{place}: two cameras have the name {camera.name[:80]!r}; allowed: one; rename one")
    if not found:
        raise RawDataError(f"{place}: no camera in it; {PAGE} has the formats")
    return dict(sorted(found.items()))


def pick_camera(cameras: dict[str, PhotoCamera], image: str) -> str | None:
    """Name of the camera that took an image, or None if there is none.

    That of the photograph's own name goes first (moving cameras: nerfstudio, COLMAP), then that of a folder it lies
    in, or of the video (fixed cameras); names may leave folders above and the suffix out. A file's only camera took
    all, unless it is named after a photograph.

    Args:
        cameras: by name.
        image: relative to the scene's folder: ``images/cam0/0001.jpg``, ``images/cam0.mp4``.
    """
    path = PurePosixPath(image)
    for place in (path, *path.parents):
        for start in range(len(place.parts)):
            tail = PurePosixPath(*place.parts[start:])
            for name in (tail.as_posix(), tail.with_suffix("").as_posix() if tail.suffix else None):
                if name in cameras:
                    return name
    lone = next(iter(cameras))
    is_photograph = PurePosixPath(lone).suffix.lower() in _PHOTOGRAPHS
    return lone if len(cameras) == 1 and not is_photograph else None


def image_names(scene: SceneFolder) -> Iterator[str]:
    """Photographs and videos below ``images``, relative to the scene's folder, in no order."""
    level = [IMAGES]
    for _ in range(_DEEPEST):
        below = []
        for folder in level:
            for name, is_folder in entries(scene.path / folder):
                if is_folder:
                    below.append(f"{folder}/{name}")
                elif PurePosixPath(name).suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
                    yield f"{folder}/{name}"
        level = below


def body_names(scene: SceneFolder) -> dict[str, str]:
    """Ground truth: photograph (below ``images``, without suffix) -> mesh file (below the scene's folder).

    ``bodies/cam0/0007.ply`` is the body in ``images/cam0/0007.jpg``; of several people, ``bodies/cam0/0007.ann.ply``.
    """
    found: dict[str, str] = {}
    level = [BODIES]
    for _ in range(_DEEPEST):
        below = []
        for folder in level:
            for name, is_folder in entries(scene.path / folder):
                path = f"{folder}/{name}"
                if is_folder:
                    below.append(path)
                elif PurePosixPath(name).suffix.lower() in BODY_SUFFIXES:
                    found[path.removeprefix(f"{BODIES}/").rpartition(".")[0]] = path
        level = below
    return found


def check_layout(root: Path) -> list[str]:
    """Every problem of names and small files, one line each."""
    if not root.is_dir():
        return [f"{root}: no such folder; point raw.own at yours ({PAGE} has its layout)"]
    problems: list[str] = []
    try:
        names = scene_names(root)
    except RawDataError as error:
        return [str(error)]
    if not names:
        inside = name_some(sorted(name for name, _ in entries(root))) or "nothing"
        allowed = f"a folder for each scene, with a scan (scan{', scan'.join(READERS)})"
        return [f"{root}: no scene in it; found {inside}; allowed: {allowed}; {PAGE} has the layout"]
    for name in names:
        try:
            cameras_of(open_scene(root, name))
        except (RawDataError, OSError) as error:
            problems.append(str(error))
    return problems
