"""Hand-computed losses and metrics, and the odd inputs the golden data do not hold."""

from __future__ import annotations

import pytest
import torch

from sahmr.losses import mesh_losses, root_contact_losses, weighted_sum
from sahmr.metrics import part_map_errors, scene_errors, voxel_part_scores
from sahmr.structures import ContactPoints, MeshPrediction, PackedPoints, RootContact, RootContactTargets


def root_contact(voxels: int) -> tuple[RootContact, RootContactTargets]:
    """Zero predictions, of which all voxels belong to the first of two samples."""
    maps = torch.zeros(2, 56, 56)
    prediction = RootContact(
        heatmap=maps,
        scaled_depth=maps.clone().requires_grad_(),
        part_maps=torch.zeros(2, 7, 56, 56),
        root_map=torch.zeros(2, 2, dtype=torch.long),
        initial_root=torch.zeros(2, 3),
        anchor_root=torch.zeros(2, 3),
        points=PackedPoints(xyz=torch.zeros(0, 3), sample=torch.zeros(0, dtype=torch.long)),
        voxel_of_point=torch.zeros(0, dtype=torch.long),
        voxel_centers=PackedPoints(xyz=torch.zeros(voxels, 3), sample=torch.zeros(voxels, dtype=torch.long)),
        voxel_confidence=torch.zeros(voxels),
        voxel_offset=torch.zeros(voxels, 3),
        voxel_part=torch.zeros(voxels, 8),
        root=torch.zeros(2, 3),
        contacts=ContactPoints(
            xyz_camera=torch.zeros(2, 1, 3),
            part=torch.zeros(2, 1, dtype=torch.long),
            mask=torch.zeros(2, 1, dtype=torch.bool),
        ),
    )
    targets = RootContactTargets(
        root=torch.tensor([[1.0, -2.0, 3.0]] * 2),
        root_map=torch.tensor([[1, 54], [20, 30]]),
        heatmap=maps,
        scaled_depth=torch.tensor([2.0, 1.0]),
        part_maps=torch.zeros(2, 7, 56, 56),
        voxel_part=torch.zeros(voxels, dtype=torch.long),
        voxel_offset=torch.ones(voxels, 3),
    )
    return prediction, targets


def test_stage_a_by_hand_with_a_sample_without_voxels() -> None:
    prediction, targets = root_contact(voxels=4)
    losses = root_contact_losses(prediction, targets, None)
    assert losses["root"].tolist() == [6.0, 6.0]
    assert losses["voxel_offset"].tolist() == [3.0, 0.0]
    assert losses["voxel_part"].tolist() == pytest.approx([torch.log(torch.tensor(8.0)).item(), 0.0])
    assert losses["scaled_depth"].tolist() == [8.0, 4.0]  # the stamp sums to 4
    losses["scaled_depth"].sum().backward()
    assert prediction.scaled_depth.grad is not None
    assert prediction.scaled_depth.grad.nonzero().shape == (18, 3)


def test_no_voxels_at_all() -> None:
    losses = root_contact_losses(*root_contact(voxels=0), None)
    assert losses["voxel_part"].tolist() == [0.0, 0.0]


def test_contact_loss_over_all_places_or_over_the_real_ones() -> None:
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    prediction = MeshPrediction(
        root=torch.zeros(2, 3),
        vertices_anchor=torch.zeros(2, 6890, 3),
        vertices_camera=torch.zeros(2, 6890, 3),
        contacts_anchor=torch.ones(2, 4, 3),
        contacts_input_anchor=torch.zeros(2, 4, 3),
        contacts_mask=mask,
    )
    regressor = torch.full((17, 6890), 1 / 6890)
    true = torch.zeros(2, 6890, 3)
    assert mesh_losses(prediction, true, regressor, (0, 1))["contacts"].tolist() == [1.5, 0.0]
    valid = mesh_losses(prediction, true, regressor, (0, 1), mean_over_valid_contacts=True)
    assert valid["contacts"].tolist() == [3.0, 0.0]


def test_a_term_without_weight_is_an_error() -> None:
    with pytest.raises(ValueError, match="new"):
        weighted_sum({"new": torch.zeros(1)}, {"old": 1.0})


def test_unknown_contact_makes_both_scene_errors_equal() -> None:
    distance = torch.tensor([[0.5, -0.25, -0.25, 1.0]])
    unknown = scene_errors(distance, torch.zeros(1, 4, dtype=torch.bool))
    assert unknown["penetration_m"].item() == unknown["contact_m"].item() == 0.5
    assert unknown["penetrating_ratio"].item() == 0.5
    known = scene_errors(distance, torch.tensor([[True, True, False, False]]))
    assert known["contact_m"].item() == 1.0


def test_ratios_of_nothing_are_zero() -> None:
    none = torch.zeros(0, dtype=torch.long)
    assert all(value.tolist() == [0.0, 0.0] for value in voxel_part_scores(none, none, none, 2).values())
    maps = torch.zeros(1, 7, 56, 56)
    assert all(value.tolist() == [0.0] for value in part_map_errors(maps, maps).values())
