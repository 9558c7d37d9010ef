from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sahmr import verify
from sahmr.placement import placement_problems
from sahmr.scenes.visible import block_points
from sahmr.shards.reader import read_index
from sahmr.shards.write import write_shard
from sahmr.verify import verify_shard
from schemas.agreement import verify_index
from tests.worlds import small


def shard(world: Path, folder: Path, rows, members=None):
    parts = members or [small.members(row) for row in rows]
    entries = write_shard(folder, "rich-train-000000.tar", zip(rows, parts, strict=True))
    return tuple(entries), {
        "folder": folder,
        "scenes": world / "scenes/rich.zarr",
        "records": {row.key: row for row in rows},
        "settings": small.VERIFY,
    }


def test_sound_shards_have_no_problems(small_world: Path, tmp_path: Path) -> None:
    entries, more = shard(small_world, tmp_path, small.records()[3:6])
    found = verify_shard(entries, **more)
    assert found.problems == ()
    assert (found.samples, found.with_contact, found.empty_frustum) == (3, 2, 0)
    assert found.vertices_behind == 0
    assert verify_index(read_index(small_world / "shards/rich"), small.records()) == []


def test_samples_without_a_body_are_counted(small_world: Path, tmp_path: Path) -> None:
    rows = [small.record(3), small.record(4, has_body=False)]
    entries, more = shard(small_world, tmp_path, rows)
    found = verify_shard(entries, **more)
    assert (found.problems, found.samples, found.without_body, found.with_contact) == ((), 2, 1, 1)
    told = verify_shard(entries, **{**more, "records": {row.key: small.record(row.frame) for row in rows}}).problems
    assert [line.split(": ", 2)[2] for line in told] == [
        "box_source is detector, the frame table has body",
        "has contact labels: False, the frame table differs",
        "has a body: False, the frame table differs",
    ]
    wrong = tuple(replace(entry, has_body=True) for entry in entries)
    assert "has a body: False, the index differs" in verify_shard(wrong, **more).problems[0]


def test_a_detector_may_see_another_box_than_the_body(small_world: Path, tmp_path: Path) -> None:
    left, top, right, bottom = small.record(0).person_box
    row = replace(small.record(0), person_box=(left - 9, top - 9, right + 9, bottom), box_source="detector")
    entries, more = shard(small_world, tmp_path, [row])
    assert verify_shard(entries, **more).problems == ()


def test_crops_that_see_no_scene_are_counted(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, more = shard(small_world, tmp_path, small.records()[3:6])
    monkeypatch.setattr(verify, "load_blocks", lambda *_: block_points(torch.tensor([[0.0, 0.0, -50.0]])))
    found = verify_shard(entries, **more)
    assert (found.problems, found.samples, found.empty_frustum) == ((), 3, 3)


def test_flipped_byte_and_short_shard_are_found(small_world: Path, tmp_path: Path) -> None:
    entries, more = shard(small_world, tmp_path, small.records()[:3])
    path = tmp_path / entries[0].shard
    content = bytearray(path.read_bytes())
    content[entries[1].offset + 700] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    found = verify_shard(entries, **more)
    assert found.samples == 2
    assert len(found.problems) == 1
    assert entries[1].key in found.problems[0]
    assert "SHA-256" in found.problems[0]
    path.write_bytes(content[: entries[2].offset])
    problems = verify_shard(entries, **more).problems
    assert any("cut short" in line for line in problems)
    assert any(entries[2].key in line and "found 0 of" in line for line in problems)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"person_box": (10.0, 10.0, 60.0, 90.0)}, "off the person box"),
        ({"camera_from_world": tuple(np.diag([1.0, 1, 1, 1]).ravel())}, "off the person box"),
        ({"gender": "female"}, "gender is female, the frame table has male"),
        ({"contact_file": None}, "contact labels"),
    ],
)
def test_contradictions_are_found(small_world: Path, tmp_path: Path, change: dict[str, object], told: str) -> None:
    row = small.record(0)
    entries, more = shard(small_world, tmp_path, [row], [small.members(replace(row, **change))])
    assert told in " ".join(verify_shard(entries, **more).problems)


def test_camera_behind_a_wall_is_found(small_world: Path, tmp_path: Path) -> None:
    pose = small.CAMERA_FROM_WORLD.copy()
    pose[2, 3] = 2.2  # the room ends 2 m behind its middle
    row = replace(small.record(0), camera_from_world=tuple(pose.ravel().tolist()))
    entries, more = shard(small_world, tmp_path, [row])
    found = verify_shard(entries, **more)
    scenes, records = {"Room_scan": small.scene_record()}, {row.key: row}
    (told,) = placement_problems(found.places, small.VERIFY.placement, records=records, scenes=scenes)
    assert told.startswith("scene Room_scan: scan room.ply contradicts cameras")
    assert "the camera stands 0.20 m behind its surface" in told


def test_index_is_compared_with_the_frame_table(small_world: Path) -> None:
    entries, rows = read_index(small_world / "shards/rich"), small.records()
    assert "occurs 2 times" in verify_index([*entries, entries[0]], rows)[0]
    assert "is missing" in verify_index(entries[1:], rows)[0]
    assert "not in the frame table" in verify_index(entries, rows[1:])[0]
    moved = [replace(entries[0], split="val"), *entries[1:]]
    assert any("lies in the splits ['test', 'val']" in line for line in verify_index(moved, rows))
