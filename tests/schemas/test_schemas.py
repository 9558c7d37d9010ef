"""Records survive Arrow, older versions are read, bytes repeat, and a change of format is a visible diff."""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.schema_page import ALL
from schemas.fields import SchemaError, column, from_table, read_table, schema
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA, MetricRecord
from schemas.registry import Stored
from schemas.scene import SCENE_SCHEMA
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry
from schemas.tables_write import to_table, write_table
from schemas.version import VersionError, readable_minor
from tests.imports import ROOT
from tests.schemas import golden_schemas
from tests.worlds.older_tables import write_as_is


def frame(key: str = "Gym_013_burpee4_6_00120_13") -> FrameRecord:
    return FrameRecord(
        key=key, dataset="rich", split="test", sequence="Gym_013_burpee4", camera=6, frame=120, subject="013",
        gender="female", intrinsics=tuple(range(9)), camera_from_world=tuple(range(16)), image_width=4112,
        image_height=3008, person_box=(1.0, 2.0, 3.0, 4.5), scene_key="Gym_scan_camcoord", image_file="a.jpeg",
        image_sha256="0", mirrored=False, body_file="b.pkl", body_sha256="1", contact_file=None, contact_sha256=None,
    )  # fmt: skip


def test_records_survive_arrow(tmp_path: Path) -> None:
    alone = {"body_file": None, "body_sha256": None, "box_source": "detector"}
    records = [frame("a"), replace(frame("b"), **alone)]
    write_table(tmp_path / "f.parquet", to_table(records, FRAME_SCHEMA))
    assert from_table(read_table(tmp_path / "f.parquet", FRAME_SCHEMA), FrameRecord) == records


def test_bytes_repeat(tmp_path: Path) -> None:
    table = to_table([frame(str(i)) for i in range(50)], FRAME_SCHEMA)
    write_table(tmp_path / "a", table, extra={"z": "1", "a": "2"})
    write_table(tmp_path / "b", pa.concat_tables([table[:20], table[20:]]), extra={"a": "2", "z": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_table(path, to_table([frame(str(i)) for i in range(50)], FRAME_SCHEMA))
    raw = bytearray(path.read_bytes())
    raw[60] ^= 4
    path.write_bytes(raw)
    with pytest.raises(SchemaError, match=r"a: damaged .*CRC checksum.*; rebuild with: dvc repro frames"):
        read_table(path, FRAME_SCHEMA)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "f.parquet", to_table([frame()], FRAME_SCHEMA))
    with pytest.raises(SchemaError, match=r"sahmr\.schema is frame, expected shard_index; .*dvc repro shards"):
        read_table(tmp_path / "f.parquet", SHARD_INDEX_SCHEMA)
    with pytest.raises(SchemaError, match="no such file; make it with: dvc repro frames"):
        read_table(tmp_path / "none.parquet", FRAME_SCHEMA)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "plain.parquet")
    with pytest.raises(SchemaError, match=r"sahmr\.schema is None, expected frame"):
        read_table(tmp_path / "plain.parquet", FRAME_SCHEMA)


@pytest.mark.parametrize(("found", "minor"), [("2", 0), (2, 0), ("2.0", 0), ("2.1", 1), ("2.3", 3)])
def test_minor_versions_are_read(found: object, minor: int) -> None:
    assert readable_minor(found, "2.3", rebuild="make") == minor


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ("2.4", "has version 2.4, written by a newer version of this software, which reads 2.0 to 2.3: update the"),
        ("1.9", "has version 1.9, allowed: 2.0 to 2.3; rebuild with: make"),
        ("3.0", "has version 3.0, allowed"),
        (None, "has version None, allowed"),
        ("2.", "has version 2., allowed"),
    ],
)
def test_other_versions_are_refused(found: object, reason: str) -> None:
    with pytest.raises(VersionError) as refusal:
        readable_minor(found, "2.3", rebuild="make")
    assert reason in str(refusal.value)


def older(table: pa.Table, *added: str) -> pa.Table:
    """A table as it was written when the global version 2 was the only one."""
    plain = table.drop_columns(list(added))
    fields = [field.with_nullable(field.name.startswith("contact")) for field in plain.schema]
    return plain.cast(pa.schema(fields, metadata={**table.schema.metadata, b"sahmr.schema_version": b"2"}))


def test_frames_of_version_2_are_migrated(tmp_path: Path) -> None:
    records = [frame("a"), frame("b")]
    old = older(to_table(records, FRAME_SCHEMA), "box_source")
    assert (old.num_columns, old.schema.field("body_file").nullable) == (len(FRAME_SCHEMA) - 1, False)
    write_as_is(tmp_path / "f.parquet", old, **{"sahmr.more": "kept"})
    table = read_table(tmp_path / "f.parquet", FRAME_SCHEMA)
    assert from_table(table, FrameRecord) == records
    assert table.schema.equals(FRAME_SCHEMA, check_metadata=False)
    assert table.schema.field("box_source").metadata == FRAME_SCHEMA.field("box_source").metadata
    assert table.schema.metadata == {**FRAME_SCHEMA.metadata, b"sahmr.more": b"kept"}


def test_shard_indexes_of_version_2_have_bodies(tmp_path: Path) -> None:
    entry = ShardEntry(
        key="a", split="val", sequence="s", scene_key="c", shard="s.tar", offset=0, length=9, sha256="0", has_body=True
    )
    added = ("has_body", "has_contact", "crc32c")
    write_as_is(tmp_path / "i.parquet", older(to_table([entry], SHARD_INDEX_SCHEMA), *added))
    assert from_table(read_table(tmp_path / "i.parquet", SHARD_INDEX_SCHEMA), ShardEntry) == [entry]


