"""Whether a predicted mesh is a body, and points where the true one does: edge lengths and the trunk's direction."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sahmr.body.joints import H36M_NECK, H36M_PELVIS
from sahmr.geometry.tree_sum import tree_sum

_OPPOSITE_DEG = 180.0


def mesh_edges(faces: Int[Tensor, "faces 3"]) -> Int[Tensor, "edges 2"]:
    """Every edge of a mesh once, as two different vertices, the lower number first, sorted."""
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    edges: Int[Tensor, "edges 2"] = torch.unique(pairs[pairs[:, 0] < pairs[:, 1]], dim=0)
    return edges


def edge_lengths(mesh: Float[Tensor, "batch 6890 3"], edges: Int[Tensor, "edges 2"]) -> Float[Tensor, "batch edges"]:
    """Lengths of the edges of :func:`mesh_edges`, in the mesh's unit."""
    starts, ends = edges.unbind(dim=1)
    total = mesh.new_zeros(len(mesh), len(edges))
    for axis in mesh.unbind(dim=2):  # one gather an axis: ten times faster than rows of three
        step = axis.index_select(1, starts)
        step -= axis.index_select(1, ends)
        step *= step
        total += step
    return total.sqrt_()


def edge_errors(predicted: Float[Tensor, "batch edges"], true: Float[Tensor, "batch edges"]) -> Float[Tensor, " batch"]:
    """Mean over the edges of |predicted length / true length - 1|; an edge of no true length does not count.

    Args:
        predicted, true: of :func:`edge_lengths`.
    """
    counts = true > 0  # [batch, edges]
    error = torch.where(counts, predicted / torch.where(counts, true, 1) - 1, 0).abs()
    mean: Tensor = tree_sum(error) / counts.sum(dim=1).clamp(min=1)
    return mean


def trunk_angles(predicted: Float[Tensor, "batch 17 3"], true: Float[Tensor, "batch 17 3"]) -> Float[Tensor, " batch"]:
    """Angle between the predicted and the true direction from pelvis to neck (H36M rows 0 and 8), degrees 0..180.

    A prediction whose pelvis and neck are one point has no direction: 180.

    Args:
        predicted, true: H36M joints in one common frame, metres.
    """
    ours, theirs = (joints[:, H36M_NECK] - joints[:, H36M_PELVIS] for joints in (predicted, true))  # [batch, 3] each
    cross = torch.linalg.cross(ours, theirs)
    sine, cosine = tree_sum(cross * cross).sqrt(), tree_sum(ours * theirs)
    angle = torch.rad2deg(torch.atan2(sine, cosine))
    return torch.where((ours != 0).any(dim=1), angle, _OPPOSITE_DEG)
