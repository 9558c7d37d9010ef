"""COLMAP's binary files: little-endian, packed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from sahmr.cameras.checks import refuse_fisheye
from sahmr.cameras.colmap import MODELS, ColmapFrame, ColmapImage, ColmapLens, ColmapModel, Pose, Sensor
from sahmr.errors import RawDataError
from sahmr.untrusted.regular import read_regular

_MOST_BYTES = 1 << 31  # of images.bin, nearly all of them points
_LONGEST_NAME = 1000
_POINT_BYTES = 24  # x, y, number of its 3D point
_REMEDY = "export the model again"
_NAMES = {number: (name, count) for name, (number, count) in MODELS.items()}
_SENSORS = {0: "CAMERA", 1: "IMU"}


def read_binary_model(folder: Path) -> ColmapModel:
    """``cameras.bin``, ``images.bin`` and, where they are, ``rigs.bin`` and ``frames.bin``.

    Raises:
        RawDataError: if a file is missing, cut short, longer than it says, or names an unknown lens.
    """
    rigs, frames = folder / "rigs.bin", folder / "frames.bin"
    has_rigs = rigs.is_file() and frames.is_file()
    return ColmapModel(
        folder=folder,
        lenses=_read_lenses(folder / "cameras.bin"),
        images=_read_images(folder / "images.bin"),
        rigs=_read_rigs(rigs) if has_rigs else {},
        frames=_read_frames(frames) if has_rigs else (),
    )


class _Bytes:
    """A file's bytes, taken one value after the other: nothing is set aside for what it promises."""

    def __init__(self, path: Path) -> None:
        self._path, self._content, self._at = path, read_regular(path, most_bytes=_MOST_BYTES), 0

    def fail(self, problem: str) -> RawDataError:
        """The error of a damaged file."""
        return RawDataError(f"{self._path}: {problem} (byte {self._at:,} of {len(self._content):,}); {_REMEDY}")

    def take(self, layout: str) -> tuple[Any, ...]:
        """The next values, laid out as :mod:`struct` writes it."""
        size = struct.calcsize("<" + layout)
        if self._at + size > len(self._content):
            raise self.fail("cut short")
        values = struct.unpack_from("<" + layout, self._content, self._at)
        self._at += size
        return values

    def count(self, layout: str, least_bytes: int) -> int:
        """A number of rows, each of which takes ``least_bytes`` or more: no more than there is room for."""
        (found,) = self.take(layout)
        if found * least_bytes > len(self._content) - self._at:
            raise self.fail(f"promises {found:,} rows and is cut short")
        return int(found)

    def skip(self, size: int) -> None:
        """Leave bytes out; as many were counted."""
        self._at += size

    def name(self) -> str:
        """Text up to a zero byte."""
        end = self._content.find(b"\0", self._at, self._at + _LONGEST_NAME + 1)
        if end < 0:
            raise self.fail(f"a name of more than {_LONGEST_NAME} bytes, or cut short")
        try:
            text = self._content[self._at : end].decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail("a name that is no text") from None
        self._at = end + 1
        return text

    def end(self) -> None:
        """Insist that nothing is left."""
        if self._at != len(self._content):
            raise self.fail("longer than it says")


def _read_lenses(path: Path) -> dict[int, ColmapLens]:
    data, lenses = _Bytes(path), dict[int, ColmapLens]()
    for _ in range(data.count("Q", 24)):
        number, kind, width, height = data.take("IiQQ")
        if kind not in _NAMES:  # later than this table: all of those are fisheyes or have no K
            raise refuse_fisheye(str(path), f"number {kind}")
        model, count = _NAMES[kind]
        lenses[number] = ColmapLens(model=model, width=width, height=height, params=data.take(f"{count}d"))
    data.end()
    return lenses


def _read_images(path: Path) -> tuple[ColmapImage, ...]:
    data, images = _Bytes(path), []
    for _ in range(data.count("Q", 73)):
        number, *pose, camera = data.take("I7dI")
        name = data.name()
        data.skip(_POINT_BYTES * data.count("Q", _POINT_BYTES))
        images.append(ColmapImage(number=number, pose=tuple(pose), camera=camera, name=name))
    data.end()
    return tuple(images)


def _sensor(data: _Bytes) -> Sensor:
    kind, number = data.take("iI")
    return _SENSORS.get(kind, "OTHER"), number


def _read_rigs(path: Path) -> dict[int, dict[Sensor, Pose | None]]:
    data, rigs = _Bytes(path), dict[int, dict[Sensor, Pose | None]]()
    for _ in range(data.count("Q", 8)):
        (number,) = data.take("I")
        sensors = dict[Sensor, Pose | None]()
        for place in range(data.count("I", 8)):
            sensor, pose = _sensor(data), None
            if place and data.take("B")[0]:
                pose = data.take("7d")
            sensors[sensor] = pose
        rigs[number] = sensors
    data.end()
    return rigs


def _read_frames(path: Path) -> tuple[ColmapFrame, ...]:
    data, frames = _Bytes(path), []
    for _ in range(data.count("Q", 68)):
        _, rig, *pose = data.take("II7d")
        images = tuple((_sensor(data), int(data.take("Q")[0])) for _ in range(data.count("I", 16)))
        frames.append(ColmapFrame(rig=rig, rig_from_world=tuple(pose), images=images))
    data.end()
    return tuple(frames)
