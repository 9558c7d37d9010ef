import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sahmr.batches.collate import collate
from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.batches.order import epoch_order
from sahmr.errors import ShardError
from sahmr.geometry.frustum import frustum_corners, inside_frustum
from sahmr.scenes.visible import block_points, visible_points
from sahmr.shards import crop
from sahmr.shards.reader import ShardReader, read_index
from tests.worlds import small


def dataset(world: Path, split: str = "train", **more: object) -> SampleDataset:
    return SampleDataset(world / "shards/rich", world / "scenes/rich.zarr", split, **more)


def test_sample_is_in_the_camera_frame(small_world: Path) -> None:
    sample = dataset(small_world)[0]
    row = small.records()[0]
    assert sample.key == row.key
    assert sample.image.shape == (3, 224, 224)
    expected = small.vertices(0) + small.CAMERA_FROM_WORLD[:3, 3]
    np.testing.assert_allclose(sample.vertices_camera.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(sample.crop_box.numpy(), crop.crop_box(np.array(row.person_box)), rtol=1e-6)
    assert len(sample.scene_camera) > 100
    pixels = sample.scene_camera @ sample.intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    assert (pixels >= sample.crop_box[:2] - 0.01).all()
    assert (pixels <= sample.crop_box[2:] + 0.01).all()


def test_crop_from_the_shard_matches_a_crop_from_the_image(small_world: Path) -> None:
    for index, row in enumerate(small.records()[:3]):
        sample = dataset(small_world)[index]
        direct = crop.warp(small.image(row.frame), crop.crop_from_image(crop.crop_box(np.array(row.person_box))))
        difference = np.abs(sample.image.numpy().transpose(1, 2, 0).astype(int) - direct)
        shifted = np.abs(np.roll(sample.image.numpy().transpose(1, 2, 0), 1, axis=1).astype(int) - direct)
        assert difference.mean() < 4  # JPEG and one reduction
        assert difference.mean() < shifted.mean()


def test_culling_by_blocks_loses_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(5000, 3, generator=generator) * 8 - 4
    points = points[(points * 2).long().unique(dim=0, return_inverse=True)[1].argsort()]
    intrinsics = torch.from_numpy(small.INTRINSICS).float()
    for left, depth in ((0.0, 0.0), (150.0, 3.0), (-400.0, -3.0)):
        box = torch.tensor([left, 20, left + 150, 170])
        transform = torch.eye(4)
        transform[2, 3] = depth
        camera = points + transform[:3, 3]
        expected = camera[inside_frustum(camera, frustum_corners(intrinsics[None], box[None])[0])]
        torch.testing.assert_close(visible_points(block_points(points), intrinsics, transform, box), expected)


def test_augmentation_depends_on_epoch_not_on_order(small_world: Path) -> None:
    data = dataset(small_world, is_training=True, seed=3)
    first, again, later = data[(1, 2)], data[(1, 2)], data[(2, 2)]
    assert torch.equal(first.crop_box, again.crop_box)
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.crop_box, later.crop_box)


def test_collate_packs_and_marks_unknown_contact(small_world: Path) -> None:
    data = dataset(small_world)
    batch = collate([data[index] for index in range(6)])
    assert batch.image.dtype == torch.float32
    assert batch.image.max() <= 1
    assert batch.targets.has_contact.tolist() == [True] * 5 + [False]
    assert not batch.targets.vertex_contact[5].any()
    counts = torch.bincount(batch.scene.sample)
    assert counts.tolist() == [len(data[index].scene_camera) for index in range(6)]
    assert collate([replace(data[0], vertices_camera=None)]).targets is None
    with pytest.raises(ValueError, match="at least one"):
        collate([])


