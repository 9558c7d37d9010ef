"""What a sample is scored against, put together from shard and store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sahmr.datasets import CARDS
from sahmr.errors import ShardError
from sahmr.scores.truth import find_truth
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
    world = (truth.contacts.numpy() - SHIFT) @ ROTATION
    assert len(world) > 50
    assert np.abs(world[:, 1] - 1.25).max() <= 0.03  # voxels of 5 cm
    gap = np.linalg.norm(world[:, None] - vertices[touching][None], axis=2).min(axis=1)
    assert gap.max() < 0.0701
    assert (truth.up - torch.tensor([0, -1, 0])).norm() < 0.05
    if not labelled:
        ignored = replace(CARDS["rich"], ignored_parts=(3,))
        assert len(find_truth(shown, entry, small_world / "scenes/rich.zarr", part, ignored).contacts) == 0


def test_a_frame_without_a_body_is_refused_by_name(small_world: Path) -> None:
    entry = read_index(small_world / "shards/rich")[0]
    frame = replace(ShardReader(small_world / "shards/rich").geometry(entry), vertices_world=None, contact=None)
    with pytest.raises(ShardError, match=f"sample {entry.key} has no ground truth"):
        find_truth(frame, entry, small_world / "scenes/rich.zarr", PART, CARDS["rich"])
