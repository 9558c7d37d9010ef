import gc
import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import webdataset

from sahmr.errors import RawDataError, ShardError
from sahmr.shards.decode import StoredGeometry, decode_geometry, decode_sample
from sahmr.shards.encode import plan_crop
from sahmr.shards.reader import read_index
from sahmr.shards.write import plan_shards
from tests.worlds import small


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


def test_a_sample_without_a_body_has_picture_and_camera() -> None:
    row = small.own_records()[0]
    members = small.members(row)
    assert sorted(members) == ["jpg", "json"]
    sample = decode_members(row.key, members)
    assert (sample.vertices_world, sample.contact, sample.box_source) == (None, None, "detector")
    np.testing.assert_array_equal(sample.person_box, row.person_box)
    assert sample.image.shape[2] == 3


def test_members_of_version_1_have_a_body() -> None:
    row = small.record(0)
    members = small.members(row)
    now = json.loads(members["json"])
    assert (now["member_version"], now["has_body"], now["box_source"]) == ("1.1", True, "body")
    old = {name: value for name, value in now.items() if name not in ("has_body", "box_source")}
    before = decode_members(row.key, {**members, "json": json.dumps({**old, "member_version": 1}).encode()})
    after = decode_members(row.key, members)
    for field in fields(after):
        np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"member_version": "1.3"}, r"k: has version 1\.3, written by a newer .* update the software"),
        ({"member_version": "2.0"}, r"k: has version 2\.0, allowed: 1\.0 to 1\.2; rebuild with: dvc repro shards"),
        ({"has_body": None}, "lacks 'has_body'; rebuild with: dvc repro shards"),
    ],
)
def test_other_members_are_refused(change: dict[str, object], reason: str) -> None:
    members = small.members(small.record(0))
    meta = {name: value for name, value in {**json.loads(members["json"]), **change}.items() if value is not None}
    with pytest.raises(ShardError, match=reason):
        decode_members("k", {**members, "json": json.dumps(meta).encode()})


def test_geometry_is_the_sample_without_its_picture(small_world: Path) -> None:
    for entry in read_index(small_world / "shards/rich"):
        data = (small_world / "shards/rich" / entry.shard).read_bytes()[entry.offset : entry.offset + entry.length]
        sample, geometry = decode_sample(data), decode_geometry(data)
        for field in fields(StoredGeometry):
            np.testing.assert_array_equal(getattr(geometry, field.name), getattr(sample, field.name))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its files to the garbage collector
def test_a_plain_webdataset_reads_the_shards(small_world: Path) -> None:
    urls = sorted(str(path) for path in (small_world / "shards/rich").glob("rich-train-*.tar"))
    assert [Path(url).name for url in urls] == ["rich-train-Room_train-000000.tar", "rich-train-Room_train-000001.tar"]
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
    return decode_sample(stream.getvalue(), place=key)


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
    crop = plan_crop(row, small.SHARDS)
    pixels = small.SmallReader().read_image(row, crop.region, crop.divisor)
    for wrong in (pixels[:-1], small.image()):
        with pytest.raises(RawDataError, match="run: dvc repro frames"):
            small.encode_sample(row, wrong, small.vertices(), None, small.SHARDS)
    with pytest.raises(RawDataError, match="not finite"):
        small.encode_sample(row, pixels, small.vertices() * np.nan, None, small.SHARDS)
    with pytest.raises(RawDataError, match="862"):
        small.encode_sample(row, pixels, small.vertices(), np.zeros(862, bool), small.SHARDS)
    own = small.own_records()[0]
    for record, body, contact in ((own, small.vertices(), None), (row, None, None), (own, None, small.contact())):
        with pytest.raises(RawDataError, match=r"body_file is .* vertices are given: (True|False), labels"):
            small.encode_sample(record, pixels, body, contact, small.SHARDS)
    away = replace(row, person_box=(-900.0, 0.0, -800.0, 100.0))
    with pytest.raises(RawDataError, match="outside"):
        small.encode_sample(away, pixels, small.vertices(), None, small.SHARDS)


def test_what_is_read_of_an_image() -> None:
    """By hand: the person is 400 px high, the square 640 + 2 (40 + 1) wide, widened to multiples of 4."""
    row = replace(small.record(0), image_width=4112, image_height=3008, person_box=(1000.0, 900.0, 1100.0, 1300.0))
    settings = replace(small.SHARDS, max_side_px=160)
    crop = plan_crop(row, settings)
    assert crop.region == (688, 736, 1412, 1464)
    assert (crop.divisor, crop.shape) == (4, (182, 181, 3))
    for side, divisor in ((182, 4), (183, 2), (364, 2), (365, 1)):  # at least the stored side is left
        assert plan_crop(row, replace(settings, max_side_px=side)).divisor == divisor
    quarter = replace(row, image_divisor=4)  # has nothing finer
    assert plan_crop(quarter, replace(settings, max_side_px=365)) == crop
    odd = replace(row, image_width=4110)  # a quarter of it would end inside a pixel
    assert plan_crop(odd, settings).divisor == 2


def test_plan_sorts_and_refuses_double_keys_and_shared_sequences() -> None:
    rows = small.records()
    plans = plan_shards(rows[::-1], 4)
    assert [(plan.name, len(plan.records)) for plan in plans] == [
        ("rich-test-Room_test-000000.tar", 3),
        ("rich-train-Room_train-000000.tar", 4),
        ("rich-train-Room_train-000001.tar", 2),
    ]
    with pytest.raises(ShardError, match="twice"):
        plan_shards([*rows, rows[0]], 4)
    with pytest.raises(ShardError, match="two splits"):
        plan_shards([*rows, replace(small.record(10), split="val")], 4)


def test_a_shard_holds_one_sequence_and_others_do_not_move_it() -> None:
    rows = small.records()
    other = [replace(small.record(i), sequence="A.first", key=f"A_{i}") for i in range(3)]
    before = {plan.name: plan.records for plan in plan_shards(rows, 4)}
    after = {plan.name: plan.records for plan in plan_shards([*rows, *other], 4)}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"rich-train-A-first-000000.tar"}
    clash = [replace(row, sequence="A-first", key=f"B_{row.frame}") for row in other]
    with pytest.raises(ShardError, match=r"A\.first and A-first"):
        plan_shards([*other, *clash], 4)


def test_no_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="dvc repro shards"):
        read_index(tmp_path)
