"""Scene points said to be touched against those that are: precision, recall and F1 within five centimetres."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Of some person-images.

    Attributes:
        precision, recall, f1: of each, 0..1; NaN where not defined.
        parts: of all, by part 1..7: predicted points, of these right ones; true points, of these found ones.
    """

    precision: Float[ndarray, " batch"]
    recall: Float[ndarray, " batch"]
    f1: Float[ndarray, " batch"]
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


def contact_scores(predicted: Sequence[Contacts], true: Sequence[Contacts]) -> ContactScores:
    """Who has a point of the others of the same image within 0.05 m; of the parts: a point of the same part.

    Precision is not defined where nothing is predicted, nothing is where nothing is touched. F1 is 0 where nothing that
    is predicted is right.
    """
    (our_part, our_image), (their_part, their_image) = _join(predicted), _join(true)
    claim, truth = _near_pairs(predicted, true)
    is_same = our_part[claim] == their_part[truth]
    precision, recall = _share(claim, our_image, len(true)), _share(truth, their_image, len(true))
    has_truth = ~np.isnan(recall)
    product, total = 2 * np.nan_to_num(precision) * recall, np.nan_to_num(precision) + recall
    f1 = np.divide(product, total, out=np.zeros_like(product), where=total != 0)
    right, found = _which(claim[is_same], len(our_part)), _which(truth[is_same], len(their_part))
    of_each = (our_part, our_part[right], their_part, their_part[found])
    return ContactScores(
        precision=np.where(has_truth, precision, np.nan),
        recall=recall,
        f1=np.where(has_truth, f1, np.nan),
        parts=np.column_stack([np.bincount(part, minlength=NUM_PARTS)[1:] for part in of_each]),
    )


def _join(contacts: Sequence[Contacts]) -> tuple[Int[ndarray, " points"], Int[ndarray, " points"]]:
    """Part and image of every point, end to end."""
    image = np.repeat(np.arange(len(contacts)), [len(each.xyz) for each in contacts])
    return np.concatenate([each.part for each in contacts]), image


def _near_pairs(
    predicted: Sequence[Contacts], true: Sequence[Contacts]
) -> tuple[Int[ndarray, " pairs"], Int[ndarray, " pairs"]]:
    """Numbers, end to end, of every predicted and every true point of an image within 0.05 m of each other."""
    none = np.zeros(0, dtype=np.int64)
    found, claims, truths = [(none, none)], 0, 0
    for ours, theirs in zip(predicted, true, strict=True):
        if len(ours.xyz) and len(theirs.xyz):
            trees = cKDTree(ours.xyz), cKDTree(theirs.xyz)
            near = trees[0].sparse_distance_matrix(trees[1], HIT_M, output_type="ndarray")
            found.append((near["i"] + claims, near["j"] + truths))
        claims, truths = claims + len(ours.xyz), truths + len(theirs.xyz)
    return np.concatenate([claim for claim, _ in found]), np.concatenate([truth for _, truth in found])


def _which(rows: Int[ndarray, " rows"], count: int) -> Bool[ndarray, " count"]:
    """True at the numbers that occur."""
    occurs = np.zeros(count, dtype=bool)
    occurs[rows] = True
    return occurs


def _share(rows: Int[ndarray, " rows"], image: Int[ndarray, " points"], images: int) -> Float[ndarray, " images"]:
    """Of each image's points, the share of those that occur; NaN where an image has none."""
    count = np.bincount(image, minlength=images)
    hits = np.bincount(image[_which(rows, len(image))], minlength=images)
    share: Float[ndarray, " images"] = np.divide(hits, count, out=np.full(images, np.nan), where=count > 0)
    return share
