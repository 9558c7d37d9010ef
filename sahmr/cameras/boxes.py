"""Boxes round people in photographs: by hand, checked against the image, and the one that is meant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.errors import RawDataError

Box = tuple[float, float, float, float]
LEAST_SIDE_PX = 8  # of a box's larger side: below, a crop shows no person
_LISTED = 12  # boxes that a message lists


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonBox:
    """A box round one person.

    Attributes:
        image: the photograph's name as the file has it, with ``/`` between folders. A stranger's text.
        box: (left, top, right, bottom), pixels of the full image; (0, 0) is the *centre* of the first pixel.
        person: who it is, as the file has it; empty where it does not say.
        score: a detector's, 0 to 1; None where there is none.
        image_size: (width, height) that the file states for the photograph; None where it does not.
        place: file and row, for messages.
    """

    image: str
    box: Box
    person: str
    score: float | None
    image_size: tuple[int, int] | None
    place: str


def parse_box(text: str) -> Box:
    """``left,top,right,bottom`` of a command line.

    Raises:
        RawDataError: if it is not four finite numbers.
    """
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise RawDataError(
            f"--box: found {text[:80]!r}; allowed: four numbers x0,y0,x1,y1: left, top, right and bottom in pixels"
        )
    return numbers[0], numbers[1], numbers[2], numbers[3]


def check_box(place: str, box: Box, size: tuple[int, int]) -> None:
    """Insist that a box has an area and that its centre lies in the image; it may reach over the border.

    That is the rule ``visibility`` of the data sets.

    Args:
        place: begins the message.
        box: pixels of the full image.
        size: (width, height) of the image.

    Raises:
        RawDataError: saying what it may be instead: width and height for right and bottom, shares of the image, a box
            of another image size.
    """
    left, top, right, bottom = box
    found = f"{place}: the box {told(box)}"
    is_share = all(-0.5 <= number <= 1.5 for number in box) and max(box) > 0
    if is_share:
        raise RawDataError(
            f"{found} is smaller than two pixels; allowed: pixels of the {size[0]}x{size[1]} image; it looks like "
            f"shares of the image: multiply by {size[0]} and {size[1]}"
        )
    if right <= left or bottom <= top:
        looks = "it looks like left, top, width, height" if min(right, bottom) > 0 else "exchange its corners"
        raise RawDataError(f"{found} has no area; allowed: left < right and top < bottom; {looks}")
    if max(right - left, bottom - top) < LEAST_SIDE_PX:
        raise RawDataError(f"{found} is smaller than {LEAST_SIDE_PX} pixels; allowed: a box that shows a person")
    x, y = (left + right) / 2, (top + bottom) / 2
    if not (0 <= x <= size[0] - 1 and 0 <= y <= size[1] - 1):
        is_outside = right < 0 or bottom < 0 or left > size[0] - 1 or top > size[1] - 1
        raise RawDataError(
            f"{found} {'lies outside' if is_outside else 'has its centre outside'} the image of {size[0]}x{size[1]}; "
            "allowed: a centre inside; it may be in pixels of another size of the image"
        )


def check_image_size(box: PersonBox, size: tuple[int, int]) -> None:
    """Raise RawDataError if the box's file states another (width, height) for the photograph than it has."""
    if box.image_size is not None and box.image_size != size:
        raise RawDataError(
            f"{box.place}: says {box.image} has {box.image_size[0]}x{box.image_size[1]} pixels, the photograph has "
            f"{size[0]}x{size[1]}; allowed: boxes in pixels of the photograph; detect again, or give the original"
        )


def boxes_of(boxes: Sequence[PersonBox], image: Path | str) -> tuple[PersonBox, ...]:
    """The boxes of one photograph, in the order of the file.

    A name of the file means a photograph whose path ends in it: ``a/1.jpg`` is ``day/a/1.jpg``, not ``b/1.jpg``.
    """
    parts = Path(image).parts
    return tuple(box for box in boxes if _parts(box.image) == parts[-len(_parts(box.image)) :])


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts


def choose_person(place: str, boxes: Sequence[PersonBox], person: int | None, *, image: str) -> PersonBox:
    """The one box that is meant.

    Args:
        place: the file of boxes, or the detector, for messages.
        boxes: of the photograph.
        person: its number from 1 on; None: there must be one.
        image: the photograph's name.

    Raises:
        RawDataError: if there is no box, or several and none was chosen: it lists them with their scores.
    """
    if not boxes:
        raise RawDataError(f"{place}: no person in {image}; give --box x0,y0,x1,y1")
    if person is None and len(boxes) == 1:
        return boxes[0]
    if person is not None and 1 <= person <= len(boxes):
        return boxes[person - 1]
    found = "; ".join(f"{number}: {_listed(box)}" for number, box in enumerate(boxes[:_LISTED], start=1))
    more = f"; and {len(boxes) - _LISTED} more" if len(boxes) > _LISTED else ""
    asked = "" if person is None else f"--person {person}; "
    raise RawDataError(
        f"{place}: {asked}{len(boxes)} {'people' if len(boxes) > 1 else 'person'} in {image} ({found}{more}); choose "
        f"one with --person 1{f' to {len(boxes)}' if len(boxes) > 1 else ''}, or give --box x0,y0,x1,y1"
    )


def _listed(box: PersonBox) -> str:
    name = f"{box.person!r} " if box.person else ""
    return f"{name}{told(box.box)}{'' if box.score is None else f' score {box.score:.2f}'}"


def told(box: Box) -> str:
    """As a command line has it, in tenths of a pixel."""
    return ",".join(f"{number:.1f}".removesuffix(".0") for number in box)


def as_array(box: Box) -> Float[ndarray, "4"]:
    """As the crop takes it."""
    return np.array(box, dtype=np.float64)
