"""What the detector's raw output means: anchors, circles round people, and one circle for each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

INPUT_PX = 224  # side of the picture that the network takes
# Strides of its grids and anchors in each cell; three layers of stride 32 share their cells. mediapipe's
# pose_detection_cpu.pbtxt: strides 8, 16, 32, 32, 32, aspect 1 and one between two scales, so two a layer.
_GRIDS = ((8, 2), (16, 2), (32, 6))
_HIP, _RIM = 0, 1  # numbers of the key points: middle of the hips; a point above the head on the body's circle
_FIRST_POINT = 4  # columns of a row before the key points: centre and size of the face
_REACH = 0.95  # of the circle's radius that a body reaches along its axis, and
_GIRTH = 0.3  # across it. From the demo's pictures: its tightest boxes
_SAME_OVERLAP = 0.3  # of two boxes, intersection over union; mediapipe's
_SAME_PART = 0.7  # of a box inside a surer one: an upper body by itself, or somebody nearly hidden
_SAME_PLACE = 0.3  # of the larger radius: hips that near are one person's


@dataclass(frozen=True, slots=True, kw_only=True)
class Circles:
    """Circles round whole bodies, in pixels of any one frame; the frame's convention is the caller's.

    Attributes:
        hip: middle of the hips: the circle's centre.
        rim: where the body's axis, hips to head, meets the circle.
        score: 0 to 1.
    """

    hip: Float[ndarray, "n 2"]
    rim: Float[ndarray, "n 2"]
    score: Float[ndarray, " n"]

    @property
    def radius(self) -> Float[ndarray, " n"]:
        """Half of what a stretched body measures."""
        found: Float[ndarray, " n"] = np.hypot(*(self.rim - self.hip).T)
        return found

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: Int[ndarray, " m"]) -> Circles:
        """Some of them, in that order."""
        return Circles(hip=self.hip[rows], rim=self.rim[rows], score=self.score[rows])

    def moved(self, scale: float, left: float, top: float) -> Circles:
        """In another frame: scaled, then moved."""
        return Circles(hip=self.hip * scale + (left, top), rim=self.rim * scale + (left, top), score=self.score)


@cache
def anchors() -> Float[ndarray, "anchors 2"]:
    """Centres of the anchors as the network numbers them, shares of its picture: row by row, 2254 of them."""
    made = []
    for stride, count in _GRIDS:
        side = INPUT_PX // stride
        center = (np.arange(side) + 0.5) / side
        x, y = np.meshgrid(center, center)  # [side, side] each; rows have one y
        made.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    return np.concatenate(made)


def decode(rows: Float[ndarray, "anchors 12"], logits: Float[ndarray, " anchors"], least_score: float) -> Circles:
    """The network's answer as circles, shares of its picture.

    Args:
        rows: of each anchor the face's centre and size and four points, pixels from the anchor's centre.
        logits: of each anchor.
        least_score: circles with less are left out.
    """
    # least = 1 / (1 + exp(-logit)), turned round: no overflow, and few rows are left.
    kept = np.flatnonzero(logits >= np.log(least_score / (1 - least_score)))
    points = rows[kept, _FIRST_POINT:].reshape(-1, 4, 2).astype(np.float64) / INPUT_PX + anchors()[kept, None]
    score = 1 / (1 + np.exp(-logits[kept].astype(np.float64)))
    return Circles(hip=points[:, _HIP], rim=points[:, _RIM], score=score)


def boxes_round(circles: Circles) -> Float[ndarray, "n 4"]:
    """(left, top, right, bottom) round the bodies: an upright one is high and narrow, a lying one flat."""
    axis = np.abs(circles.rim - circles.hip)  # [n, 2]
    half = _REACH * (axis + _GIRTH * axis[:, ::-1])
    return np.concatenate([circles.hip - half, circles.hip + half], axis=1)


def one_each(circles: Circles) -> Circles:
    """The best circle of every person, best first: of those that mean the same one, the others are left out."""
    order = np.argsort(-circles.score, kind="stable")
    boxes, radius, kept = boxes_round(circles), circles.radius, list[int]()
    for row in order.tolist():
        is_same = np.hypot(*(circles.hip[kept] - circles.hip[row]).T) < _SAME_PLACE * np.maximum(
            radius[kept], radius[row]
        )
        is_same |= overlaps(boxes[row], boxes[kept]) > _SAME_OVERLAP
        is_same |= _shared(boxes[row], boxes[kept]) > _SAME_PART * _areas(boxes[row])
        if not is_same.any():
            kept.append(row)
    return circles.take(np.array(kept, dtype=np.int64))


def overlaps(box: Float[ndarray, "4"], others: Float[ndarray, "n 4"]) -> Float[ndarray, " n"]:
    """Intersection over union of a box and others."""
    shared = _shared(box, others)
    found: Float[ndarray, " n"] = shared / (_areas(others) + _areas(box) - shared)
    return found


def _shared(box: Float[ndarray, "4"], others: Float[ndarray, "n 4"]) -> Float[ndarray, " n"]:
    """Areas of the intersections."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])  # [n, 2]
    found: Float[ndarray, " n"] = sides.clip(0).prod(axis=1)
    return found


def _areas(boxes: Float[ndarray, "*n 4"]) -> Float[ndarray, "*n"]:
    found: Float[ndarray, "*n"] = np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(axis=-1))
    return found
