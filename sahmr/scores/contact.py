"""Scene points said to be touched against those that are: precision and recall within five centimetres."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from sahmr.geometry.nearest import nearest
from sahmr.structures import PackedPoints
from sahmr.targets import label_points

HIT_M = 0.05  # ours: a foot is twice as wide, and voxels are 2 cm apart


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
    scene: Float[Tensor, "points 3"], vertices: Float[Tensor, "6890 3"], touching: Bool[Tensor, " 6890"]
) -> Float[Tensor, "contacts 3"]:
    """Scene points nearer than 0.07 m (the targets' distance) to a touching vertex; may be none.

    Args:
        scene: the points a crop can see, any frame, metres.
        vertices: of the true mesh, same frame.
        touching: which of them touch.
    """
    points = PackedPoints(xyz=scene, sample=torch.zeros(len(scene), dtype=torch.long))
    found: Float[Tensor, "contacts 3"] = scene[label_points(points, vertices[None], touching.long()) > 0]
    return found


def contact_scores(
    predicted: Float[Tensor, "claims 3"], true: Float[Tensor, "contacts 3"]
) -> tuple[float | None, float | None]:
    """Precision and recall, 0..1: who has a point of the others within 0.05 m.

    Args:
        predicted, true: contact points, same frame, metres.

    Returns:
        Share of the predicted points that are right: None if there are none, or no true ones. Share of the true points
        that were found: None if there are none.
    """
    if len(true) == 0:
        return None, None
    if len(predicted) == 0:
        return None, 0.0
    return _share(predicted, true), _share(true, predicted)


def _share(points: Float[Tensor, "points 3"], others: Float[Tensor, "others 3"]) -> float:
    distance, _ = nearest(points, others)
    return float(np.mean((distance <= HIT_M).numpy()))
