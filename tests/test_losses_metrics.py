"""Hand-computed losses and metrics, and the odd inputs the golden data do not hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sahmr.losses import mesh_losses, root_contact_losses, surface_losses, weighted_sum
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


def test_surface_losses_of_a_stretched_and_of_a_creased_square() -> None:
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    true = torch.zeros(1, 6890, 3)
    true[0, :4] = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    same = surface_losses(true + 5, true, faces)
    assert float(same["edges"]) == pytest.approx(0, abs=1e-6) and float(same["normals"]) == pytest.approx(0, abs=1e-6)
    longer = surface_losses(1.1 * true, true, faces)
    mean = (4 * 1 + 2 * 2**0.5) / 6  # each face has two sides and the diagonal
    assert float(longer["edges"]) == pytest.approx(0.1 * mean, rel=1e-5)
    assert float(longer["edge_ratios"]) == pytest.approx(0.1, rel=1e-5)
    assert float(longer["normals"]) == pytest.approx(0, abs=1e-6)
    creased = true.clone()
    creased[0, 3, 2] = 1.0  # the corner 3 stands up: of its two edges (length sqrt 2) half goes along the normal
    found = surface_losses(creased, true, faces)
    assert float(found["normals"]) == pytest.approx(2 * 0.5**0.5 / 6, rel=1e-5)


def test_edge_ratios_are_means_over_the_edges_of_faces_whatever_their_lengths() -> None:
    random = np.random.default_rng(0)
    true, moved = random.random((2, 2, 6890, 3)) * [1.0, 0.1, 0.01]
    faces = random.integers(6890, size=(40, 3))
    true[:, faces[0, 0]] = true[:, faces[0, 1]]  # an edge of no length: it does not count
    expected = np.zeros(2)
    for body in range(2):
        for face in faces:
            for one, other in ((face[0], face[1]), (face[1], face[2]), (face[2], face[0])):
                wanted = np.linalg.norm(true[body, one] - true[body, other])
                if wanted:
                    expected[body] += abs(np.linalg.norm(moved[body, one] - moved[body, other]) / wanted - 1) / 120
    as_given = torch.tensor(moved, dtype=torch.float32, requires_grad=True)
    found = surface_losses(as_given, torch.tensor(true, dtype=torch.float32), torch.tensor(faces))["edge_ratios"]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4)
    found.sum().backward()
    assert as_given.grad is not None and bool(as_given.grad.isfinite().all())


def test_surface_losses_lead_a_crumpled_mesh_back() -> None:
    random = torch.Generator().manual_seed(0)
    true = torch.rand(1, 6890, 3, generator=random)
    faces = torch.randint(6890, (500, 3), generator=random)
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    moved = (true + 0.05 * torch.randn(true.shape, generator=random)).requires_grad_(True)
    terms = surface_losses(moved, true, faces)
    before = float((terms["edges"] + terms["normals"]).detach())
    (terms["edges"] + terms["normals"]).sum().backward()
    assert moved.grad is not None
    step = moved.detach() - 2 * moved.grad
    after = surface_losses(step, true, faces)
    assert float(after["edges"] + after["normals"]) < before
