"""Culling by blocks and by views against brute force over all points, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sahmr.batches.dataset import SampleDataset
from sahmr.geometry.frustum import FAR_M, NEAR_M
from sahmr.scenes.store import load_points
from sahmr.scenes.views import Views, make_view, points_in_crop
from sahmr.scenes.visible import block_points, load_blocks, points_in_ball, points_in_box, visible_points
from tests.worlds import small


def brute_force(points: Tensor, intrinsics: Tensor, camera_from_world: Tensor, box: Tensor) -> Tensor:
    """As it was done before there were views, all points at once; products written out: no BLAS promises an order."""
    x, y, z = points.unbind(dim=1)
    moved = torch.stack([x * row[0] + y * row[1] + z * row[2] + row[3] for row in camera_from_world[:3]], dim=1)
    x, y, depth = moved.unbind(dim=1)
    u, v = x / depth * intrinsics[0, 0] + intrinsics[0, 2], y / depth * intrinsics[1, 1] + intrinsics[1, 2]
    left, top, right, bottom = box.tolist()
    in_depth = (depth >= NEAR_M) & (depth <= FAR_M)
    return moved[in_depth & (u >= left) & (u <= right) & (v >= top) & (v <= bottom)]


def rigid(draw: np.random.Generator) -> Tensor:
    turn, _ = np.linalg.qr(draw.normal(size=(3, 3)))
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = turn * np.sign(np.linalg.det(turn)), draw.uniform(-6, 6, 3)
    return torch.from_numpy(made).float()


def cloud(draw: np.random.Generator) -> Tensor:
    """Points on a grid, as stored ones are: many lie exactly on faces of boxes; neighbours together, or not at all."""
    points = np.round(draw.uniform(-4, 4, (int(draw.integers(0, 900)), 3)) * draw.choice([1, 4], 3) / 0.02) * 0.02
    cells = np.floor(points / draw.choice([0.5, 100])).astype(int)
    return torch.from_numpy(points[np.lexsort(cells.T)]).float()


def test_a_thousand_queries_equal_brute_force() -> None:
    draw, found = np.random.default_rng(7), np.zeros(3, int)
    for _ in range(1000):
        points, camera = cloud(draw), rigid(draw)
        scene = block_points(points)
        focal, left, top, side = draw.uniform(100, 900), *draw.uniform(-200, 400, 2), draw.uniform(5, 400)
        intrinsics = torch.tensor([[focal, 0, 160], [0, focal, 120], [0, 0, 1]], dtype=torch.float32)
        crop = torch.tensor([left, top, left + side, top + side], dtype=torch.float32)
        expected = brute_force(points, intrinsics, camera, crop)
        assert torch.equal(visible_points(scene, intrinsics, camera, crop), expected)
        assert torch.equal(points_in_crop(make_view(scene, intrinsics, camera), crop), expected)

        ends = torch.from_numpy(np.sort(np.round(draw.uniform(-4, 4, (2, 3)) / 0.02) * 0.02, axis=0)).float()
        in_box = points[((points >= ends[0]) & (points <= ends[1])).all(dim=1)]
        assert torch.equal(points_in_box(scene, *ends), in_box)

        radius = float(np.float32(draw.choice([0.0, 0.02, 0.5, 2.0, 9.0])))
        center = points[len(points) // 2] if len(points) else torch.zeros(3)
        x, y, z = (points - center).unbind(dim=1)
        in_ball = points[x * x + y * y + z * z <= radius * radius]
        assert torch.equal(points_in_ball(scene, center, radius), in_ball)
        found += [len(expected) > 0, len(in_box) > 0, len(in_ball) > 0]
    assert (found > 200).all(), found


@pytest.mark.parametrize("epoch", [0, 1])
def test_samples_have_the_points_that_brute_force_finds(small_world: Path, epoch: int) -> None:
    shards, scenes = small_world / "shards/rich", small_world / "scenes/rich.zarr"
    data = SampleDataset(shards, scenes, "train", is_training=True, seed=3)
    points = load_points(scenes, "Room_scan")
    for number in range(len(data)):
        sample = data[epoch, number]
        expected = brute_force(points, sample.intrinsics, sample.camera_from_world, sample.crop_box)
        assert len(expected) > 100 and torch.equal(sample.scene_camera, expected)


def test_views_are_kept_up_to_a_size_and_never_of_an_earlier_scene(small_world: Path) -> None:
    store, intrinsics = small_world / "scenes/rich.zarr", torch.from_numpy(small.INTRINSICS).float()
    cameras = [
        torch.from_numpy(small.CAMERA_FROM_WORLD + shift * np.eye(4, k=3)).float() for shift in (0, 1e-3, 2e-3, 3e-3)
    ]
    one = Views().get(store, "Room_scan", intrinsics, cameras[0])
    most = Views(int(2.5 * one.nbytes))
    made = [most.get(store, "Room_scan", intrinsics, camera) for camera in cameras]
    assert most.nbytes <= most.most_bytes and len(most) == 2
    assert most.get(store, "Room_scan", intrinsics, cameras[-1]) is made[-1]
    load_blocks.cache_clear()
    again = most.get(store, "Room_scan", intrinsics, cameras[-1])
    assert again is not made[-1] and np.array_equal(again.xyz, made[-1].xyz)
    assert most.get(store, "Room_scan", intrinsics, cameras[-1]) is again
    tiny = Views(1)
    assert tiny.get(store, "Room_scan", intrinsics, cameras[0]).nbytes > 1 and len(tiny) == tiny.nbytes == 0


@pytest.mark.skipif(not Path("data/scenes/rich.zarr").is_dir(), reason="the demo was not run here (make repro)")
def test_demo_samples_have_the_points_that_brute_force_finds() -> None:
    data = SampleDataset(Path("data/shards/rich"), Path("data/scenes/rich.zarr"), "train", is_training=True, seed=66)
    for number in range(0, len(data), 29):
        sample = data[1, number]
        points = load_blocks(data.scenes, sample.scene_key).xyz.reshape(-1, 3)
        expected = brute_force(points, sample.intrinsics, sample.camera_from_world, sample.crop_box)
        assert torch.equal(sample.scene_camera, expected)
