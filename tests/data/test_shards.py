import gc
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset

from sahmr.data.shard_files import ShardPlan, plan_shards, read_index, write_shard
from sahmr.data.shards import decode_sample
from sahmr.errors import RawDataError, ShardError
from tests.data import small


def test_round_trip(small_world: Path) -> None:
    folder = small_world / "shards/rich"
    for entry in read_index(folder):
        with (folder / entry.shard).open("rb") as stream:
            sample = decode_sample(os.pread(stream.fileno(), entry.length, entry.offset))
        row = next(row for row in small.records() if row.key == entry.key)
        assert (sample.key, sample.split, sample.scene_key) == (row.key, row.split, row.scene_key)
        np.testing.assert_array_equal(sample.vertices_world, small.vertices(row.frame).astype(np.float32))
        np.testing.assert_array_equal(sample.intrinsics.ravel(), row.intrinsics)
        np.testing.assert_array_equal(sample.camera_from_world.ravel(), row.camera_from_world)
        np.testing.assert_array_equal(sample.person_box, row.person_box)
        assert max(sample.image.shape) == small.SHARDS.max_side_px
        assert (sample.contact is None) == (row.contact_file is None)
        if sample.contact is not None:
            np.testing.assert_array_equal(sample.contact, small.contact(row.frame))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its files to the garbage collector
def test_a_plain_webdataset_reads_the_shards(small_world: Path) -> None:
    urls = sorted(str(path) for path in (small_world / "shards/rich").glob("rich-train-*.tar"))
    assert [Path(url).name for url in urls] == ["rich-train-000000.tar", "rich-train-000001.tar"]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [row.key for row in small.records() if row.split == "train"]
    assert {"jpg", "json", "vertices.npy", "contact.npy"} <= set(samples[0])
    assert "contact.npy" not in samples[-1]
    meta = json.loads(samples[0]["json"])
    assert list(meta) == sorted(meta)
    assert "licence" in meta
    gc.collect()


def test_jpeg_is_the_region_of_the_image() -> None:
    settings = replace(small.SHARDS, max_side_px=10_000)
    folder_free = small.members(small.record(0), settings)
    image = decode_members(small.record(0).key, folder_free)
    left, top, right, bottom = image.region
    kept = small.image(0)[top:bottom, left:right].astype(int)
    assert np.abs(image.image - kept).mean() < 2


def decode_members(key: str, members: dict[str, bytes]):
    import io

    stream = io.BytesIO()
    with webdataset.TarWriter(stream, mtime=0, encoder=False) as writer:
        writer.write({"__key__": key, **members})
    return decode_sample(stream.getvalue())


def test_packed_contact_has_862_bytes() -> None:
    members = small.members(small.record(0))
    assert len(members["contact.npy"]) - len(members["contact.npy"]) % 128 <= 862 + 128
    members["contact.npy"] = small.members(small.record(0))["vertices.npy"]
    with pytest.raises(ShardError, match=r"expected \(862,\)"):
        decode_members("k", members)


@pytest.mark.parametrize("member", ["jpg", "json", "vertices.npy", "contact.npy"])
def test_missing_and_damaged_members_are_told(member: str) -> None:
    members = small.members(small.record(0))
    with pytest.raises(ShardError, match=f"lacks '{member}'"):
        decode_members("k", {name: data for name, data in members.items() if name != member})
    with pytest.raises(ShardError, match="damaged"):
        decode_members("k", {**members, member: members[member][:40]})


def test_contradicting_input_is_refused() -> None:
    row = small.record(0)
    with pytest.raises(RawDataError, match="run: dvc repro frames"):
        small.encode_sample(row, small.image()[:-1], small.vertices(), None, small.SHARDS)
    with pytest.raises(RawDataError, match="not finite"):
        small.encode_sample(row, small.image(), small.vertices() * np.nan, None, small.SHARDS)
    with pytest.raises(RawDataError, match="862"):
        small.encode_sample(row, small.image(), small.vertices(), np.zeros(862, bool), small.SHARDS)
    away = replace(row, person_box=(-900.0, 0.0, -800.0, 100.0))
    with pytest.raises(RawDataError, match="outside"):
        small.encode_sample(away, small.image(), small.vertices(), None, small.SHARDS)


def test_shard_with_too_few_samples_is_not_left_behind(tmp_path: Path) -> None:
    plan = ShardPlan(name="rich-train-000000.tar", records=tuple(small.records()[:3]))
    for count in (2, 4):
        with pytest.raises(ShardError, match="planned 3 samples"):
            write_shard(tmp_path, plan, [small.members(small.record(i)) for i in range(count)])
        assert list(tmp_path.iterdir()) == []


def test_plan_sorts_and_refuses_double_keys_and_shared_sequences() -> None:
    rows = small.records()
    plans = plan_shards(rows[::-1], 4)
    assert [(plan.name, len(plan.records)) for plan in plans] == [
        ("rich-test-000000.tar", 3),
        ("rich-train-000000.tar", 4),
        ("rich-train-000001.tar", 2),
    ]
    with pytest.raises(ShardError, match="twice"):
        plan_shards([*rows, rows[0]], 4)
    with pytest.raises(ShardError, match="two splits"):
        plan_shards([*rows, replace(small.record(10), split="val")], 4)


def test_no_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="dvc repro shards"):
        read_index(tmp_path)
