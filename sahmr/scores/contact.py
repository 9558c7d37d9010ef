"""Scene points said to be touched against those that are: precision, recall and F1 within five centimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree
from torch import Tensor

from sahmr.dimensions import NUM_PARTS
from sahmr.targets import CONTACT_DISTANCE_M

HIT_M = 0.05  # ours: a foot is twice as wide, and voxels are 2 cm apart
# Ids 1..7 of the published table, which calls the first two legs; 0 is the rest of the body, which no prediction names.
PART_NAMES = ("left_foot", "right_foot", "left_hand", "right_hand", "back", "gluteus", "thighs")
_APART_M = 10.0  # of points of different parts, along a fourth axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """Scene points that are touched, or said to be. Camera frame, metres.

    Attributes:
        xyz: the points.
        part: id 0..7 of the body part that touches each.
    """

    xyz: Float[ndarray, "points 3"]
    part: Int[ndarray, " points"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactScores:
    """Of one person-image.

    Attributes:
        precision, recall, f1: 0..1; NaN where not defined.
        parts: by part 1..7: predicted points, of these right ones; true points, of these found ones.
    """

    precision: float
    recall: float
    f1: float
    parts: Int[ndarray, "7 4"]


def touching_vertices(
    contact: Bool[ndarray, "6890"] | None, part: Int[Tensor, " 6890"], ignored_parts: tuple[int, ...] = ()
) -> Bool[Tensor, " 6890"]:
    """The labelled vertices; without labels those of the contact-prone parts, as in :mod:`sahmr.targets`.

    Args:
        contact: True where a vertex touches the scene; None: unknown.
        part: part id 0..7 of each vertex.
        ignored_parts: ids that never count, where labels are unknown.
    """
    if contact is not None:
        return torch.from_numpy(contact)
    return (part > 0) & ~torch.isin(part, torch.tensor(ignored_parts, dtype=part.dtype))


def true_contacts(
    scene: Float[ndarray, "points 3"],
    vertices: Float[ndarray, "6890 3"],
    touching: Bool[ndarray, " 6890"],
    part: Int[ndarray, " 6890"],
) -> Contacts:
    """Scene points nearer than 0.07 m (the targets' distance) to a touching vertex, with the part of the nearest.

    Args:
        scene: the points a crop can see, camera frame, metres.
        vertices: of the true mesh, same frame.
        touching: which of them touch; may be none.
        part: part id 0..7 of each.
    """
    if not touching.any() or not len(scene):
        return Contacts(xyz=scene[:0], part=part[:0])
    distance, nearest = cKDTree(vertices[touching]).query(scene, distance_upper_bound=CONTACT_DISTANCE_M)
    is_near = distance < CONTACT_DISTANCE_M  # infinite where there is none
    return Contacts(xyz=scene[is_near], part=part[touching][nearest[is_near]])


def contact_scores(predicted: Contacts, true: Contacts) -> ContactScores:
    """Who has a point of the others within 0.05 m; of the parts: a point of the same part.

    Precision is not defined where nothing is predicted, nothing is where nothing is touched. F1 is 0 where nothing that
    is predicted is right.
    """
    right, found = _within(predicted.xyz, true.xyz), _within(true.xyz, predicted.xyz)
    precision = right.mean() if len(right) else np.nan
    recall = found.mean() if len(found) else np.nan
    total = precision + recall
    f1 = 0.0 if not len(right) or total == 0 else 2 * precision * recall / total
    if not len(found):
        precision = f1 = np.nan
    return ContactScores(precision=float(precision), recall=float(recall), f1=float(f1), parts=_parts(predicted, true))


def _parts(predicted: Contacts, true: Contacts) -> Int[ndarray, "7 4"]:
    ours, theirs = (np.column_stack([each.xyz, each.part * _APART_M]) for each in (predicted, true))
    right, found = _within(ours, theirs), _within(theirs, ours)

    def count(part: Int[ndarray, " points"]) -> Int[ndarray, " parts"]:
        return np.bincount(part, minlength=NUM_PARTS)[1:]

    of_each = (predicted.part, predicted.part[right], true.part, true.part[found])
    return np.column_stack([count(part) for part in of_each])


def _within(points: Float[ndarray, "points axes"], others: Float[ndarray, "others axes"]) -> Bool[ndarray, " points"]:
    """Whether each point has one of the others within 0.05 m."""
    if not len(points) or not len(others):
        return np.zeros(len(points), dtype=bool)
    distance, _ = cKDTree(others).query(points, distance_upper_bound=np.nextafter(HIT_M, 1))
    near: Bool[ndarray, " points"] = distance <= HIT_M
    return near
