"""What a sample is scored against, put together from shard and store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sahmr.datasets import CARDS
from sahmr.errors import ShardError
from sahmr.geometry.distance_field import sample_distance
from sahmr.geometry.nearest import nearest
from sahmr.scenes.visible import load_blocks, visible_points
from sahmr.scores.occlusion import hidden_share, ray_points
from sahmr.scores.truth import find_truth
from sahmr.shards.crop import crop_box
from sahmr.shards.reader import ShardReader, read_index
from tests.worlds import small

PART = torch.zeros(6890, dtype=torch.long)
ROTATION, SHIFT = small.CAMERA_FROM_WORLD[:3, :3], small.CAMERA_FROM_WORLD[:3, 3]


@pytest.mark.parametrize("labelled", [True, False])
def test_contacts_are_floor_points_near_vertices_that_touch(labelled: bool, small_world: Path) -> None:
    """The floor is at y = 1.25; half of the vertices within 5 cm of it touch it, by label or by part."""
    entry = read_index(small_world / "shards/rich")[0]
    frame = ShardReader(small_world / "shards/rich").geometry(entry)
    vertices = frame.vertices_world + np.array([0, 0.45, 0], dtype=np.float32)
    touching = (vertices[:, 1] > 1.2) & (np.arange(6890) % 2 == 0)
    shown = replace(
        frame, vertices_world=vertices, person_box=np.array([-400.0, -400, 700, 700]),
        contact=touching if labelled else None,
    )  # fmt: skip
    part = torch.where(torch.from_numpy(touching), 3, 0)
    truth = find_truth(shown, entry, small_world / "scenes/rich.zarr", PART if labelled else part, CARDS["rich"])
    world = (truth.contacts.xyz - SHIFT) @ ROTATION
    assert len(world) > 50
    assert np.abs(world[:, 1] - 1.25).max() <= 0.03  # voxels of 5 cm
    gap = np.linalg.norm(world[:, None] - vertices[touching][None], axis=2).min(axis=1)
    assert gap.max() < 0.0701
    assert (truth.up - torch.tensor([0, -1, 0])).norm() < 0.05
    if not labelled:
        ignored = replace(CARDS["rich"], ignored_parts=(3,))
        assert len(find_truth(shown, entry, small_world / "scenes/rich.zarr", part, ignored).contacts.xyz) == 0
        assert set(truth.contacts.part) == {3}


def test_only_blocks_near_who_touches_are_looked_at_and_none_is_missed(small_world: Path) -> None:
    """The same points as out of everything that the crop can see."""
    entry, store = read_index(small_world / "shards/rich")[0], small_world / "scenes/rich.zarr"
    frame = ShardReader(small_world / "shards/rich").geometry(entry)
    shown = replace(frame, vertices_world=frame.vertices_world + np.array([0.9, 0.45, 0.5], dtype=np.float32),
                    person_box=np.array([-900.0, -900, 900, 900]), contact=np.arange(6890) % 3 == 0)  # fmt: skip
    found = find_truth(shown, entry, store, PART, CARDS["rich"]).contacts
    camera, K, box = (
        torch.from_numpy(value).float()
        for value in (shown.camera_from_world, shown.intrinsics, crop_box(shown.person_box))
    )
    seen = visible_points(load_blocks(store, entry.scene_key), K, camera, box)
    vertices = torch.from_numpy(shown.vertices_world) @ camera[:3, :3].T + camera[:3, 3]
    distance, _ = nearest(seen, vertices[torch.from_numpy(shown.contact)])
    assert len(found.xyz) > 50
    np.testing.assert_allclose(found.xyz, seen[distance < 0.07], atol=1e-5)


class TestOcclusion:
    """A wall at x = 0 that is open on the side of small x, and a body beyond it."""

    GRID = torch.linspace(-4, 4, 81)

    def hidden(self, field: torch.Tensor, camera_x: float, body: torch.Tensor) -> float:
        corner, rays = torch.tensor([4.0, 4, 4]), ray_points(torch.tensor([[camera_x, 0.0, 0]]), body[None])
        return hidden_share(sample_distance(field, -corner, corner, rays)).item()

    @pytest.mark.parametrize(
        ("camera_x", "body_x", "hidden"), [(-3, 2, 1.0), (-3, -1, 0.0), (3, 2, 0.0), (-3, -0.1, 0.0)]
    )
    def test_a_wall_hides_what_is_behind_it(self, camera_x: float, body_x: float, hidden: float) -> None:
        wall = -self.GRID[:, None, None].expand(81, 81, 81)
        body = torch.zeros(6890, 3)
        body[:, 0] = body_x
        assert self.hidden(wall, camera_x, body) == hidden

    def test_half_a_body_behind_half_a_wall(self) -> None:
        wall = torch.where(self.GRID[None, :, None] < 0, -self.GRID[:, None, None], torch.tensor(1.0)).expand(
            81, 81, 81
        )
        body = torch.tensor([2.0, 0, 0]).repeat(6890, 1)
        body[:, 1] = torch.where(torch.arange(6890) % 2 == 0, -1.0, 1)  # vertices looked at: every 53rd
        assert self.hidden(wall, -3.0, body) == 0.5


def test_a_frame_without_a_body_is_refused_by_name(small_world: Path) -> None:
    entry = read_index(small_world / "shards/rich")[0]
    frame = replace(ShardReader(small_world / "shards/rich").geometry(entry), vertices_world=None, contact=None)
    with pytest.raises(ShardError, match=f"sample {entry.key} has no ground truth"):
        find_truth(frame, entry, small_world / "scenes/rich.zarr", PART, CARDS["rich"])