def test_samples_without_a_body_make_batches_without_targets(tmp_path: Path) -> None:
    world = tmp_path / "world"
    mixed = small.record(11, split="test", has_body=False)
    small.write_world(world, [*small.records(), *small.own_records(), mixed])
    (batch,) = make_loader(dataset(world, "val"), batch_size=2)
    assert batch.keys == ("Room_val_00009", "Room_val_00010")
    assert batch.targets is None
    assert batch.image.shape == (2, 3, 224, 224)
    assert torch.bincount(batch.scene.sample).min() > 100
    test = make_loader(dataset(world, "test"), batch_size=2)
    assert [one.targets is None for one in test] == [False, True]  # the last one holds the mixed row
    assert dataset(world, "train", is_training=True).entries[0].has_body


def test_a_training_refuses_samples_without_a_body(tmp_path: Path) -> None:
    small.write_world(tmp_path / "world", [*small.records(), small.record(11, has_body=False)])
    reason = r"1 of 7 samples of split 'train' have no ground truth \(the first: Room_train_00011\).*dvc repro frames"
    with pytest.raises(ShardError, match=reason):
        dataset(tmp_path / "world", is_training=True)
    with pytest.raises(ShardError, match=reason):
        dataset(tmp_path / "world").require_bodies()


def test_batches_are_the_same_for_any_number_of_workers(small_world: Path) -> None:
    runs = []
    for workers in (0, 2):
        loader = make_loader(dataset(small_world, is_training=True), batch_size=2, seed=5, num_workers=workers)
        runs.append([batch for epoch in (0, 1) for batch in loader.epoch(epoch)])
    for one, other in zip(*runs, strict=True):
        assert one.keys == other.keys
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.scene.xyz, other.scene.xyz)
    assert [batch.keys for batch in runs[0][:3]] != [batch.keys for batch in runs[0][3:]]


def test_shares_of_every_batch_make_the_batch(small_world: Path) -> None:
    dataset = SampleDataset(small_world / "shards/rich", small_world / "scenes/rich.zarr", "train")
    whole = [batch.keys for batch in make_loader(dataset, batch_size=3, seed=4)]
    shares = [[batch.keys for batch in make_loader(dataset, batch_size=3, seed=4, share=(i, 2))] for i in range(2)]
    assert [one + two for one, two in zip(*shares, strict=True)] == whole
    plain = [key for batch in make_loader(dataset, batch_size=3) for key in batch.keys]
    parts = [
        [key for batch in make_loader(dataset, batch_size=3, share=(i, 4)) for key in batch.keys] for i in range(4)
    ]
    assert sorted(key for part in parts for key in part) == sorted(plain)  # of a short batch some get nothing


def test_an_epoch_can_be_resumed_and_covers_all(small_world: Path) -> None:
    loader = make_loader(dataset(small_world), batch_size=4, seed=5)
    assert len(loader) == 1  # the short batch is left out in training
    loader = make_loader(dataset(small_world), batch_size=4)
    keys = [batch.keys for batch in loader]
    assert [len(row) for row in keys] == [4, 2]
    assert [key for row in keys for key in row] == [row.key for row in small.records()[:6]]
    assert [batch.keys for batch in loader.epoch(0, first_batch=1)] == keys[1:]
    assert sorted(epoch_order(9, 1, 2)) == list(range(9))


def test_damage_is_told(small_world: Path, tmp_path: Path) -> None:
    shutil.copytree(small_world / "shards/rich", tmp_path / "rich")
    reader = pickle.loads(pickle.dumps(ShardReader(tmp_path / "rich")))
    entry = read_index(tmp_path / "rich")[-1]
    path = tmp_path / "rich" / entry.shard
    content = bytearray(path.read_bytes())
    content[entry.offset + entry.length // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"SHA-256 differs .*dvc repro shards"):
        reader.read(entry, verify=True)
    path.write_bytes(content[: entry.offset + 100])
    with pytest.raises(ShardError, match="found 100 of"):
        reader.read(entry)
    reader.close()
    path.unlink()
    with pytest.raises(ShardError, match="No such file"):
        reader.read(entry)


def test_unknown_split_is_told(small_world: Path) -> None:
    with pytest.raises(ShardError, match=r"no samples of split 'val'.*\['test', 'train'\]"):
        dataset(small_world, "val")
