"""Errors of predicted roots, contacts and meshes, one value per sample (method 9.2)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sahmr.dimensions import NUM_PARTS
from sahmr.geometry.procrustes import align_similarity
from sahmr.geometry.tree_sum import tree_sum

_MM = 1000.0  # metres to millimetres


def regress_joints(
    joint_regressor: Float[Tensor, "joints vertices"], vertices: Float[Tensor, "batch vertices 3"]
) -> Float[Tensor, "batch joints 3"]:
    """Joints of meshes in the regressor's type; their bits do not depend on the batch a mesh is in.

    Args:
        joint_regressor: weights, of which few are not 0.
        vertices: any frame, metres.
    """
    joint, vertex = joint_regressor.nonzero(as_tuple=True)  # joint by joint
    count = torch.bincount(joint, minlength=len(joint_regressor))
    place = torch.arange(len(joint), device=joint.device) - (count.cumsum(0) - count)[joint]
    index = joint.new_zeros(len(count), max(1, int(count.max())))
    weight = joint_regressor.new_zeros(index.shape)
    index[joint, place], weight[joint, place] = vertex, joint_regressor[joint, vertex]
    parts = vertices.transpose(1, 2).index_select(2, index.flatten())
    return tree_sum(parts.view(len(vertices), 3, *index.shape) * weight).transpose(1, 2)  # of [batch, 3, joints, most]


def mesh_errors(
    predicted: Float[Tensor, "batch 6890 3"],
    true: Float[Tensor, "batch 6890 3"],
    joint_regressor: Float[Tensor, "17 6890"],
    joints: tuple[int, ...],
) -> dict[str, Float[Tensor, " batch"]]:
    """Errors of vertices and joints; see :func:`pose_errors`.

    Args:
        predicted, true: vertices in one common frame (world or camera: distances do not depend on it), metres.
        joint_regressor: H36M regressor, row 0 the pelvis that the non-global errors are aligned by.
        joints: which of its rows are compared.
    """
    predicted_joints, true_joints = (regress_joints(joint_regressor, mesh) for mesh in (predicted, true))
    return pose_errors(predicted, true, predicted_joints, true_joints, joints)


def pose_errors(
    predicted: Float[Tensor, "batch 6890 3"],
    true: Float[Tensor, "batch 6890 3"],
    predicted_joints: Float[Tensor, "batch 17 3"],
    true_joints: Float[Tensor, "batch 17 3"],
    joints: tuple[int, ...],
) -> dict[str, Float[Tensor, " batch"]]:
    """``global_mpjpe_mm global_mpve_mm mpjpe_mm mpve_mm pa_mpjpe_mm``.

    Args:
        predicted, true: vertices in one common frame, metres; fastest where an axis lies in one piece, as in
            ``axes.transpose(1, 2)``.
        predicted_joints, true_joints: what the H36M regressor makes of them, row 0 the pelvis.
        joints: which of these rows are compared.

    Source: the reference's evaluation script; PA-MPJPE from its validator.
    """
    shift = true_joints[:, :1] - predicted_joints[:, :1]  # [batch, 1, 3]
    rows = list(joints)
    chosen, goal = predicted_joints[:, rows], true_joints[:, rows]
    return {
        "global_mpjpe_mm": mean_distance_mm(chosen, goal),
        "global_mpve_mm": mean_distance_mm(predicted, true),
        "mpjpe_mm": mean_distance_mm(chosen + shift, goal),
        "mpve_mm": mean_distance_mm(predicted + shift.to(predicted), true),
        "pa_mpjpe_mm": mean_distance_mm(align_similarity(chosen, goal), goal),
    }


def scene_errors(
    distance: Float[Tensor, "batch vertices"], contact: Bool[Tensor, "batch vertices"]
) -> dict[str, Float[Tensor, " batch"]]:
    """``penetration_m contact_m penetration_mean_mm penetrating_ratio`` of predicted meshes.

    Args:
        distance: signed distance of every predicted vertex to the scene, metres, negative inside.
        contact: *true* contact labels of the same vertices; all False (unknown) makes ``contact_m`` equal to
            ``penetration_m``, as published for PROX.

    Source: PenE and ConFE of the reference's evaluation script: sums over the vertices, in metres.
    """
    depth = distance.clamp(max=0).abs()  # [batch, 6890]
    penetration = tree_sum(depth)
    return {
        "penetration_m": penetration,
        "contact_m": tree_sum(torch.where(contact, distance.abs(), depth)),
        "penetration_mean_mm": penetration / distance.shape[1] * _MM,
        "penetrating_ratio": (distance < 0).sum(dim=1).to(distance.dtype) / distance.shape[1],
    }


def mean_distance_mm(
    predicted: Float[Tensor, "batch points 3"], true: Float[Tensor, "batch points 3"]
) -> Float[Tensor, " batch"]:
    """Mean Euclidean distance of corresponding points, metres in, millimetres out."""
    return tree_sum(_length(predicted - true)) / predicted.shape[1] * _MM


def root_errors(predicted: Float[Tensor, "batch 3"], true: Float[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    """Distance of two roots, metres in, millimetres out."""
    return _length(predicted - true) * _MM


def _length(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    x, y, z = (vectors * vectors).unbind(dim=-1)
    length: Tensor = (x + y + z).sqrt()
    return length


def cell_errors(predicted: Int[Tensor, "batch 2"], true: Int[Tensor, "batch 2"]) -> Float[Tensor, " batch"]:
    """Distance of two heat-map cells, in cells."""
    distance: Tensor = (predicted - true).float().norm(dim=1)
    return distance


def voxel_part_scores(
    predicted: Int[Tensor, " voxels"], true: Int[Tensor, " voxels"], sample: Int[Tensor, " voxels"], count: int
) -> dict[str, Float[Tensor, " batch"]]:
    """``voxel_precision voxel_recall voxel_iou`` of the parts 1..7, pooled; a voxel is right if its id is.

    Args:
        predicted, true: part id 0..7 of each voxel.
        sample: which of the ``count`` samples each voxel belongs to.

    Returns:
        Ratios 0..1; a ratio of nothing to nothing is 0.

    Source: VoxSeg of the reference's validator.
    """
    # A confusion matrix [batch, true part, predicted part], counted by the number of its cell.
    cell = (sample * NUM_PARTS + true) * NUM_PARTS + predicted
    table = torch.bincount(cell, minlength=count * NUM_PARTS**2).view(count, NUM_PARTS, NUM_PARTS)
    right = table.diagonal(dim1=1, dim2=2)[:, 1:].sum(dim=1)
    claimed, present = table[:, :, 1:].sum(dim=(1, 2)), table[:, 1:].sum(dim=(1, 2))
    return {
        "voxel_precision": right / claimed.clamp(min=1),
        "voxel_recall": right / present.clamp(min=1),
        "voxel_iou": right / (claimed + present - right).clamp(min=1),
    }


def part_map_errors(
    predicted: Float[Tensor, "batch 7 56 56"], true: Float[Tensor, "batch 7 56 56"]
) -> dict[str, Float[Tensor, " batch"]]:
    """``part_map_recall_error part_map_precision_error``: 1 - recall and 1 - precision of the 2D part maps.

    A cell is claimed where the prediction exceeds 0.5 and present where the target is exactly 1. Means run over the
    parts that have such cells; 0 if none has.

    Source: HmSeg of the reference's validator.
    """
    claimed, present = predicted > 0.5, true >= 1  # [batch, 7, 56, 56] each
    right = (claimed & present).sum(dim=(2, 3))  # [batch, 7]
    return {
        "part_map_recall_error": _mean_miss(right, present.sum(dim=(2, 3))),
        "part_map_precision_error": _mean_miss(right, claimed.sum(dim=(2, 3))),
    }


def _mean_miss(right: Int[Tensor, "batch 7"], total: Int[Tensor, "batch 7"]) -> Float[Tensor, " batch"]:
    """Mean of 1 - right / total over the parts whose total is not 0."""
    miss = (1 - right / total.clamp(min=1)) * (total > 0)
    return miss.sum(dim=1) / (total > 0).sum(dim=1).clamp(min=1)
