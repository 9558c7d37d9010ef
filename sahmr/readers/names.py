"""The published names, each a whole pattern, and a count of everything else that lies beside them.

A name is taken only if the *whole* pattern matches: a browser's second download, an overlay, a mask, an editor's
backup, a half-finished download and what NAS boxes and macOS leave behind are not images, bodies or recordings. They
are ignored, and counted by kind of folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sahmr.errors import RawDataError
from sahmr.readers.base import IMAGE_SUFFIXES, Ignored

SPLIT_TABLE = re.compile(r"(train|val|test)\.txt")  # formats a.2: resource/meta

# RICH, formats a.1: fixed numbers of digits. Image suffixes may be upper case, as some tools write them.
_SUFFIX = r"\.(?i:" + "|".join(suffix[1:] for suffix in IMAGE_SUFFIXES) + ")"
RICH_CAMERA = re.compile(r"cam_([0-9]{2})")  # images/<split>/<SEQ>/cam_CC
RICH_IMAGE = re.compile(rf"([0-9]{{5}})_([0-9]{{2}}){_SUFFIX}")  # FFFFF_CC.<ext>
RICH_FRAME = re.compile(r"([0-9]{5})")  # bodies/<split>/<SEQ>/FFFFF, human_scene_contact alike
RICH_BODY = re.compile(r"([0-9]{3})\.(?:ply|pkl)")  # SSS.ply, SSS.pkl
RICH_CONTACT = re.compile(r"([0-9]{3})\.(?:pkl|obj)")  # SSS.pkl, SSS.obj
RICH_CALIBRATION = re.compile(r"([0-9]{3})\.xml")  # scan_calibration/<CAP>/calibration/CCC.xml

# What a split table may name (a.1, a.2, a.4). They become paths, so nothing else is let in.
TABLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
TABLE_SUBJECT = re.compile(r"[0-9]{1,3}")
TABLE_CAMERA = re.compile(r"[0-9]{1,2}")

# PROX, formats c: <SCENE>_<SUBJECT>_<NN>; a frame is its whole stem, sNNN_frame_NNNNN__hh.mm.ss.mmm.
_SCENE, _STEM = r"[A-Za-z][A-Za-z0-9]*", r"s[0-9]{3}_frame_([0-9]{5})__[0-9]{2}\.[0-9]{2}\.[0-9]{2}\.[0-9]{3}"
PROX_RECORDING = re.compile(rf"({_SCENE})_([0-9]{{5}})_[0-9]{{2}}")
PROX_FRAME = re.compile(_STEM)
PROX_IMAGE = re.compile(rf"({_STEM}){_SUFFIX}")
PROX_PLACED = {  # folder below a part -> its files
    "cam2world": re.compile(rf"{_SCENE}\.json"),
    "scenes": re.compile(rf"{_SCENE}\.ply"),
    "sdf": re.compile(rf"{_SCENE}(?:\.json|_sdf\.npy|_normals\.npy)"),
}

_RANK = {suffix: rank for rank, suffix in enumerate(IMAGE_SUFFIXES)}
_SECOND = "second image of a frame"


@dataclass(slots=True)
class Sieve:
    """Counts what is ignored while folders are listed, and collects what cannot be settled (``problems``)."""

    root: Path
    problems: list[str] = field(default_factory=list)
    _found: dict[str, tuple[int, str]] = field(default_factory=dict)  # kind of folder -> count, first name

    def ignore(self, what: str, place: Path, names: Collection[str]) -> None:
        """Count names in a folder under the kind of that folder."""
        if names:
            first = f"{place.relative_to(self.root).as_posix()}/{min(names)}"
            count, before = self._found.get(what, (0, first))
            self._found[what] = count + len(names), min(first, before)

    def ignored(self) -> tuple[Ignored, ...]:
        """What was counted, sorted by kind."""
        return tuple(Ignored(what=what, count=n, first=first) for what, (n, first) in sorted(self._found.items()))

    def sift(self, what: str, place: Path, pattern: re.Pattern[str], *, folders: bool = False) -> list[re.Match[str]]:
        """Files (or folders) of a place whose whole name is the published one, sorted; the rest is ignored."""
        kept, rest = [], []
        for name, is_folder in entries(place):
            found = pattern.fullmatch(name) if is_folder == folders else None
            if found is None:
                rest.append(name)
            else:
                kept.append(found)
        self.ignore(what, place, rest)
        return sorted(kept, key=lambda match: match.string)

    def images(self, what: str, place: Path, pattern: re.Pattern[str]) -> dict[str, re.Match[str]]:
        """Images of a folder by stem. Of a stem's several files the first suffix of ``IMAGE_SUFFIXES`` is taken, of
        several spellings the lower case; the others are counted.
        """
        best: dict[str, re.Match[str]] = {}
        second = []
        for match in sorted(self.sift(what, place, pattern), key=lambda match: image_rank(match.string)):
            if best.setdefault(match.string.rpartition(".")[0], match) is not match:
                second.append(match.string)
        self.ignore(_SECOND, place, second)
        return best


def image_rank(name: str) -> tuple[int, bool, str]:
    """Order of preference among the files of one image."""
    suffix = name[name.rindex(".") :]
    return _RANK[suffix.lower()], not suffix.islower(), name


def entries(place: Path) -> Iterator[tuple[str, bool]]:
    """Names in a folder and whether each is a folder; an absent folder has none. Looks at no file itself.

    Links count as what they lead to, those to nowhere as files; pipes, sockets and devices are left out.

    Raises:
        RawDataError: if the folder may not be listed, or its disk fails.
    """
    try:
        with os.scandir(place) as found:
            for entry in found:
                kind = _is_folder(entry)
                if kind is not None:
                    yield entry.name, kind
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as problem:
        raise RawDataError(f"{place}: cannot be listed ({problem.strerror}); allow it, or check its disk") from None


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    try:
        return True if entry.is_dir() else False if entry.is_file() or entry.is_symlink() else None
    except OSError:  # a link that leads to itself
        return False


def has(place: Path, pattern: re.Pattern[str], *, folders: bool = False) -> bool:
    """Whether a folder holds any file (or folder) of a published name; stops at the first."""
    return any(is_folder == folders and pattern.fullmatch(name) for name, is_folder in entries(place))


def folders_of(place: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Folders of a published name, in no order."""
    return (place / name for name, is_folder in entries(place) if is_folder and pattern.fullmatch(name))


def name_some(names: Iterable[str], shown: int = 3) -> str:
    """``A, B, C ... and 59 more``."""
    every = list(names)
    more = f" ... and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more
