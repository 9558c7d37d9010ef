"""Which people are in which photographs and video frames of a scene: boxes and bodies, joined by names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sahmr.cameras.box_files import read_boxes
from sahmr.cameras.boxes import PersonBox
from sahmr.errors import RawDataError
from sahmr.readers.own_files import is_video
from sahmr.readers.own_layout import IMAGES, SceneFolder, body_names, image_names

_NUMBER = re.compile(r"[0-9]+")
_FRAME = re.compile(r"[0-9]{1,9}")
_LARGEST = 2**31 - 1
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A photograph, or a frame of a video.

    Attributes:
        file: relative to the scene's folder.
        stem: below ``images``, without suffix; a video's frames have their number in it: ``cam0/000123``.
        group: folder or video it is of, below ``images``; empty: none.
        frame: its number: the last in its name, else its place in the group.
        is_video: a frame of a video, whose ``frame`` is the number to decode.
    """

    file: str
    stem: str
    group: str
    frame: int
    is_video: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A person in a picture: a box, a body, or both.

    Attributes:
        person: as boxes or body name it, or their place; empty: the only one.
        body: mesh file, relative to the scene's folder; None: no ground truth.
    """

    picture: Picture
    person: str
    box: PersonBox | None
    body: str | None

    def key(self, scene: str) -> str:
        """Of the person-image: letters, digits, _ and -."""
        parts = [scene, self.picture.stem, *([self.person] if self.person else [])]
        return _NOT_IN_KEYS.sub("-", "_".join(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """Of a scene.

    Attributes:
        shots: sorted by picture.
        dropped: rule -> count: ``no_box`` photographs without box and body, ``no_image`` bodies without a picture.
        without_image: names in the file of boxes that are no picture's.
    """

    shots: tuple[Shot, ...]
    dropped: Mapping[str, int]
    without_image: tuple[str, ...]


def find_shots(scene: SceneFolder) -> Shots:
    """Join a scene's pictures, boxes and bodies.

    Raises:
        RawDataError: as :func:`read_boxes`, or if a box's name is that of several pictures.
    """
    files = sorted(image_names(scene))
    boxes, bodies = _Boxes(scene), _Bodies(body_names(scene))
    pictures = [*_photographs(name for name in files if not is_video(name))]
    taken = [(picture, boxes.of(picture.file), bodies.of(picture.stem)) for picture in pictures]
    for file in (name for name in files if is_video(name)):
        for number in sorted({*boxes.frames(file), *bodies.frames(file)}):
            picture = _frame(file, number)
            taken.append((picture, boxes.of_frame(file, number), bodies.of_frame(file, number)))
    shots = [shot for picture, found, meshes in taken for shot in _people(picture, found, meshes)]
    seen = {shot.picture.stem for shot in shots}
    dropped = {
        "no_box": sum(picture.stem not in seen for picture in pictures),
        "no_image": bodies.left(),
    }
    return Shots(
        shots=tuple(sorted(shots, key=lambda shot: (shot.picture.stem, shot.person))),
        dropped=dropped,
        without_image=boxes.left(),
    )


def _photographs(files: Iterable[str]) -> Iterator[Picture]:
    places = Counter[str]()
    for file in files:
        group = PurePosixPath(file).parent.as_posix().removeprefix(IMAGES).removeprefix("/")
        numbers = _NUMBER.findall(PurePosixPath(file).stem)
        number = int(numbers[-1]) if numbers and len(numbers[-1]) < 20 else _LARGEST + 1
        stem = file.removeprefix(f"{IMAGES}/").rpartition(".")[0]
        frame = number if number <= _LARGEST else places[group]
        yield Picture(file=file, stem=stem, group=group, frame=frame, is_video=False)
        places[group] += 1


def _frame(file: str, number: int) -> Picture:
    video = file.removeprefix(f"{IMAGES}/").rpartition(".")[0]
    return Picture(file=file, stem=f"{video}/{number:06d}", group=video, frame=number, is_video=True)


def _people(picture: Picture, boxes: Sequence[PersonBox], bodies: Mapping[str, str]) -> Iterator[Shot]:
    if not boxes:
        for person, body in sorted(bodies.items()):
            yield Shot(picture=picture, person=person, box=None, body=body)
        return
    is_alone = len(boxes) == 1 and len(bodies) <= 1
    for place, box in enumerate(boxes):
        person = box.person or ("" if len(boxes) == 1 else str(place))
        mesh = next(iter(bodies.values()), None) if is_alone else bodies.get(person)
        yield Shot(picture=picture, person=person, box=box, body=mesh)


def _tails(path: str) -> Iterator[str]:
    """``images/a/1``, ``a/1``, ``1``."""
    parts = path.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


class _Boxes:
    """Boxes by the name that their file has for the picture; finds each once."""

    def __init__(self, scene: SceneFolder) -> None:
        self._place = scene.path / (scene.boxes or "")
        self._rows: dict[str, list[PersonBox]] = {}
        self._owner: dict[str, str] = {}  # name in the file -> the picture that it means
        self._frames: dict[str, dict[int, list[str]]] = {}  # folder in a name -> number -> names
        for box in read_boxes(self._place).people if scene.boxes else ():
            self._rows.setdefault(box.image, []).append(box)
        for name in self._rows:
            folder, _, last = name.rpartition("/")
            number = last.partition(".")[0]
            if folder and _FRAME.fullmatch(number):
                self._frames.setdefault(folder, {}).setdefault(int(number), []).append(name)

    def of(self, file: str) -> list[PersonBox]:
        """Boxes of a photograph."""
        return self._claim(file, [name for name in self._folders(file) if name in self._rows])

    def frames(self, file: str) -> set[int]:
        """Numbers of a video's frames that have boxes."""
        return {number for folder in self._folders(file) for number in self._frames.get(folder, ())}

    def of_frame(self, file: str, number: int) -> list[PersonBox]:
        """Boxes of a video's frame, called ``cam0/000123``, ``cam0/123.png`` or ``cam0.mp4/123``."""
        names = [name for folder in self._folders(file) for name in self._frames.get(folder, {}).get(number, ())]
        return self._claim(f"{file}, frame {number}", names)

    def left(self) -> tuple[str, ...]:
        """Names that are no picture's."""
        return tuple(sorted(set(self._rows) - set(self._owner)))

    @staticmethod
    def _folders(file: str) -> list[str]:
        return [name for tail in _tails(file) for name in (tail, tail.rpartition(".")[0])]

    def _claim(self, picture: str, names: Iterable[str]) -> list[PersonBox]:
        found = []
        for name in dict.fromkeys(names):
            other = self._owner.setdefault(name, picture)
            if other != picture:
                raise RawDataError(
                    f"{self._place}: {name[:80]!r} could be {other} or {picture}; allowed: names of one picture; write "
                    "its folder too"
                )
            found += self._rows[name]
        return found


