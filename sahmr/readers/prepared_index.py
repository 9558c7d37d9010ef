"""Indexes of the authors' prepared folders: descriptions and boxes, made on a stranger's machine.

They are pickles, in which nothing is run (:mod:`sahmr.untrusted`), with absolute paths of that machine. Of each path
only the last parts are kept, which the folders have too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sahmr.errors import RawDataError
from sahmr.files import is_plain_name
from sahmr.readers.names import entries, name_some
from sahmr.untrusted.arrays import to_array
from sahmr.untrusted.pickles import load_npy, load_pickle

Box = tuple[float, float, float, float]
SITE = "the data section of https://github.com/zju3dv/SA-HMR"
_MOST_INDEX = 1 << 28  # bytes; 15 360 descriptions of 1 kB are a sixteenth of it
_FARTHEST_PX = 1e5
_SQUARE_PX = 1.0  # how far the sides of a square box may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of an index, its files as they lie below the raw root, existing or not.

    Attributes:
        key: as the frame table has it.
        capture, scan: of its calibration and scene.
        box: full-image pixels, un-mirrored; None: the index has none.
        is_crop: the image is the crop of ``box``.
        told: path of the image in the index, for messages.
    """

    split: str
    key: str
    sequence: str
    camera: int
    frame: int
    subject: str
    gender: str
    capture: str
    scan: str
    image_file: str
    body_file: str
    contact_file: str | None
    box: Box | None
    is_crop: bool
    told: str

    @property
    def scene_key(self) -> str:
        """As the frame table has it."""
        return f"{self.capture}_{self.scan}" if self.capture else self.scan


def find_folder(places: Iterable[Path], names: Iterable[str]) -> Path | None:
    """The first of some folders, or of those right below them, that has any of these files, whatever it is called."""
    wanted = list(names)
    for place in places:
        below = sorted(place / name for name, is_folder in entries(place) if is_folder)
        for folder in (place, *below):
            if any((folder / name).is_file() for name in wanted):
                return folder
    return None


def read_index(path: Path) -> list[Mapping[str, Any]]:
    """The descriptions in an index: an object array, or a pickled list, or a pickled dict by number.

    Raises:
        RawDataError: if it is missing, damaged, empty, or holds anything else.
    """
    content = load_npy(path) if path.suffix == ".npy" else load_pickle(path, most_bytes=_MOST_INDEX)
    if isinstance(content, np.ndarray) and content.dtype.hasobject:
        content = content.ravel().tolist()
    rows = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(rows, list | tuple) or not rows or not all(isinstance(row, dict) for row in rows):
        found = f"{type(content).__name__} of {len(rows) if isinstance(rows, list | tuple) else 'no'} rows"
        raise RawDataError(f"{path}: must hold descriptions (dicts) of frames, found {found}; fetch it again: {SITE}")
    return list(rows)


def read_boxes(path: Path) -> dict[str, Box]:
    """A pickled dict of boxes (left, top, right, bottom) by ``img_key``.

    Raises:
        RawDataError: if it is missing, damaged, or holds anything else.
    """
    content = load_pickle(path, most_bytes=_MOST_INDEX)
    if not isinstance(content, dict):
        raise RawDataError(f"{path}: must hold a dict of boxes, found {type(content).__name__}; fetch it again: {SITE}")
    return {str(key): read_box(f"{path}, '{str(key)[:80]}'", value) for key, value in content.items()}


def read_box(where: str, value: Any) -> Box:
    """(left, top, right, bottom), pixels, in order.

    Raises:
        RawDataError: if it is anything else.
    """
    try:
        sides = np.asarray(to_array(value), dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        sides = np.zeros(0)
    if sides.shape != (4,) or not (np.abs(sides) < _FARTHEST_PX).all() or not (sides[:2] < sides[2:]).all():
        raise RawDataError(
            f"{where}: a box is {str(value)[:80]}; allowed: left < right and top < bottom, pixels; fetch it again"
        )
    left, top, right, bottom = map(float, sides)
    return left, top, right, bottom


def check_square(where: str, box: Box) -> Box:
    """The same box.

    Raises:
        RawDataError: if its sides differ.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    if abs(width - height) > _SQUARE_PX:
        raise RawDataError(f"{where}: the box of a crop must be square, it is {width:.1f} x {height:.1f} pixels")
    return box


def text_of(where: str, row: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> re.Match[str]:
    """A text of a description that matches a pattern wholly: most become paths.

    Raises:
        RawDataError: if it is missing or does not.
    """
    value = row.get(key)
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise RawDataError(f"{where}: '{key}' is {str(value)[:80]!r}, allowed: {pattern.pattern}; fetch it again")
    return found


def last_parts(where: str, row: Mapping[str, Any], key: str, count: int, after: str = "") -> str:
    """The end of a foreign machine's path: what follows a folder's name, if it is there, else the last ``count`` parts.

    Raises:
        RawDataError: if there is no such path, or its end leads elsewhere.
    """
    value = row.get(key)
    text = str(value).replace("\\", "/") if isinstance(value, str) else ""
    _, found, end = text.rpartition(f"/{after}/") if after else ("", "", "")
    name = end if found else "/".join(text.split("/")[-count:])
    if not is_plain_name(name) or (not found and name.count("/") + 1 < count):
        raise RawDataError(
            f"{where}: '{key}' is {str(value)[:120]!r}, allowed: a path that ends in {count} plain names"
        )
    return name


def tell_missing(
    root: Path, what: str, split: str, found: Iterable[tuple[Entry, str | None]], remedy: str
) -> Iterator[str]:
    """One line about the files of a kind that the entries of a split name and that are not there, or none."""
    rows = [(entry, file) for entry, file in found if file is not None]
    missing = [(entry, file) for entry, file in rows if not (root / file).is_file()]
    if missing:
        entry, file = missing[0]
        told = f"; its index has {entry.told}, looked for as {root / file}" if len(missing) == len(rows) else ""
        yield (
            f"{len(missing)} of {len(rows)} {what} that the index of split '{split}' names are absent below {root}: "
            f"{name_some(sorted({file for _, file in missing}))}{told}; {SITE}; {remedy}"
        )
