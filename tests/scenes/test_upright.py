"""Up is where floors and tables point to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sahmr.geometry.field_normal import field_normals
from sahmr.scenes.store import Scene
from sahmr.scenes.upright import find_up

AXIS = torch.linspace(-2, 2, 41, dtype=torch.float64)
GRID = torch.stack(torch.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), dim=-1)


def corner(up: torch.Tensor, wall: torch.Tensor) -> Scene:
    """A floor and a wall through the origin; the wall has most of the points."""
    draws = torch.rand(3000, 3, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    along = torch.linalg.cross(up, wall)
    floor = draws[:1000, :1] * along + (draws[:1000, 1:2] + 1) * wall
    side = draws[1000:, :1] * along + (draws[1000:, 1:2] + 1) * up
    sdf = torch.minimum(GRID @ up, GRID @ wall).float()
    low = torch.full((3,), -2.0)
    return Scene(points=torch.cat([floor, side]).float(), sdf=sdf, sdf_min=low, sdf_max=-low, attributes={})


@pytest.mark.parametrize("tilt", [0, 20, 40])
def test_a_tilted_floor_by_hand_whatever_the_walls(tilt: int) -> None:
    s, c = np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt))
    up, wall = torch.tensor([0, -c, -s]), torch.tensor([0, s, -c])
    found = find_up(corner(up, wall), (0.0, -1.0, 0.0))
    assert torch.rad2deg((found @ up).clamp(max=1).acos()).item() < 2
    assert found.norm().item() == pytest.approx(1)


def test_without_a_level_surface_the_rough_axis_stays() -> None:
    scene = corner(torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 1.0, 0]).double())
    assert find_up(scene, (0.0, 0.0, 1.0)).tolist() == [0, 0, 1]


def test_normals_point_to_the_free_side_and_flat_fields_have_none() -> None:
    low, high = torch.tensor([-2.0, -2, -2]), torch.tensor([2.0, 2, 2])
    direction = torch.tensor([0.6, 0, -0.8]).double()
    points = torch.tensor([[0.0, 0, 0], [0.33, -1, 0.5]])
    found = field_normals((GRID @ direction).float(), low, high, points)
    torch.testing.assert_close(found, direction.float().expand(2, 3), atol=1e-5, rtol=0)
    assert not field_normals(torch.ones(3, 3, 3), low, high, points).any()
