"""Boxes round people out of files: a table (CSV), or COCO JSON, as detectors and annotators write them."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sahmr.cameras.boxes import Box, PersonBox
from sahmr.cameras.json_fields import need_matrix, need_number, need_object, need_side
from sahmr.errors import RawDataError
from sahmr.untrusted.texts import read_json, read_text

SUFFIXES = (".csv", ".json")
_MOST_BYTES = 1 << 28  # 300 000 annotations of COCO with outlines have 470 MB, those of a detector a tenth
_PERSON = "person"  # name of the category in COCO, where it has the number 1
_CORNERS = (("left", "top", "right", "bottom"), ("x0", "y0", "x1", "y1"))
_SIDES = ("left", "top", "width", "height")
_OTHERS = ("person", "score")  # columns that may be absent
_HALF = 0.5  # of a pixel: COCO counts from the first pixel's corner


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """What a file of boxes holds.

    Attributes:
        people: one for each person-image, in the order of the file.
        left_out: why -> how many of its boxes are not among them.
    """

    people: tuple[PersonBox, ...]
    left_out: Mapping[str, int]

    @property
    def told(self) -> str:
        """For people: how many boxes, and which were left out."""
        without = ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))
        return f"{len(self.people)} boxes" + (f"; left out: {without}" if without else "")


def read_boxes(path: Path) -> Boxes:
    """All boxes of a table or of COCO JSON. Several of one photograph are several people.

    Table: comma-separated, a first line of names: ``image``; ``left,top,right,bottom`` (or ``x0,y0,x1,y1``) or
    ``left,top,width,height``; and, if wanted, ``person`` and ``score``. Pixels, (0, 0) is the first pixel's centre.

    COCO: ``images`` and ``annotations`` with ``bbox`` (left, top, width, height from the first pixel's *corner*: half
    a pixel is taken off). Annotations of other categories than "person" and of crowds are left out and counted.

    Raises:
        RawDataError: if it is missing or damaged, a name, number or column is missing, unknown or given twice, or it
            has no box.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise RawDataError(f"{path}: boxes are not read from {suffix or 'a file without suffix'}; allowed: "
                           "a table (.csv), or COCO (.json)")  # fmt: skip
    found = _read_table(path) if suffix == ".csv" else _read_coco(path)
    if not found.people:
        raise RawDataError(f"{path}: holds no box of a person ({found.told}); add one")
    return found


def _read_table(path: Path) -> Boxes:
    text = read_text(path, remedy="write it as text")
    try:
        rows = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as problem:
        raise RawDataError(f"{path}: not a table ({problem}); write it with commas and closed quotes") from None
    names, columns = _columns(path, rows)
    people = []
    for number, row in enumerate(rows[1:], start=2):
        place = f"{path}, line {number}"
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            raise RawDataError(f"{place}: {len(row)} values; allowed: {len(names)}, as its first line; correct it")
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        a, b, c, d = (_number(place, cells, name) for name in columns)
        box = (a, b, a + c, b + d) if columns == _SIDES else (a, b, c, d)
        score = _number(place, cells, "score") if cells.get("score") else None
        image, who = _name(place, cells["image"]), cells.get("person", "")
        people.append(PersonBox(image=image, box=box, person=who, score=score, image_size=None, place=place))
    return Boxes(people=tuple(people), left_out={})


def _columns(path: Path, rows: Sequence[Sequence[str]]) -> tuple[list[str], tuple[str, ...]]:
    """All names, and those of the box's four numbers."""
    names = [name.strip().lower() for name in rows[0]] if rows else []
    columns = next((each for each in (*_CORNERS, _SIDES) if set(each) <= set(names)), None)
    wanted = {"image", *_OTHERS, *(columns or ())}
    if columns is None or "image" not in names or len(set(names)) < len(names) or not set(names) <= wanted:
        found = f"its first line is {','.join(rows[0])[:100]!r}" if rows else "has no lines"
        raise RawDataError(
            f"{path}: {found}; allowed: image,left,top,right,bottom (or x0,y0,x1,y1; or left,top,width,height), each "
            "once, and if wanted person,score; correct it, leave other columns out"
        )
    return names, columns


