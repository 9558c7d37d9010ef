"""Our Parquet files, damaged in every way, end in one SchemaError or are read as they were written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.artifacts import CATALOG_SCHEMA, CatalogEntry
from schemas.fields import SchemaError, read_table
from schemas.frame import FRAME_SCHEMA
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, SceneContact, prediction_table
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from schemas.scene import SCENE_SCHEMA
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry
from schemas.tables_write import PARQUET, to_table, write_table
from tests.schemas.mutations import mutations
from tests.worlds import small


def entry(number: int) -> ShardEntry:
    return ShardEntry(
        key=f"k{number:03d}", split="test", sequence="s", scene_key="scene", shard="s-000000.tar",
        offset=number * 1024, length=1024, sha256=small.sha256(b"%d" % number), has_body=number != 3,
    )  # fmt: skip


def predictions(rows: int) -> pa.Table:
    draw = np.random.default_rng(0)
    counts = np.arange(rows) % 3
    return prediction_table(
        [f"k{number}" for number in range(rows)],
        crop_box=draw.random((rows, 4)),
        initial_root=draw.random((rows, 3)),
        root=draw.random((rows, 3)),
        vertices=draw.random((rows, 6890, 3)),
        contact_count=counts,
        contact_points=draw.random((int(counts.sum()), 3)),
        contact_parts=draw.integers(1, 8, int(counts.sum())),
        scene=SceneContact(
            count=counts,
            points=draw.random((int(counts.sum()), 3)),
            probability=draw.random(int(counts.sum())),
            parts=draw.integers(0, 8, int(counts.sum())),
        ),
        known={"joints": draw.random((rows, 51)), "smpl_residual_mm": draw.random(rows)},
    )


def metric(number: int) -> MetricRecord:
    numbers = {name: number / (place + 1) for place, name in enumerate(METRIC_NAMES)}
    if number == 4:
        numbers |= {"contact_precision_ratio": None, "contact_recall_ratio": None}
    place = {"sequence": "s", "scene": "c", "camera": number, "distance_m": 3.0, "occluded_ratio": 0.25}
    return MetricRecord(key=f"k{number}", predictor="sahmr", posture="sitting", **place, **numbers)


ITEM = CatalogEntry(
    path="data/x", stage="frames", dataset=None, kind="table", schema_name="frame", rows=3, files=1, bytes=9, sha256="0"
)
TABLES: dict[str, Callable[[], tuple[pa.Table, pa.Schema]]] = {
    "frame": lambda: (to_table([*small.records(), *small.own_records()], FRAME_SCHEMA), FRAME_SCHEMA),
    "scene": lambda: (to_table([small.scene_record()], SCENE_SCHEMA), SCENE_SCHEMA),
    "index": lambda: (to_table(map(entry, range(9)), SHARD_INDEX_SCHEMA), SHARD_INDEX_SCHEMA),
    "prediction": lambda: (predictions(3), PREDICTION_SCHEMA),
    "metric": lambda: (to_table(map(metric, range(9)), METRIC_SCHEMA), METRIC_SCHEMA),
    "quarantine": lambda: (
        to_table([Quarantined(item="a", split="", file="b", rule="image", message="c")], QUARANTINE_SCHEMA),
        QUARANTINE_SCHEMA,
    ),
    "catalog": lambda: (to_table([ITEM], CATALOG_SCHEMA), CATALOG_SCHEMA),
}


@pytest.mark.parametrize("name", TABLES)
def test_200_damages_are_one_error_or_change_nothing(name: str, tmp_path: Path) -> None:
    table, schema = TABLES[name]()
    path = tmp_path / "t.parquet"
    write_table(path, table, extra={"sahmr.split": "test"})
    sound, errors = read_table(path, schema), 0
    assert sound.equals(table)
    for what, content in mutations(path.read_bytes(), 200):
        path.write_bytes(content)
        try:
            found = read_table(path, schema)
        except SchemaError as error:
            errors += 1
            message = str(error)
            assert message.startswith(f"{path}: ") and "\n" not in message, what
            assert "rebuild with: dvc repro " in message or "update the software" in message, what
        else:
            assert found.equals(sound, check_metadata=True), what
    assert errors > 120


NOT_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "damaged or no Parquet file"),
    "text": (lambda path: path.write_bytes(b"<html>404</html>"), "damaged or no Parquet file"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "damaged or no Parquet file"),
    "folder": (Path.mkdir, "a folder, a pipe or a device"),
    "pipe": (os.mkfifo, "a folder, a pipe or a device"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "a folder, a pipe or a device"),
    "dangling link": (lambda path: path.symlink_to("gone"), "no such file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "no such file"),
}


@pytest.mark.parametrize("name", NOT_FILES)
def test_what_is_no_table_is_told(name: str, tmp_path: Path) -> None:
    make, message = NOT_FILES[name]
    make(tmp_path / "t.parquet")
    with pytest.raises(SchemaError, match=rf"t\.parquet: .*{message}.*: dvc repro frames$"):
        read_table(tmp_path / "t.parquet", FRAME_SCHEMA)


def changed(table: pa.Table, name: str, values: pa.Array, **field: object) -> pa.Table:
    place = table.column_names.index(name)
    old = table.schema.field(name)
    new = pa.field(name, values.type, field.get("nullable", old.nullable), metadata=field.get("metadata", old.metadata))
    return table.set_column(place, new, values)


def forged(table: pa.Table) -> dict[str, tuple[pa.Table, str]]:
    rows = len(table)
    return {
        "another type": (
            changed(table, "frame", pa.array(range(rows), pa.int64())), "column 'frame' is int64, expected int32"
        ),
        "another width": (
            changed(table, "intrinsics", pa.array([[1.0] * 8] * rows, pa.list_(pa.float64(), 8))),
            r"column 'intrinsics' is fixed_size_list.*expected fixed_size_list",
        ),
        "nulls": (
            changed(table, "split", pa.array([None] * rows, pa.string()), nullable=True), "column 'split' may be null"
        ),
        "another unit": (
            changed(table, "image_width", table.column("image_width"), metadata={"unit": "mm", "frame": "full image"}),
            "column 'image_width' has unit 'mm', expected 'px'",
        ),
        "not a number": (
            changed(table, "person_box", pa.array([[float("nan")] * 4] * rows, table.schema.field("person_box").type)),
            "column 'person_box' has a number that is not finite",
        ),
        "no UTF-8": (
            changed(table, "subject", pa.array([b"\xff"] * rows, pa.binary()).view(pa.string())), "damaged .*UTF"
        ),
        "a column more": (table.append_column("more", [[1] * rows]), r"columns \[.*'more'\], expected"),
        "columns in another order": (table.select(table.column_names[::-1]), r"columns \['contact_sha256'"),
        "a column less": (table.drop_columns(["gender"]), "columns .* expected"),
    }  # fmt: skip


@pytest.mark.parametrize("name", forged(TABLES["frame"]()[0]))
def test_a_forged_table_is_refused(name: str, tmp_path: Path) -> None:
    table, message = forged(TABLES["frame"]()[0])[name]
    pq.write_table(table, tmp_path / "t.parquet", **PARQUET)
    with pytest.raises(SchemaError, match=rf"t\.parquet: {message}.*rebuild with: dvc repro frames$"):
        read_table(tmp_path / "t.parquet", FRAME_SCHEMA)


def test_a_table_without_the_stored_schema_is_refused(tmp_path: Path) -> None:
    pq.write_table(TABLES["metric"]()[0], tmp_path / "t.parquet", store_schema=False)
    with pytest.raises(SchemaError, match="lacks the schema that pyarrow stores"):
        read_table(tmp_path / "t.parquet", METRIC_SCHEMA)


def test_columns_are_read_alone(tmp_path: Path) -> None:
    table, schema = TABLES["frame"]()
    write_table(tmp_path / "t.parquet", table)
    found = read_table(tmp_path / "t.parquet", schema, ["split", "key"])
    assert found.equals(table.select(["key", "split"]))