def test_versions_of_a_table_are_compared(tmp_path: Path) -> None:
    def written(version: str, *columns: pa.Field) -> Path:
        target = schema("thing", columns, version=version, stage="scenes")
        write_table(tmp_path / version, pa.table([[1]] * len(columns), schema=target))
        return tmp_path / version

    first, second = column("x", pa.int64()), column("y", pa.int64(), nullable=True, since="4.1")
    now = schema("thing", (first, second), version="4.1", stage="scenes")
    assert read_table(written("4.1", first, second), now).to_pylist() == [{"x": 1, "y": 1}]
    assert read_table(written("4.0", first), now).to_pylist() == [{"x": 1, "y": None}]
    with pytest.raises(SchemaError, match=r"4\.2: has version 4\.2, written by a newer .*: update the software"):
        read_table(written("4.2", first, second), now)
    with pytest.raises(SchemaError, match=r"3\.0: has version 3\.0, .*rebuild with: dvc repro scenes"):
        read_table(written("3.0", first), now)
    with pytest.raises(SchemaError, match=r"columns \['y'\], expected \['x'\].*dvc repro scenes"):
        read_table(written("4.0", second), now)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"box_source": "oracle"}, "box_source is 'oracle', allowed: body, detector, person"),
        ({"body_file": None}, "has no body_file, but box_source 'body'"),
        ({"body_file": None, "box_source": "person", "contact_file": "c.npy"}, r"contact_file c\.npy"),
    ],
)
def test_a_frame_without_a_body_has_nothing_of_one(change: dict[str, object], reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        replace(frame(), **change)


def test_null_and_odd_columns_are_refused() -> None:
    with pytest.raises(SchemaError, match="must not be null"):
        to_table([replace(frame(), key=None)], FRAME_SCHEMA)
    with pytest.raises(SchemaError, match="disagree"):
        to_table([frame()], SCENE_SCHEMA)


def test_metric_names_are_columns() -> None:
    assert set(METRIC_NAMES) < set(METRIC_SCHEMA.names)


def test_a_column_of_nulls_alone_has_no_number_that_is_not_finite(tmp_path: Path) -> None:
    values = dict.fromkeys(METRIC_NAMES, 1.0) | {"contact_recall_ratio": None}
    place = {"sequence": "s", "scene": "c", "camera": None, "distance_m": 3.0, "occluded_ratio": 0.0}
    rows = [MetricRecord(key="k", predictor="a", posture="lying", **place, **values)] * 2
    write_table(tmp_path / "t.parquet", to_table(rows, METRIC_SCHEMA))
    assert from_table(read_table(tmp_path / "t.parquet", METRIC_SCHEMA), MetricRecord) == rows


def test_scores_of_an_older_version_are_refused_with_the_remedy(tmp_path: Path) -> None:
    older = METRIC_SCHEMA.with_metadata({**METRIC_SCHEMA.metadata, b"sahmr.schema_version": b"2.0"})
    names = [name for name in older.names if name not in ("posture", "trunk_angle_deg")]
    write_as_is(tmp_path / "rich.parquet", older.empty_table().select(names))
    expected = r"rich\.parquet: has version 2\.0, allowed: 4\.0 to 4\.0; rebuild with: dvc repro evaluate"
    with pytest.raises(SchemaError, match=expected):
        read_table(tmp_path / "rich.parquet", METRIC_SCHEMA)


@pytest.mark.parametrize("stored", ALL, ids=lambda stored: stored.name)
def test_format_is_as_it_was(stored: Stored) -> None:
    found = golden_schemas.path_of(stored).read_text()
    assert found == golden_schemas.text_of(stored), "record it with: python -m tests.schemas.golden_schemas"


def test_no_schema_is_left_out_and_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in golden_schemas.FOLDER.iterdir()} == {stored.name for stored in ALL}
    assert len({stored.name for stored in ALL}) == len(ALL)
    named = {(path.parent.name, name) for folder in ("schemas", "catalog") for path, name in named_schemas(folder)}
    listed = {id(stored.schema) for stored in ALL}
    for folder, name in named:
        found = [getattr(module, name) for module in loaded(folder) if hasattr(module, name)]
        assert {id(schema) for schema in found} <= listed, f"{name} is not in schemas.registry or catalog.schema_page"


def named_schemas(folder: str) -> list[tuple[Path, str]]:
    """Constants of a package's modules that hold a schema."""
    pattern = re.compile(r"^([A-Z_]+_SCHEMA)\b", re.MULTILINE)
    return [(path, name) for path in (ROOT / folder).glob("*.py") for name in pattern.findall(path.read_text())]


def loaded(folder: str) -> list[ModuleType]:
    return [import_module(f"{folder}.{path.stem}") for path, _ in named_schemas(folder)]


@pytest.mark.parametrize("stored", ALL, ids=lambda stored: stored.name)
def test_a_column_that_came_later_says_since_when(stored: Stored) -> None:
    schema = stored.schema
    major, minor = schema.metadata[b"sahmr.schema_version"].decode().split(".")
    added = [field.metadata[b"since"].decode().split(".") for field in schema if b"since" in (field.metadata or {})]
    assert {part for part, _ in added} <= {major}
    assert all(0 < int(part) <= int(minor) for _, part in added)
