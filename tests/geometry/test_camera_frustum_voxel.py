"""Projection, crop coordinates, frustum and voxels, against hand-computed values and round trips."""

from __future__ import annotations

import pytest
import torch

from sahmr.geometry.camera import image_to_unit, project, unit_to_image, unproject
from sahmr.geometry.frustum import frustum_corners, inside_frustum
from sahmr.geometry.voxel import key_step, pack_keys, unique_voxels, voxel_center, voxel_index

K = torch.tensor([[100.0, 0, 50], [0, 200, 40], [0, 0, 1]])


def test_project_by_hand_and_back() -> None:
    points = torch.tensor([[1.0, -0.5, 2.0], [0.0, 0.0, 4.0]])
    pixels = project(points, K.expand(2, 3, 3))
    torch.testing.assert_close(pixels, torch.tensor([[100.0, -10.0], [50.0, 40.0]]))
    torch.testing.assert_close(unproject(pixels, points[:, 2], K), points)


def test_crop_coordinates_by_hand_and_back() -> None:
    box = torch.tensor([10.0, 20.0, 110.0, 220.0])
    pixels = torch.tensor([[10.0, 20.0], [110.0, 220.0], [60.0, 70.0]])
    unit = image_to_unit(pixels, box)
    torch.testing.assert_close(unit, torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]]))
    torch.testing.assert_close(unit_to_image(unit, box), pixels)


def test_inside_the_frustum_means_inside_the_crop_between_the_depths() -> None:
    box = torch.tensor([[20.0, 10.0, 90.0, 80.0]])
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 6 - torch.tensor([3.0, 3.0, 1.0])
    corners = frustum_corners(K[None], box, 0.5, 3.0)[0]
    unit = image_to_unit(project(points, K.expand(2000, 3, 3)), box)
    depth = points[:, 2]
    want = ((unit >= 0) & (unit <= 1)).all(1) & (depth >= 0.5) & (depth <= 3.0)
    assert 20 < int(want.sum()) < 1000
    assert torch.equal(inside_frustum(points, corners), want)


def test_voxels_by_hand() -> None:
    points = torch.tensor([[0.01, -0.01, 0.06], [0.049, -0.049, 0.09], [0.01, -0.01, 0.06]])
    index = voxel_index(points, 0.05)
    assert index.tolist() == [[0, -1, 1], [0, -1, 1], [0, -1, 1]]
    torch.testing.assert_close(voxel_center(index[:1], 0.05), torch.tensor([[0.025, -0.025, 0.075]]))
    coords, row = unique_voxels(index, torch.tensor([0, 0, 1]))
    assert coords.tolist() == [[0, -1, 1, 0], [0, -1, 1, 1]]
    assert row.tolist() == [0, 0, 1]


def test_keys_add_like_coordinates() -> None:
    coords, step = torch.tensor([[0, -3, 5, 2]]), torch.tensor([[-16, 16, -1]])
    moved = coords.clone()
    moved[:, :3] += step
    assert torch.equal(pack_keys(coords) + key_step(step), pack_keys(moved))


def test_no_voxels() -> None:
    coords, row = unique_voxels(torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, dtype=torch.long))
    assert coords.shape == (0, 4) and len(row) == 0


def test_keys_out_of_range() -> None:
    with pytest.raises(ValueError, match="check the points' unit"):
        pack_keys(torch.tensor([[0, 0, -70000, 0]]))
