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
    ours, theirs = _near_pairs(predicted.xyz, true.xyz)
    is_same = predicted.part[ours] == true.part[theirs]
    claims, truths = len(predicted.xyz), len(true.xyz)
    precision, recall = (
        _which(rows, count).mean() if count else np.nan for rows, count in ((ours, claims), (theirs, truths))
    )
    total = precision + recall
    f1 = 0.0 if not claims or total == 0 else 2 * precision * recall / total
    if not truths:
        precision = f1 = np.nan
    right, found = _which(ours[is_same], claims), _which(theirs[is_same], truths)
    of_each = (predicted.part, predicted.part[right], true.part, true.part[found])
    parts = np.column_stack([np.bincount(part, minlength=NUM_PARTS)[1:] for part in of_each])
    return ContactScores(precision=float(precision), recall=float(recall), f1=float(f1), parts=parts)


def _near_pairs(
    points: Float[ndarray, "points 3"], others: Float[ndarray, "others 3"]
) -> tuple[Int[ndarray, " pairs"], Int[ndarray, " pairs"]]:
    """Numbers of every point and every other within 0.05 m of each other."""
    if not len(points) or not len(others):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    near = cKDTree(points).sparse_distance_matrix(cKDTree(others), HIT_M, output_type="ndarray")
    return near["i"], near["j"]


def _which(rows: Int[ndarray, " rows"], count: int) -> Bool[ndarray, " count"]:
    """True at the numbers that occur."""
    occurs = np.zeros(count, dtype=bool)
    occurs[rows] = True
    return occurs
