"""Targets of the root-and-contact network against brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sahmr.structures import Batch, Camera, PackedPoints, Targets, pack_points
from sahmr.targets import label_points, make_targets, stamp_cells
from tests.worlds.batches import person_batch
from tests.worlds.networks import make_topology


def brute_force(points: PackedPoints, vertices: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    prone = part > 0
    gap = (points.xyz[:, None].double() - vertices[points.sample][:, prone].double()).norm(dim=2)
    distance, index = gap.min(dim=1)
    return torch.where(distance < 0.07, part[prone][index], 0)


def test_labels_are_those_of_the_nearest_prone_vertex() -> None:
    random = torch.Generator().manual_seed(0)
    vertices = torch.randn(2, 6890, 3, generator=random) * 0.4
    part = torch.where(torch.rand(6890, generator=random) < 0.03, torch.randint(1, 8, (6890,), generator=random), 0)
    points = pack_points([torch.randn(150, 3, generator=random) * 0.4, torch.randn(50, 3, generator=random) * 0.4])
    label = label_points(points, vertices, part)
    assert torch.equal(label, brute_force(points, vertices, part))
    assert 0 < int((label > 0).sum()) < 200


def test_a_body_without_prone_vertices_labels_nothing() -> None:
    points = pack_points([torch.zeros(3, 3)])
    assert label_points(points, torch.zeros(1, 6890, 3), torch.zeros(6890, dtype=torch.long)).tolist() == [0, 0, 0]


def test_stamp_sits_on_its_cell() -> None:
    heatmap = stamp_cells(torch.tensor([[1, 54], [10, 20]]))
    assert heatmap[0, 54, 1] == 1 and heatmap[1, 20, 10] == 1
    assert heatmap.sum(dim=(1, 2)).tolist() == [4, 4]


@pytest.fixture
def make() -> Callable[..., Batch]:
    """A function root -> batch of one body there, with floor points round it."""

    def batch(root: tuple[float, float, float]) -> Batch:
        random = torch.Generator().manual_seed(1)
        vertices = torch.randn(1, 6890, 3, generator=random) * torch.tensor([0.15, 0.4, 0.1]) + torch.tensor(root)
        return Batch(
            keys=("a",),
            image=torch.zeros(1, 3, 224, 224),
            camera=Camera(
                intrinsics=torch.tensor([[[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]]]),
                camera_from_world=torch.eye(4)[None],
                crop_box=torch.tensor([[200.0, 200, 800, 800]]),
            ),
            scene=pack_points([torch.rand(500, 3, generator=random) * 0.6 + torch.tensor(root) - 0.3]),
            targets=Targets(
                vertices_camera=vertices,
                vertex_contact=torch.zeros(1, 6890, dtype=torch.bool),
                has_contact=torch.zeros(1, dtype=torch.bool),
            ),
        )

    return batch


def test_root_outside_the_crop_is_clamped_so_that_its_stamp_fits(make: Callable[..., Batch]) -> None:
    batch = make((3.0, 0.0, 3.0))
    targets = make_targets(batch, pack_points([torch.zeros(0, 3)]), make_topology())
    assert targets.root_map[0, 0] == 54
    assert targets.heatmap.sum() == 4


def test_jitter_depends_on_the_generator_alone_and_ignored_parts_vanish(make: Callable[..., Batch]) -> None:
    batch, topology, voxels = make((0.0, 0.0, 3.0)), make_topology(), pack_points([torch.zeros(1, 3)])
    one, two = (
        make_targets(batch, voxels, topology, generator=torch.Generator().manual_seed(seed)).part_maps
        for seed in (4, 4)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, make_targets(batch, voxels, topology).part_maps)
    without = make_targets(batch, voxels, topology, ignored_parts=[(3, 4)] * len(batch.keys)).part_maps
    assert without[:, 2:4].abs().sum() == 0
    assert without.abs().sum() > 0


def test_parts_are_left_out_of_the_samples_of_one_data_set_alone() -> None:
    batch, topology = person_batch(1, count=3), make_topology()
    voxels = batch.scene
    kept, without = (make_targets(batch, voxels, topology, ignored_parts=[parts] * 3) for parts in ((), (3, 4)))
    assert not torch.equal(kept.part_maps, without.part_maps)
    assert not torch.equal(kept.voxel_part, without.voxel_part)
    mixed = make_targets(batch, voxels, topology, ignored_parts=[(3, 4), (), (3, 4)])
    for place, whole in enumerate((without, kept, without)):
        assert torch.equal(mixed.part_maps[place], whole.part_maps[place])
        of_it = voxels.sample == place
        assert torch.equal(mixed.voxel_part[of_it], whole.voxel_part[of_it])
    with pytest.raises(ValueError, match="ignored_parts of 1 samples, the batch has 3"):
        make_targets(batch, voxels, topology, ignored_parts=[(3, 4)])


def test_batch_without_ground_truth_is_an_error(make: Callable[..., Batch]) -> None:
    batch = replace(make((0.0, 0.0, 3.0)), targets=None)
    with pytest.raises(ValueError, match="ground truth"):
        make_targets(batch, pack_points([torch.zeros(1, 3)]), make_topology())
