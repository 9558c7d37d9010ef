"""All people in a photograph: the detector looks at windows of three sizes, and at each person once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from sahmr.cameras.boxes import PersonBox
from sahmr.detect.decode import INPUT_PX, Circles, boxes_round, one_each

Look = Callable[[UInt8[ndarray, "side side 3"], float], Circles]
LEAST_SCORE = 0.7  # of a person: the demo's pictures have one false in 200 images there, one in 3 at 0.5
_LEAST_AGAIN = 0.3  # of the second look, which confirms and places the circle
_HALVINGS = 2  # of the window: the network was made for people who fill half of its picture
_STRIDE = 0.6  # of a window's side: whoever is smaller than the rest is whole in some window
_AGAIN = 1.5  # side of the second look's window in diameters of the circle
_NEAR = 0.5  # of the radius: a second look that finds its hip farther off has found somebody else

Window = tuple[int, int, int]  # left, top, side; pixels


def find_people(image: UInt8[ndarray, "height width 3"], name: str, look: Look) -> tuple[PersonBox, ...]:
    """Boxes of all people, the surest first, with scores; none is an answer too.

    Args:
        image: RGB, the photograph as taken.
        name: of the photograph, for the boxes.
        look: see :meth:`sahmr.detect.network.Network.look`.
    """
    small, scale = _reduced(image)
    found = [_seen(small, window, look, LEAST_SCORE) for window in windows(small.shape[1], small.shape[0])]
    people = one_each(_joined(found).moved(scale, (scale - 1) / 2, (scale - 1) / 2))
    people = one_each(_joined([_again(image, people.take(np.array([row])), look) for row in range(len(people))]))
    boxes = zip(boxes_round(people).tolist(), people.score.tolist(), strict=True)
    return tuple(
        PersonBox(image=name, box=(box[0], box[1], box[2], box[3]), person="", score=score, image_size=None,
                  place=f"{name}, person {number} of the detector")
        for number, (box, score) in enumerate(boxes, start=1)
    )  # fmt: skip


def windows(width: int, height: int) -> Iterator[Window]:
    """Squares that cover an image: all of it in one, then with half the side, and with a quarter."""
    for halving in range(_HALVINGS + 1):
        side = max(1, max(width, height) >> halving)
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield left, top, side


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [(length - side) // 2]
    count = int(np.ceil((length - side) / (_STRIDE * side))) + 1
    return [round(start) for start in np.linspace(0, length - side, count).tolist()]


def _reduced(image: UInt8[ndarray, "height width 3"]) -> tuple[UInt8[ndarray, "rows columns 3"], float]:
    """The image with smallest windows of the network's size, if it is larger; and the factor back."""
    height, width = image.shape[:2]
    scale = max(width, height) / (INPUT_PX << _HALVINGS)
    if scale <= 1:
        return image, 1.0
    size = round(width / scale), round(height / scale)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), width / size[0]


def _seen(image: UInt8[ndarray, "height width 3"], window: Window, look: Look, least_score: float) -> Circles:
    """People in a window, pixels of the image; (0, 0) is the first pixel's centre. Black outside, as in training."""
    left, top, side = window
    height, width = image.shape[:2]
    rows, columns = slice(max(0, top), min(height, top + side)), slice(max(0, left), min(width, left + side))
    square = np.zeros((side, side, 3), dtype=np.uint8)
    square[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = image[rows, columns]
    how = cv2.INTER_AREA if side > INPUT_PX else cv2.INTER_LINEAR
    picture = cv2.resize(square, (INPUT_PX, INPUT_PX), interpolation=how)
    return look(picture, least_score).moved(side, left - 0.5, top - 0.5)


def _again(image: UInt8[ndarray, "height width 3"], person: Circles, look: Look) -> Circles:
    """One person placed better, by a window made for them; their score stays. Nobody, if it shows nobody there."""
    radius = float(person.radius[0])
    side = max(1, round(2 * radius * _AGAIN))
    left, top = (round(middle - side / 2) for middle in person.hip[0].tolist())
    found = _seen(image, (left, top, side), look, _LEAST_AGAIN)
    near = np.flatnonzero(np.hypot(*(found.hip - person.hip).T) < _NEAR * radius)
    best = found.take(near[np.argsort(-found.score[near], kind="stable")[:1]])
    return Circles(hip=best.hip, rim=best.rim, score=person.score[: len(best)])


def _joined(parts: list[Circles]) -> Circles:
    parts = [Circles(hip=np.zeros((0, 2)), rim=np.zeros((0, 2)), score=np.zeros(0)), *parts]
    return Circles(
        hip=np.concatenate([part.hip for part in parts]),
        rim=np.concatenate([part.rim for part in parts]),
        score=np.concatenate([part.score for part in parts]),
    )
