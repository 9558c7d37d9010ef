"""Rows on disk: by number, merged by key, written piece by piece; always those of the whole table."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.fields import Rows, SchemaError, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.stored import StoredRows, StoredTable, merge_tables
from schemas.tables_write import table_writer, to_table, write_table
from tests.worlds import small

RECORDS = [replace(small.record(number), key=f"k{number * 7 % 50:03d}") for number in range(50)]
TABLE = to_table(RECORDS, FRAME_SCHEMA)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with table_writer(tmp_path / "t.parquet", FRAME_SCHEMA, rows_per_group=8) as writer:
        writer.write(TABLE)
    return tmp_path / "t.parquet"


@pytest.mark.parametrize("sizes", [[50], [7, 30, 13], [5000], []])
def test_bytes_depend_on_the_rows_alone(sizes: list[int], tmp_path: Path) -> None:
    rows = pa.concat_tables([TABLE] * 100) if sizes else TABLE.slice(0, 0)
    write_table(tmp_path / "whole", rows, extra={"z": "1", "a": "2"})
    with table_writer(tmp_path / "parts", FRAME_SCHEMA, extra={"a": "2", "z": "1"}) as writer:
        start = 0
        for size in sizes * 100:
            writer.write(rows.slice(start, size))
            start += size
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert writer.rows == len(rows)


def test_an_error_while_writing_leaves_the_old_table(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyError), table_writer(path, FRAME_SCHEMA) as writer:
        writer.write(TABLE)
        raise KeyError
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == ["t.parquet"]


def test_rows_by_number(path: Path) -> None:
    table = StoredTable(path, FRAME_SCHEMA)
    assert len(table) == 50 and table.group_rows == [8] * 6 + [2]
    for numbers in ([0], [49, 0, 25, 25], range(50), []):
        wanted = np.array(list(numbers), dtype=np.int64)
        assert table.take(wanted).equals(TABLE.take(pa.array(wanted)))
    assert StoredTable(path, FRAME_SCHEMA, ["key"]).take(np.array([3])).column_names == ["key"]


def test_records_travel_as_numbers(path: Path) -> None:
    rows = StoredRows(path, FRAME_SCHEMA, FrameRecord, np.array([5, 3, 40]))
    sent = pickle.dumps(rows)
    assert len(sent) < 6000
    for one in (rows, pickle.loads(sent)):
        assert list(one) == [RECORDS[5], RECORDS[3], RECORDS[40]]
        assert (len(one), one[1], list(one[1:])) == (3, RECORDS[3], [RECORDS[3], RECORDS[40]])
    write_table(path, TABLE.slice(1))
    with pytest.raises(SchemaError, match="changed while it was in use"):
        list(rows)
    path.unlink()
    with pytest.raises(SchemaError, match="No such file"):
        list(rows)


def test_many_tables_are_merged_by_key(tmp_path: Path) -> None:
    starts = [0, 10, 10, 31, 50]
    paths = [tmp_path / f"{number}" for number in range(4)]
    for place, start, end in zip(paths, starts, starts[1:], strict=False):
        write_table(place, TABLE.slice(start, end - start))
    merged = pa.concat_tables(merge_tables(paths, FRAME_SCHEMA, by="key"))
    assert merged.equals(TABLE.sort_by("key"))
    assert list(merge_tables([], FRAME_SCHEMA, by="key")) == []
    paths[2].write_bytes(paths[2].read_bytes()[:-9])
    with pytest.raises(SchemaError, match="2: damaged"):
        list(merge_tables(paths, FRAME_SCHEMA, by="key"))


def test_rows_are_records_when_asked_for(path: Path) -> None:
    rows = Rows(read_table(path, FRAME_SCHEMA), FrameRecord)
    assert list(rows) == RECORDS and rows[-1] == RECORDS[-1] and list(rows[10:30:7]) == RECORDS[10:30:7]
    with pytest.raises(IndexError):
        rows[50]
    with pytest.raises(SchemaError, match="lacks the columns"):
        Rows(TABLE.drop_columns(["key"]), FrameRecord)
