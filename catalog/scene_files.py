"""What a sample of an own folder was made from, beside the files that tables name: cameras, boxes, settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sahmr.datasets import CARDS
from sahmr.readers.own_files import BOX_FILES, CAMERA_FILES, SETTINGS, camera_files, is_video


def scene_files(dataset: str, raw: Path, scene_key: str) -> Iterator[tuple[str, str]]:
    """(role, path from ``raw`` on) of each such file that is here; none for the publishers' trees.

    Args:
        dataset: whose.
        raw: its folder.
        scene_key: also the name of the scene's folder there.

    Raises:
        RawDataError: if a folder may not be listed.
    """
    if not _is_own(dataset):
        return
    scene = raw / scene_key
    cameras = next((scene / name for name in CAMERA_FILES if (scene / name).exists()), None)
    found = [("cameras", path) for path in (camera_files(cameras) if cameras else ())]
    found += [("boxes", scene / name) for name in BOX_FILES]
    found += [("settings", scene / SETTINGS)]
    yield from ((role, path.relative_to(raw).as_posix()) for role, path in found if path.is_file())


def video_frame(dataset: str, image_file: str, frame: int) -> int | None:
    """Which frame of a video an image is, counted from 0; None: it is a photograph."""
    return frame if _is_own(dataset) and is_video(image_file) else None


def _is_own(dataset: str) -> bool:
    return dataset in CARDS and CARDS[dataset].is_own