def _number(place: str, cells: Mapping[str, str], name: str) -> float:
    try:
        value = float(cells[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RawDataError(f"{place}: {name} is {cells[name][:40]!r}; allowed: a number; correct it")
    return value


def _name(place: str, name: Any) -> str:
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 1000:
        raise RawDataError(
            f"{place}: a photograph has the name {str(name)[:40]!r}; allowed: printable text; correct it"
        )
    return name.replace("\\", "/").removeprefix("./")


def _read_coco(path: Path) -> Boxes:
    content = read_json(path, most_bytes=_MOST_BYTES)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise RawDataError(
            f"{path}: no COCO file: allowed: an object with the lists 'images' and 'annotations'; a list of results "
            "alone does not name its photographs: put it there as 'annotations'"
        )
    images, categories = _images(path, content["images"]), _person_categories(path, content.get("categories"))
    people, left_out = [], Counter[str]()
    for number, item in enumerate(content["annotations"], start=1):
        place = f"{path}, annotation {number}"
        row = need_object(place, item)
        if _key(place, row, "category_id") not in categories:
            left_out["of another category than person"] += 1
        elif row.get("iscrowd"):
            left_out["of a crowd"] += 1
        else:
            people.append(_person(place, row, images))
    return Boxes(people=tuple(people), left_out=dict(left_out))


def _person(place: str, row: Mapping[str, Any], images: Mapping[int, tuple[str, tuple[int, int] | None]]) -> PersonBox:
    image = images.get(_key(place, row, "image_id"))
    if image is None:
        raise RawDataError(f"{place}: 'image_id' is {row['image_id']!s:.40}, which no image has; export it again")
    left, top, width, height = need_matrix(f"{place}, 'bbox'", row.get("bbox"), [(4,)]).tolist()
    box: Box = (left - _HALF, top - _HALF, left + width - _HALF, top + height - _HALF)
    score = need_number(place, row, "score") if "score" in row else None
    track = row.get("track_id", row.get("person_id", ""))
    return PersonBox(image=image[0], box=box, person=str(track)[:80], score=score, image_size=image[1], place=place)


def _images(path: Path, rows: Sequence[Any]) -> dict[int, tuple[str, tuple[int, int] | None]]:
    """Number -> name and stated size."""
    made = dict[int, tuple[str, tuple[int, int] | None]]()
    for number, item in enumerate(rows, start=1):
        place = f"{path}, image {number}"
        row = need_object(place, item)
        key = _key(place, row, "id")
        if key in made:
            raise RawDataError(f"{place}: 'id' is {key}, as of another image; allowed: each once; export it again")
        has_size = "width" in row and "height" in row
        size = (need_side(place, row, "width"), need_side(place, row, "height")) if has_size else None
        made[key] = (_name(place, row.get("file_name")), size)
    return made


def _person_categories(path: Path, rows: Any) -> frozenset[int]:
    """Numbers of the categories that are people; COCO's own 1 where the file has no categories."""
    if rows is None:
        return frozenset({1})
    if not isinstance(rows, list):
        raise RawDataError(f"{path}: 'categories' is no list; allowed: COCO's; export it again")
    named = {}
    for number, item in enumerate(rows, start=1):
        row = need_object(f"{path}, category {number}", item)
        named[_key(f"{path}, category {number}", row, "id")] = str(row.get("name", "")).lower()
    found = frozenset(key for key, name in named.items() if name == _PERSON)
    if not found:
        names = ", ".join(sorted(named.values())[:8])[:100]
        raise RawDataError(f"{path}: no category {_PERSON!r} among {names or 'none'}; name the people's so")
    return found


def _key(place: str, row: Mapping[str, Any], key: str) -> int:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RawDataError(f"{place}: '{key}' is {value!s:.40}; allowed: a whole number; export it again")
    return value
