"""Edge lengths, the trunk's direction and posture, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sahmr.scores.body import edge_errors, edge_lengths, mesh_edges, trunk_angles
from sahmr.scores.posture import POSTURES, find_postures

FACES = torch.tensor([[0, 1, 2], [2, 1, 3], [4, 4, 5]])  # two that share an edge, and one without area
EDGES = [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [4, 5]]


def cloud() -> torch.Tensor:
    return torch.randn(1, 6890, 3, generator=torch.Generator().manual_seed(0)).double()


def edge_error(predicted: torch.Tensor, true: torch.Tensor) -> list[float]:
    edges = mesh_edges(FACES)
    return edge_errors(edge_lengths(predicted, edges), edge_lengths(true, edges)).tolist()


def turn(degrees: float) -> torch.Tensor:
    """About z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, -s, 0.0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)


def test_every_edge_counts_once() -> None:
    assert mesh_edges(FACES).tolist() == EDGES


@pytest.mark.parametrize("scale", [1.1, 0.9])
def test_scaled_edges_are_a_tenth_off_wherever_they_are(scale: float) -> None:
    true = cloud()
    assert edge_error(true @ turn(40).T * scale + 3, true) == [pytest.approx(0.1)]


def test_one_longer_edge_of_six_and_none_of_no_true_length() -> None:
    true = torch.zeros(2, 6890, 3)
    true[0, 1:6, 0] = torch.tensor([1.0, 2, 4, 8, 9])
    predicted = true.clone()
    predicted[:, 5, 0] = 10  # its only edge, to vertex 4, doubles; or has no true length at all
    assert edge_error(predicted, true) == pytest.approx([1 / 6, 0])


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 29.0, 90.0, 180.0])
def test_a_turned_trunk_by_its_angle(degrees: float) -> None:
    true = torch.randn(1, 17, 3, generator=torch.Generator().manual_seed(1)).double()
    true[:, 8] = true[:, 0] + torch.tensor([0.3, 0.4, 0])
    predicted = 2 * true @ turn(degrees).T + 1
    assert trunk_angles(predicted, true).item() == pytest.approx(degrees, abs=1e-5)


def test_a_trunk_that_is_a_point_is_as_wrong_as_can_be() -> None:
    true = torch.zeros(1, 17, 3)
    true[:, 8, 2] = 0.5
    assert trunk_angles(torch.ones(1, 17, 3), true).tolist() == [180]


# Pelvis, neck, and knee and ankle of either side, at y = +-0.1; z up, metres.
BODIES = {
    "standing": ("standing", (0, 0, 0.9), (0, 0, 1.4), (0, 0, 0.45), (0, 0, 0)),
    "bent over": ("standing", (0, 0, 0.9), (0.5, 0, 0.9), (0, 0, 0.45), (0, 0, 0)),
    "sitting": ("sitting", (0, 0, 0.5), (-0.1, 0, 1.0), (0.45, 0, 0.45), (0.45, 0, 0)),
    "on a high chair": ("sitting", (0, 0, 0.75), (0, 0, 1.25), (0.4, 0, 0.5), (0.4, 0, 0)),
    "sitting on the floor": ("sitting", (0, 0, 0.1), (-0.1, 0, 0.6), (0.45, 0, 0.1), (0.9, 0, 0)),
    "squatting": ("crouching", (0, 0, 0.5), (0.3, 0, 0.9), (0.3, 0, 0.4), (0.05, 0, 0)),
    "on the back": ("lying", (0, 0, 0.1), (-0.5, 0, 0.1), (0.45, 0, 0.1), (0.9, 0, 0.1)),
    "on all fours": ("lying", (0, 0, 0.5), (0.5, 0, 0.5), (0, 0, 0.05), (-0.45, 0, 0)),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("size", [0.7, 1.2])
def test_postures_of_large_and_small_whatever_axis_is_up(body: str, size: float) -> None:
    posture, *points = BODIES[body]
    pelvis, neck, knee, ankle = (torch.tensor(point, dtype=torch.float64) for point in points)
    joints = torch.zeros(17, 3, dtype=torch.float64)
    joints[0], joints[8] = pelvis, neck
    for side, rows in ((-0.1, (1, 2, 3)), (0.1, (4, 5, 6))):
        joints[list(rows)] = torch.stack([pelvis, knee, ankle]) + torch.tensor([0, side, 0])
    assert find_postures((joints * size)[None], torch.tensor([[0.0, 0, 1]]).double()) == [posture]
    assert find_postures((joints[:, [0, 2, 1]] * size - 5)[None], torch.tensor([[0.0, 1, 0]]).double()) == [posture]
    assert posture in POSTURES


def test_one_foot_on_the_floor_is_enough_to_stand() -> None:
    joints = torch.zeros(17, 3)
    joints[0], joints[8] = torch.tensor([0, 0, 0.9]), torch.tensor([0, 0, 1.4])
    joints[[1, 2, 3], 2] = torch.tensor([0.9, 0.45, 0.0])
    joints[4], joints[5], joints[6] = joints[0], torch.tensor([0.45, 0, 0.9]), torch.tensor([0.45, 0, 0.45])
    assert find_postures(joints[None], torch.tensor([[0.0, 0, 1]])) == ["standing"]
