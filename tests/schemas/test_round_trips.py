"""Any record of any schema comes back from disk as it was written."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset import TarWriter

from catalog.artifacts import CATALOG_SCHEMA, CatalogEntry
from sahmr.shards.decode import decode_sample
from schemas.conform import check_object
from schemas.fields import from_table, read_table
from schemas.frame import BOX_SOURCES, FRAME_SCHEMA, FrameRecord
from schemas.metric import METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, prediction_table
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from schemas.registry import STORED
from schemas.scene import SCENE_SCHEMA, SceneRecord
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry
from schemas.tables_write import to_table, write_table
from tests.worlds import small

FEW = settings(max_examples=12, deadline=None)
RECORDS = {
    FrameRecord: FRAME_SCHEMA, SceneRecord: SCENE_SCHEMA, ShardEntry: SHARD_INDEX_SCHEMA, MetricRecord: METRIC_SCHEMA,
    Quarantined: QUARANTINE_SCHEMA, CatalogEntry: CATALOG_SCHEMA,
}  # fmt: skip


def values(kind: pa.DataType, nullable: bool = False) -> st.SearchStrategy[Any]:
    """Values that a field of a type may have, as Python has them; lists are tuples."""
    if nullable:
        return st.none() | values(kind)
    if pa.types.is_struct(kind):
        inner = [kind.field(place) for place in range(kind.num_fields)]
        return st.fixed_dictionaries({field.name: values(field.type, field.nullable) for field in inner})
    if pa.types.is_map(kind):
        return st.dictionaries(st.text(max_size=5), values(kind.item_type, kind.item_field.nullable), max_size=3)
    if pa.types.is_fixed_size_list(kind):
        return st.lists(values(kind.value_type), min_size=kind.list_size, max_size=kind.list_size).map(tuple)
    if pa.types.is_list(kind):
        return st.lists(values(kind.value_type), max_size=3).map(tuple)
    if pa.types.is_floating(kind):
        return st.floats(allow_nan=False, allow_infinity=False, width=kind.bit_width)
    if pa.types.is_integer(kind):
        return st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    return {"bool": st.booleans(), "string": st.text(max_size=12)}[str(kind)]


def rows(schema: pa.Schema) -> st.SearchStrategy[dict[str, Any]]:
    row = st.fixed_dictionaries({field.name: values(field.type, field.nullable) for field in schema})
    return row.map(possible) if schema is FRAME_SCHEMA else row


def possible(row: dict[str, Any]) -> dict[str, Any]:
    """A frame without a body has nothing of one."""
    source = BOX_SOURCES[abs(row["camera"]) % len(BOX_SOURCES)]
    if source == "body":
        return row | {"box_source": source, "body_file": row["body_file"] or "b.pkl"}
    return row | {"box_source": source} | ({"contact_file": None} if row["body_file"] is None else {})


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_records_come_back(record: type[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path, schema = tmp_path_factory.mktemp("records") / "t.parquet", RECORDS[record]
    assert [field.name for field in fields(record)] == schema.names

    @FEW
    @given(st.lists(rows(schema), max_size=4))
    def comes_back(drawn: list[dict[str, Any]]) -> None:
        records = [record(**row) for row in drawn]
        write_table(path, to_table(records, schema))
        assert from_table(read_table(path, schema), record) == records

    comes_back()


@FEW
@given(counts=st.lists(st.integers(0, 4), max_size=4), seed=st.integers(0, 2**31))
def test_predictions_come_back(tmp_path_factory: pytest.TempPathFactory, counts: list[int], seed: int) -> None:
    draw, rows = np.random.default_rng(seed), len(counts)
    given = {
        "crop_box": draw.normal(size=(rows, 4)),
        "initial_root": draw.normal(size=(rows, 3)).astype(np.float32),
        "root": draw.normal(size=(rows, 3)).astype(np.float32),
        "vertices": draw.normal(size=(rows, 6890, 3)).astype(np.float32),
        "contact_points": draw.normal(size=(sum(counts), 3)).astype(np.float32),
        "contact_parts": draw.integers(1, 8, sum(counts)),
    }
    made = prediction_table([f"k{row}" for row in range(rows)], contact_count=np.array(counts, np.int64), **given)
    path = tmp_path_factory.getbasetemp() / "predictions.parquet"
    write_table(path, made)
    found = read_table(path, PREDICTION_SCHEMA)
    for name in given:
        flat = found.column(name).combine_chunks().flatten().to_numpy()
        np.testing.assert_array_equal(flat, given[name].reshape(-1))
    assert [len(parts) for parts in found.column("contact_parts").to_pylist()] == counts


@FEW
@given(seed=st.integers(0, 2**31), number=st.integers(0, 99), has_contact=st.booleans(), has_body=st.booleans())
def test_samples_come_back(seed: int, number: int, has_contact: bool, has_body: bool) -> None:
    record = small.record(number, has_contact=has_contact, has_body=has_body)
    camera = np.array(record.camera_from_world).reshape(4, 4)
    camera[:3, 3] += np.random.default_rng(seed).normal(size=3)
    record = replace(record, camera_from_world=tuple(camera.ravel().tolist()))
    stream = io.BytesIO()
    with TarWriter(stream, mtime=0, encoder=False) as writer:
        writer.write({"__key__": record.key, **small.members(record)})
    sample = decode_sample(stream.getvalue())
    np.testing.assert_array_equal(sample.camera_from_world.ravel(), record.camera_from_world)
    np.testing.assert_array_equal(sample.person_box, record.person_box)
    assert (sample.vertices_world is None, sample.contact is None) == (not has_body, not (has_body and has_contact))
    if sample.vertices_world is not None:
        np.testing.assert_array_equal(sample.vertices_world, small.vertices(number).astype(np.float32))
    if sample.contact is not None:
        np.testing.assert_array_equal(sample.contact, small.contact(number))


OBJECTS = [stored for stored in STORED if stored.kind in ("JSON object", "Zarr group")]


@pytest.mark.parametrize("stored", OBJECTS, ids=lambda stored: stored.name)
def test_objects_come_back_and_are_of_their_schema(stored: Any) -> None:
    @FEW
    @given(rows(stored.schema))
    def comes_back(drawn: dict[str, Any]) -> None:
        check_object(drawn, stored.schema, "drawn")
        found = json.loads(json.dumps(drawn))
        check_object(found, stored.schema, "found")
        assert json.loads(json.dumps(found)) == found

    comes_back()
