"""Loss terms as pure functions: prediction and targets in, one value per sample out (method 8.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from sahmr.structures import MeshPrediction, RootContact, RootContactTargets

FLIPPED_PARTS = (1, 0, 3, 2, 4, 5, 6)  # part-map channels of the mirrored image: left and right swap
_SHORT = 1e-6  # metres: no edge of a body
_WINDOW = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))  # weights of the depth loss round the root's cell


def root_contact_losses(
    prediction: RootContact,
    targets: RootContactTargets,
    flipped_part_maps: Float[Tensor, "batch 7 56 56"] | None,
    *,
    contact_voxel_weight: float = 1.0,
) -> dict[str, Float[Tensor, " batch"]]:
    """Terms of stage A: ``heatmap scaled_depth voxel_part voxel_offset root part_maps part_maps_flipped``.

    Args:
        prediction: output of the root-and-contact network.
        targets: computed for the same voxels.
        flipped_part_maps: the network's part maps of the mirrored image, not mirrored back; None leaves the term out
            (validation).
        contact_voxel_weight: how many times more a voxel in contact counts in ``voxel_part``; the reference: 1.

    Source: reference ``rcnet`` losses. Map terms are sums over the map, voxel terms means over a sample's voxels
    (0 without voxels); distances in metres.
    """
    count = len(prediction.root)
    sample = prediction.voxel_centers.sample
    classified = functional.cross_entropy(prediction.voxel_part, targets.voxel_part, reduction="none")
    classified = torch.where(targets.voxel_part > 0, contact_voxel_weight * classified, classified)
    offset = (prediction.voxel_offset - targets.voxel_offset).abs().sum(dim=1)  # [voxels]
    losses = {
        "heatmap": (prediction.heatmap - targets.heatmap).square().sum(dim=(1, 2)),
        "scaled_depth": _depth_loss(prediction.scaled_depth, targets),
        "voxel_part": _mean_per_sample(classified, sample, count),
        "voxel_offset": _mean_per_sample(offset, sample, count),
        "root": (prediction.root - targets.root).abs().sum(dim=1),
        "part_maps": (prediction.part_maps - targets.part_maps).square().sum(dim=(1, 2, 3)),
    }
    if flipped_part_maps is not None:
        mirrored = targets.part_maps.flip(3)[:, list(FLIPPED_PARTS)]
        losses["part_maps_flipped"] = (flipped_part_maps - mirrored).square().sum(dim=(1, 2, 3))
    return losses


def mesh_losses(
    prediction: MeshPrediction,
    vertices_camera: Float[Tensor, "batch 6890 3"],
    joint_regressor: Float[Tensor, "17 6890"],
    joints: tuple[int, ...],
    *,
    mean_over_valid_contacts: bool = False,
) -> dict[str, Float[Tensor, " batch"]]:
    """Terms of stage B: ``vertices joints contacts global_vertices``; L1, summed over xyz, metres.

    Args:
        prediction: output of the mesh network.
        vertices_camera: true mesh, camera frame.
        joint_regressor: H36M regressor, row 0 the pelvis.
        joints: which of its rows are compared.
        mean_over_valid_contacts: divide the contact term by the number of real contact points instead of, as the
            reference does, by the padded number (500).
    """
    predicted = torch.einsum("jv,bvc->bjc", joint_regressor, prediction.vertices_anchor)  # [batch, 17, 3]
    true = torch.einsum("jv,bvc->bjc", joint_regressor, vertices_camera)
    predicted_root, true_root = predicted[:, :1], true[:, :1]
    rows = list(joints)
    contact = (prediction.contacts_anchor - prediction.contacts_input_anchor).abs().sum(
        dim=2
    ) * prediction.contacts_mask
    number = prediction.contacts_mask.sum(dim=1).clamp(min=1) if mean_over_valid_contacts else contact.shape[1]
    centred = (prediction.vertices_anchor - predicted_root) - (vertices_camera - true_root)
    posed = (predicted[:, rows] - predicted_root) - (true[:, rows] - true_root)  # [batch, joints, 3]
    return {
        "vertices": centred.abs().sum(dim=2).mean(dim=1),
        "joints": posed.abs().sum(dim=2).mean(dim=1),
        "contacts": contact.sum(dim=1) / number,
        "global_vertices": (prediction.vertices_camera - vertices_camera).abs().sum(dim=2).mean(dim=1),
    }


def surface_losses(
    predicted: Float[Tensor, "batch 6890 3"],
    true: Float[Tensor, "batch 6890 3"],
    faces: Int[Tensor, "faces 3"],
) -> dict[str, Float[Tensor, " batch"]]:
    """``edges edge_ratios normals``: what keeps a mesh smooth. Not among the reference's losses.

    ``edges``: mean over the three edges of every face of | predicted length - true length |, metres. ``edge_ratios``:
    mean over the same of | predicted / true length - 1 |: the many short edges of hands and face count as much as any;
    0 of an edge without true length. ``normals``: mean over the same of | cosine between the predicted edge and the
    true face's normal |.

    Args:
        predicted, true: vertices, metres; the origin does not matter.
        faces: of the topology.

    Source: Choi et al., Pose2Mesh, ECCV 2020, and Moon and Lee, I2L-MeshNet, ECCV 2020; means for their sums.
    """
    edges, wanted = (_face_edges(mesh, faces) for mesh in (predicted, true))
    length = (edges * edges).sum(dim=0).clamp(min=_SHORT**2).sqrt()  # [3, faces, batch]
    right = (wanted * wanted).sum(dim=0).sqrt()
    normal = torch.linalg.cross(wanted[:, 0], wanted[:, 1], dim=0)  # [3, faces, batch]
    normal = normal / (normal * normal).sum(dim=0).sqrt().clamp(min=_SHORT**2)
    cosine = (edges * normal[:, None]).sum(dim=0) / length
    ratio = torch.where(right > _SHORT, (length / right.clamp(min=_SHORT) - 1).abs(), 0.0)
    return {
        "edges": (length - right).abs().flatten(0, 1).mean(dim=0),
        "edge_ratios": ratio.flatten(0, 1).mean(dim=0),
        "normals": cosine.abs().flatten(0, 1).mean(dim=0),
    }


def _face_edges(
    vertices: Float[Tensor, "batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "3 3 faces batch"]:
    """By axis: the first edges of all faces, then the second, then the third."""
    # Axes first, the batch last: sums over rows of 3 numbers, hundreds of thousands of them, are several times slower.
    batch, count, _ = vertices.shape
    rows = vertices.permute(2, 1, 0).reshape(3 * count, batch)
    of_axis = torch.arange(3, device=faces.device)[:, None] * count
    corners = rows.index_select(0, (faces.t().flatten() + of_axis).flatten()).view(3, 3, len(faces), batch)
    return corners.roll(-1, dims=1) - corners


def weighted_sum(
    losses: Mapping[str, Float[Tensor, " batch"]], weights: Mapping[str, float]
) -> Float[Tensor, " batch"]:
    """Sum of the terms, each times its weight.

    Raises:
        ValueError: if a term has no weight.
    """
    missing = sorted(set(losses) - set(weights))
    if missing:
        raise ValueError(f"no weight for the losses {missing}; known weights: {sorted(weights)}")
    return torch.stack([losses[name] * weights[name] for name in losses]).sum(dim=0)


def _depth_loss(depth: Float[Tensor, "batch 56 56"], targets: RootContactTargets) -> Float[Tensor, " batch"]:
    """Stamp-weighted L1 in the 3x3 window round the true root's cell (clamped into the map)."""
    near = torch.arange(-1, 2, device=depth.device)
    row = targets.root_map[:, 1, None, None] + near[None, :, None]  # [batch, 3, 1]
    column = targets.root_map[:, 0, None, None] + near[None, None, :]  # [batch, 1, 3]
    window = depth[torch.arange(len(depth), device=depth.device)[:, None, None], row, column]  # [batch, 3, 3]
    error = (window - targets.scaled_depth[:, None, None]).abs()
    return (error * depth.new_tensor(_WINDOW)).sum(dim=(1, 2))


def _mean_per_sample(
    value: Float[Tensor, " voxels"], sample: Int[Tensor, " voxels"], count: int
) -> Float[Tensor, " batch"]:
    """Mean of each sample's values; 0 for a sample that has none."""
    total = value.new_zeros(count).index_add(0, sample, value)
    number = torch.bincount(sample, minlength=count).clamp(min=1)
    return total / number
