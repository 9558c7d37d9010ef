"""Axis-angles, matrices, and the nearest rotation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sahmr.body.skinning import rotation_matrix
from sahmr.geometry.rotation import axis_angles, nearest_rotations, rotation_matrices


def turns(angle: float, count: int = 50) -> torch.Tensor:
    axis = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return axis / axis.norm(dim=1, keepdim=True) * angle


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.5, math.pi / 2, 3.0, math.pi - 1e-9])
def test_axis_angles_survive_the_matrix(angle: float) -> None:
    given = turns(angle)
    matrices = rotation_matrices(given)
    np.testing.assert_allclose(matrices, [rotation_matrix(each.numpy()) for each in given], atol=1e-12)
    np.testing.assert_allclose(axis_angles(matrices), given, atol=1e-8)


def test_half_a_turn_about_an_axis() -> None:
    """As of every body that stands in a camera whose y points down."""
    np.testing.assert_allclose(axis_angles(torch.diag(torch.tensor([1.0, -1, -1]))).abs(), [math.pi, 0, 0], atol=1e-6)
    np.testing.assert_allclose(axis_angles(torch.eye(3)), [0, 0, 0])


def test_nearest_rotation_is_no_reflection() -> None:
    turn = rotation_matrices(turns(2.0))
    stretched = turn @ torch.diag(torch.tensor([3.0, 2, 1], dtype=torch.float64))
    np.testing.assert_allclose(nearest_rotations(stretched), turn, atol=1e-12)
    mirrored = nearest_rotations(torch.diag(torch.tensor([3.0, 2, -1])))
    np.testing.assert_allclose(mirrored, np.eye(3), atol=1e-6)
