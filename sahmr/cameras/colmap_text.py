"""COLMAP's text files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sahmr.cameras.colmap import ColmapFrame, ColmapImage, ColmapLens, ColmapModel, Pose, Sensor
from sahmr.errors import RawDataError
from sahmr.untrusted.texts import read_text

_MOST_BYTES = 1 << 30  # of images.txt, nearly all of them points; 10 000 photographs have 3e9 in the worst case
_REMEDY = "export the model again"


def read_text_model(folder: Path) -> ColmapModel:
    """``cameras.txt``, ``images.txt`` and, where they are, ``rigs.txt`` and ``frames.txt``.

    Raises:
        RawDataError: if a file is missing, or a line is not what its place allows.
    """
    rigs, frames = folder / "rigs.txt", folder / "frames.txt"
    has_rigs = rigs.is_file() and frames.is_file()
    return ColmapModel(
        folder=folder,
        lenses=dict(_lens(line) for line in _lines(folder / "cameras.txt")),
        images=tuple(_images(folder / "images.txt")),
        rigs=dict(_rig(line) for line in _lines(rigs)) if has_rigs else {},
        frames=tuple(_frame(line) for line in _lines(frames)) if has_rigs else (),
    )


class _Line:
    """The words of one line, taken one after the other."""

    def __init__(self, path: Path, number: int, text: str) -> None:
        self._where, self._words, self._at = f"{path}, line {number}", text.split(), 0
        self._text = text

    def fail(self, allowed: str) -> RawDataError:
        """The error of a line that is not what it should be."""
        return RawDataError(f"{self._where}: {self._text[:80]!r}; allowed: {allowed}; {_REMEDY}")

    def word(self, what: str) -> str:
        """The next word."""
        if self._at >= len(self._words):
            raise self.fail(f"{what} as word {self._at + 1}")
        self._at += 1
        return self._words[self._at - 1]

    def whole(self, what: str) -> int:
        """The next word as a whole number, not negative."""
        word = self.word(what)
        if not (word.isascii() and word.isdecimal() and len(word) < 20):
            raise self.fail(f"{what}, a whole number, as word {self._at}")
        return int(word)

    def numbers(self, count: int, what: str) -> tuple[float, ...]:
        """The next words as numbers; whether they are finite is the camera's to check."""
        words = [self.word(what) for _ in range(count)]
        try:
            return tuple(map(float, words))
        except ValueError:
            raise self.fail(f"{count} numbers, {what}, up to word {self._at}") from None

    def rest(self, what: str) -> str:
        """All that is left, as it stands: a name may hold spaces."""
        if self._at >= len(self._words):
            raise self.fail(f"{what} as word {self._at + 1}")
        return self._text.split(maxsplit=self._at)[-1].strip()

    def left(self) -> int:
        """How many words are left."""
        return len(self._words) - self._at


def _lines(path: Path) -> Iterator[_Line]:
    """Lines that are neither empty nor comments."""
    for number, text in enumerate(_text(path).splitlines(), start=1):
        if text.strip() and not text.startswith("#"):
            yield _Line(path, number, text)


def _text(path: Path) -> str:
    return read_text(path, remedy=_REMEDY, most_bytes=_MOST_BYTES)


def _lens(line: _Line) -> tuple[int, ColmapLens]:
    number, model = line.whole("the camera's number"), line.word("its model")
    width, height = line.whole("the width"), line.whole("the height")
    params = line.numbers(min(line.left(), 64), "the parameters")
    return number, ColmapLens(model=model, width=width, height=height, params=params)


def _images(path: Path) -> Iterator[ColmapImage]:
    """Every other line is of points, and may be empty."""
    is_points = False
    for number, text in enumerate(_text(path).split("\n"), start=1):
        if is_points:
            is_points = False
        elif text.strip() and not text.startswith("#"):
            line = _Line(path, number, text)
            image = line.whole("the image's number")
            pose = line.numbers(7, "quaternion and translation")
            yield ColmapImage(number=image, pose=pose, camera=line.whole("its camera"), name=line.rest("its name"))
            is_points = True


def _sensor(line: _Line) -> Sensor:
    return line.word("a sensor's type"), line.whole("its number")


def _rig(line: _Line) -> tuple[int, dict[Sensor, Pose | None]]:
    number, count = line.whole("the rig's number"), line.whole("how many sensors")
    sensors = dict[Sensor, Pose | None]()
    while line.left():
        sensor, is_first = _sensor(line), not sensors
        has_pose = not is_first and line.whole("1 if a pose follows, else 0")
        sensors[sensor] = line.numbers(7, "quaternion and translation") if has_pose else None
    if len(sensors) != count:
        raise line.fail(f"as many sensors as it says ({count})")
    return number, sensors


def _frame(line: _Line) -> ColmapFrame:
    line.whole("the frame's number")
    rig, pose = line.whole("its rig"), line.numbers(7, "quaternion and translation")
    count, images = line.whole("how many images"), []
    while line.left():
        images.append((_sensor(line), line.whole("an image's number")))
    if len(images) != count:
        raise line.fail(f"as many images as it says ({count})")
    return ColmapFrame(rig=rig, rig_from_world=pose, images=tuple(images))
