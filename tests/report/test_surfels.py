"""Voxels become squares on the surface."""

from __future__ import annotations

import numpy as np
import torch

from sahmr.report.surfels import surfels_near
from sahmr.scenes.store import Scene

AXIS = torch.linspace(-2, 2, 41)
GRID = torch.stack(torch.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), dim=-1)
TURN = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, -0.25], [0, 0, 1, 3], [0, 0, 0, 1]])


def floor_and_wall() -> Scene:
    """Free where z > 0 and x > 0; voxels are up to 8 mm off."""
    draw = torch.rand(400, 3, generator=torch.Generator().manual_seed(0))
    floor = draw[:200] * torch.tensor([1.5, 2.0, 0.016]) - torch.tensor([0, 1.0, 0.008])
    floor[:100, 0] += 0.4
    floor[100:, 0] *= 0.02
    wall = draw[200:] * torch.tensor([0.016, 2.0, 1.0]) - torch.tensor([0.008, 1.0, -0.5])
    sdf = torch.minimum(GRID[..., 0], GRID[..., 2])
    low = torch.full((3,), -2.0)
    points = torch.cat([floor, wall])
    return Scene(points=points, sdf=sdf, sdf_min=low, sdf_max=-low, attributes={"voxel_pitch_m": 0.02})


def test_squares_lie_on_the_surface_and_know_corners() -> None:
    scene = floor_and_wall()
    found = surfels_near(scene, TURN, np.array([0.5, -0.25, 3.0]), 10.0)
    world = (found.points - TURN[:3, 3]) @ TURN[:3, :3]
    normals = found.normals @ TURN[:3, :3]
    np.testing.assert_allclose(world[:100, 2], 0, atol=1e-6)
    np.testing.assert_allclose(normals[:100], np.tile([0, 0, 1], (100, 1)), atol=1e-6)
    np.testing.assert_allclose(world[200:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(normals[200:], np.tile([1, 0, 0], (200, 1)), atol=1e-6)
    assert (found.openness[:100] > 0.99).all() and (found.openness[100:200] < 0.8).all()
    assert found.pitch == 0.02


def test_what_is_far_is_left_out() -> None:
    scene, middle = floor_and_wall(), np.array([0.5, -0.25, 3.0])  # the world's origin
    found = surfels_near(scene, TURN, middle, 0.7)
    assert len(found.points) == int((scene.points.norm(dim=1) < 0.7).sum()) > 0
    assert len(surfels_near(scene, TURN, middle + 50, 0.7).points) == 0