class _Bodies:
    """Mesh files by picture and person; finds each once."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._of: dict[str, dict[str, str]] = {}
        self._frames: dict[str, dict[int, dict[str, str]]] = {}
        self._used = set[str]()
        self._all = frozenset(names.values())
        for stem, file in names.items():
            folder, _, last = stem.rpartition("/")
            picture, _, person = last.partition(".")
            self._of.setdefault(stem, {})[""] = file
            if person:
                self._of.setdefault("/".join([*([folder] if folder else []), picture]), {})[person] = file
            if _FRAME.fullmatch(picture):
                self._frames.setdefault(folder, {}).setdefault(int(picture), {})[person] = file

    def of(self, stem: str) -> Mapping[str, str]:
        """Of a photograph: person -> file."""
        return self._use(self._of.get(stem, {}))

    def frames(self, file: str) -> set[int]:
        """Numbers of a video's frames that have bodies."""
        return set(self._frames.get(self._video(file), ()))

    def of_frame(self, file: str, number: int) -> Mapping[str, str]:
        """Of a video's frame: person -> file."""
        return self._use(self._frames.get(self._video(file), {}).get(number, {}))

    def left(self) -> int:
        """How many are no picture's."""
        return len(self._all - self._used)

    @staticmethod
    def _video(file: str) -> str:
        return file.removeprefix(f"{IMAGES}/").rpartition(".")[0]

    def _use(self, found: Mapping[str, str]) -> Mapping[str, str]:
        self._used.update(found.values())
        return found
