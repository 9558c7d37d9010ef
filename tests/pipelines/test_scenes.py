"""Stage ``scenes``: one piece per scan, reused while the scan is the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import scenes, verify
from sahmr.batches.dataset import SampleDataset
from sahmr.errors import QuarantineError, ShardError
from sahmr.scenes.arrays import left_out_scenes, list_scenes
from schemas.fields import SchemaError
from schemas.scene import SCENE_SCHEMA
from schemas.tables_write import to_table, write_table
from tests.worlds import small


def run(folder: Path, **changes: int) -> None:
    """``changes``: settings that differ from the usual ones."""
    settings = replace(small.SCENES, **changes)
    scenes.run("rich", settings, small.paths_of(folder), small.PARALLEL, raw=folder / "raw")


def counts(world: Path) -> tuple[int, ...]:
    found = json.loads((world / "reports/scenes_rich.json").read_text())
    return tuple(found[name] for name in ("planned", "executed", "reused", "quarantined"))


def test_store_is_repeatable_and_replaced_as_a_whole(tmp_path: Path, caplog) -> None:
    small.write_world(tmp_path / "world")
    store = tmp_path / "world/scenes/rich.zarr"
    before = small.hashes(store)
    (store / "stray").write_text("left by an earlier run")
    with caplog.at_level("INFO", "sahmr"):
        run(tmp_path / "world")
    assert small.hashes(store) == before
    assert [line for line in caplog.messages if line.startswith("scenes rich: 1 scenes")]
    assert sorted(path.name for path in store.parent.iterdir()) == ["rich.manifest.json", "rich.zarr"]
    assert counts(tmp_path / "world") == (1, 1, 0, 0)
    run(tmp_path / "world")
    assert counts(tmp_path / "world") == (1, 0, 1, 0)
    assert small.hashes(store) == before
    chunk = next(path for path in store.rglob("c/**/*") if path.is_file())
    assert chunk.stat().st_nlink == 2  # the work store's copy is the same file


def test_a_changed_scan_is_converted_again(tmp_path: Path) -> None:
    small.write_world(tmp_path / "world")
    run(tmp_path / "world")
    changed = replace(small.scene_record(), scan_sha256="1" * 64)
    write_table(tmp_path / "world/frames/rich_scenes.parquet", to_table([changed], SCENE_SCHEMA))
    run(tmp_path / "world")
    assert counts(tmp_path / "world") == (1, 1, 0, 0)


def test_an_accepted_damaged_scan_is_left_out_with_its_samples(tmp_path: Path) -> None:
    world = tmp_path / "world"
    small.write_world(world)
    (world / "raw/room.ply").write_bytes(b"")
    run(world, max_quarantined=1)
    store = world / "scenes/rich.zarr"
    assert (list_scenes(store), left_out_scenes(store)) == ([], ["Room_scan"])
    with pytest.raises(ShardError, match="no samples"):
        SampleDataset(world / "shards/rich", store, "train")
    verify.run("rich", small.VERIFY, small.paths_of(world), small.PARALLEL)
    report = json.loads((world / "reports/verify_rich.json").read_text())
    assert (report["samples"], report["left_out"]) == (0, {"damaged": 0, "without_scene": 9})


def test_failure_keeps_the_old_store_and_nothing_partial(tmp_path: Path) -> None:
    small.write_world(tmp_path / "world")
    store = tmp_path / "world/scenes/rich.zarr"
    before = small.hashes(store)
    (tmp_path / "world/raw/room.ply").write_bytes(b"")
    with pytest.raises(QuarantineError, match=r"1 damaged raw files.*\n.*room\.ply: is empty"):
        run(tmp_path / "world")
    assert small.hashes(store) == before
    assert sorted(path.name for path in store.parent.iterdir()) == ["rich.manifest.json", "rich.zarr"]


def test_missing_input_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="dvc repro frames"):
        run(tmp_path)
