"""Stage ``shards``: bytes, reuse of finished shards, and damaged raw files."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

from pipelines import shards, verify
from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.errors import QuarantineError, RawDataError
from sahmr.readers.prox import ProxRules
from sahmr.readers.registry import open_reader
from sahmr.shards.reader import read_index
from sahmr.shards.write import ShardPlan
from schemas.fields import SchemaError, from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from schemas.tables_write import to_table, write_table
from tests.worlds import raw_trees, small

TEST, TRAIN, SHORT = (
    "rich-test-Room_test-000000.tar",
    "rich-train-Room_train-000000.tar",
    "rich-train-Room_train-000001.tar",
)


@dataclass(frozen=True)
class PoisonReader(small.SmallReader):
    """Cannot read the images of some frames."""

    poison: tuple[int, ...] = ()

    def read_image(self, row: FrameRecord, *more: object, **named: object) -> np.ndarray:
        if row.frame in self.poison:
            raise RawDataError(f"{self.root / row.image_file}: damaged image (cut short); fetch it again")
        return super().read_image(row, *more, **named)


SEEN: set[str] = set()


class RecordingFrame(FrameRecord):
    """A frame that notes which of its fields are read."""

    def __getattribute__(self, name: str) -> object:
        SEEN.add(name)
        return super().__getattribute__(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class WiderFrame(FrameRecord):
    """A frame of a later version of the table."""

    weather: str = "sunny"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    small.write_world(tmp_path / "world")
    return tmp_path / "world"


@pytest.fixture
def run(world: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, int]]:
    """Run the stage, with settings that differ from the usual ones; gives its report."""

    def stage(*poison: int, **changes: int) -> dict[str, int]:
        reader = PoisonReader(world / "raw", poison)
        monkeypatch.setattr(shards, "open_reader", lambda *_, **__: reader)
        settings = replace(small.SHARDS, **changes)
        shards.run("rich", settings, small.paths_of(world), small.PARALLEL, raw=world / "raw")
        return report(world)

    return stage


def report(world: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((world / "reports/shards_rich.json").read_text())
    return found


def counts(found: dict[str, int]) -> tuple[int, int, int, int]:
    return found["planned"], found["executed"], found["reused"], found["quarantined"]


@pytest.mark.filterwarnings("default")  # distributed warns of busy machines and ports
def test_bytes_do_not_depend_on_the_number_of_workers(
    world: Path, run: Callable[..., dict[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    folder = world / "shards/rich"
    expected = small.hashes(folder)
    assert set(expected) == {TEST, TRAIN, SHORT, "index.parquet", "left_out.parquet", "manifest.json"}
    with caplog.at_level("INFO", "sahmr"):
        assert counts(run()) == (3, 3, 0, 0)
    assert any("shards rich: samples {'test': 3, 'train': 6}" in line for line in caplog.messages)
    assert small.hashes(folder) == expected


def test_finished_shards_are_reused_and_share_their_disk_space(world: Path, run: Callable[..., dict[str, int]]) -> None:
    first = run()
    before = {path.name: path.stat().st_ino for path in (world / "shards/rich").glob("*.tar")}
    assert counts(run()) == (3, 0, 3, 0)
    after = {path.name: path.stat() for path in (world / "shards/rich").glob("*.tar")}
    assert {name: state.st_ino for name, state in after.items()} == before
    assert {(state.st_nlink, state.st_mode & 0o777) for state in after.values()} == {(2, 0o444)}
    assert first["bytes"] == sum(state.st_size for state in after.values())


def test_only_what_changed_is_made_again(world: Path, run: Callable[..., dict[str, int]]) -> None:
    run()
    before = small.hashes(world / "shards/rich")
    (world / "raw/5.png").write_bytes(b"another image")
    rows = small.records()
    rows[5] = replace(rows[5], image_sha256=small.sha256(b"another image"))
    write_table(world / "frames/rich.parquet", to_table(rows, FRAME_SCHEMA))
    assert counts(run()) == (3, 1, 2, 0)
    after = small.hashes(world / "shards/rich")
    assert {name for name in before if before[name] != after[name]} == {SHORT, "index.parquet", "manifest.json"}
    assert counts(run(jpeg_quality=80)) == (3, 3, 0, 0)
    write_table(world / "frames/rich.parquet", to_table(small.records(), FRAME_SCHEMA))
    (world / "raw/5.png").write_bytes(small.raw_files(5)["5.png"])
    assert counts(run(max_quarantined=3)) == (3, 0, 3, 0)  # cannot change a shard
    assert small.hashes(world / "shards/rich") == before


def test_a_shard_is_made_of_the_declared_fields_and_no_other(tmp_path: Path) -> None:
    bodies = raw_trees.write_bodies(tmp_path / "bodies")
    roots = {"rich": raw_trees.write_rich(tmp_path / "RICH"), "prox": raw_trees.write_prox(tmp_path / "PROX")}
    names = [field.name for field in fields(FrameRecord)]
    for dataset, rules in (("rich", raw_trees.RULES), ("prox", ProxRules(parts=("quantitative",)))):
        reader = open_reader(dataset, roots[dataset], bodies=bodies, rules=rules)
        rows = [row for task in reader.list_bodies().tasks for row in reader.measure(task).records]
        alone = {"body_file": None, "body_sha256": None, "contact_file": None, "contact_sha256": None}
        rows += [replace(rows[0], key="own", box_source="person", **alone)]
        plan = ShardPlan(name="s.tar", records=tuple(RecordingFrame(**asdict(row)) for row in rows))
        SEEN.clear()
        made = shards.write_planned(plan, tmp_path, reader=reader, settings=small.SHARDS)
        assert (len(made.facts["ends"]), made.quarantined) == (len(rows), ())
        assert SEEN & set(names) == set(shards.ENCODED_FIELDS), dataset
    assert set(names) - set(shards.ENCODED_FIELDS) == {"camera", "frame", "subject"}


def test_fields_that_are_not_encoded_make_nothing_again(world: Path, run: Callable[..., dict[str, int]]) -> None:
    run()
    rows = [replace(row, camera=7, frame=1000 - row.frame, subject="017") for row in small.records()]
    write_table(world / "frames/rich.parquet", to_table(rows, FRAME_SCHEMA))
    assert counts(run()) == (3, 0, 3, 0)
    row = small.record(0)
    plan = ShardPlan(name="s.tar", records=(row,))
    wider = ShardPlan(name="s.tar", records=(WiderFrame(**asdict(row)),))
    assert shards.piece_inputs(wider) == shards.piece_inputs(plan)
    changed = ShardPlan(name="s.tar", records=(replace(row, gender="female"),))
    assert shards.piece_inputs(changed) != shards.piece_inputs(plan)


def test_a_new_version_makes_everything_again(
    world: Path, run: Callable[..., dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(shards, "VERSION", shards.VERSION + 1)
    assert counts(run()) == (3, 3, 0, 0)


def test_a_damaged_piece_is_made_again(world: Path, run: Callable[..., dict[str, int]]) -> None:
    run()
    before = small.hashes(world / "shards/rich")
    path = next((world / "work/shards").rglob(SHORT))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-512])
    assert counts(run()) == (3, 1, 2, 0)
    assert small.hashes(world / "shards/rich") == before


def test_a_damaged_image_is_told_at_the_end_and_keeps_the_old_shards(
    world: Path, run: Callable[..., dict[str, int]]
) -> None:
    before = small.hashes(world / "shards")
    with pytest.raises(QuarantineError, match=r"(?s)1 damaged raw files.*allows 0.*cut short.*max_quarantined"):
        run(4)
    assert small.hashes(world / "shards") == before
    assert sorted(path.name for path in (world / "shards").iterdir()) == ["rich"]
    assert counts(report(world)) == (3, 3, 0, 1)
    (row,) = from_table(read_table(world / "reports/quarantine_shards_rich.parquet", QUARANTINE_SCHEMA), Quarantined)
    assert (row.item, row.split, row.file, row.rule) == ("Room_train_00004", "train", "4.png", "image")
    assert counts(run()) == (3, 1, 2, 0)  # mended: the flawed shard alone is made again
    assert small.hashes(world / "shards") == before


def test_an_accepted_number_of_damaged_files_is_left_out_and_counted(
    world: Path, run: Callable[..., dict[str, int]]
) -> None:
    run(4, 7, max_quarantined=2)
    keys = {entry.key for entry in read_index(world / "shards/rich")}
    assert keys == {row.key for row in small.records() if row.frame not in (4, 7)}
    left_out = read_table(world / "shards/rich/left_out.parquet", QUARANTINE_SCHEMA)
    assert left_out.column("item").to_pylist() == ["Room_test_00007", "Room_train_00004"]
    with pytest.raises(QuarantineError, match="3 damaged"):
        run(4, 7, 8, max_quarantined=2)


def test_frames_without_ground_truth_go_the_whole_way(world: Path, run: Callable[..., dict[str, int]]) -> None:
    rows = [*small.records(), *small.own_records()]
    for row in small.own_records():
        (world / "raw" / row.image_file).write_bytes(small.raw_files(row.frame)[row.image_file])
    write_table(world / "frames/rich.parquet", to_table(rows, FRAME_SCHEMA))
    assert counts(run()) == (4, 4, 0, 0)
    small.write_manifests(world)
    entries = read_index(world / "shards/rich")
    assert [entry.key for entry in entries if not entry.has_body] == ["Room_val_00009", "Room_val_00010"]
    verify.run("rich", small.VERIFY, small.paths_of(world), small.PARALLEL)
    found = json.loads((world / "reports/verify_rich.json").read_text())
    assert (found["problems"], found["samples"], found["without_body"], found["contact_labels"]) == ([], 11, 2, 8)
    (batch,) = make_loader(SampleDataset(world / "shards/rich", world / "scenes/rich.zarr", "val"), batch_size=2)
    assert (batch.keys, batch.targets) == (("Room_val_00009", "Room_val_00010"), None)


def test_a_raw_file_changed_since_frames_is_not_encoded(world: Path, run: Callable[..., dict[str, int]]) -> None:
    (world / "raw/8.pkl").write_bytes(b"changed")
    with pytest.raises(QuarantineError, match=r"8\.pkl: body gone or changed.*dvc repro frames"):
        run()


def test_missing_input_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="dvc repro frames"):
        shards.run("rich", small.SHARDS, small.paths_of(tmp_path), small.PARALLEL, raw=tmp_path)
