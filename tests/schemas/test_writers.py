"""Writers refuse what the schema does not say, and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.conform import conform
from schemas.fields import SchemaError, column, vector
from schemas.frame import FRAME_SCHEMA
from schemas.tables_write import table_writer, to_table, write_table
from tests.worlds import small

RECORDS = [small.record(number) for number in range(3)]
TABLE = to_table(RECORDS, FRAME_SCHEMA)


def with_column(name: str, values: pa.Array, **changes: object) -> pa.Table:
    """The sound table with one column exchanged; ``unit=None`` and the like change what the column says of itself."""
    place, field = TABLE.column_names.index(name), TABLE.schema.field(name)
    meta = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()} | changes
    meta = {key: value for key, value in meta.items() if value is not None}
    return TABLE.set_column(place, pa.field(name, values.type, True, metadata=meta), values)


def boxes(kind: pa.DataType, *rows: list[float | None]) -> pa.Array:
    return pa.array([*rows, *[[1.0] * len(rows[0])] * (3 - len(rows))], kind)


WRONG: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "extra": (lambda: TABLE.append_column("more", pa.array([1, 2, 3])), r"has the extra columns \['more'\]"),
    "missing": (lambda: TABLE.drop_columns(["gender", "key"]), r"lacks the columns \['key', 'gender'\]"),
    "order": (lambda: TABLE.select(TABLE.column_names[::-1]), "has its columns in the order"),
    "null": (lambda: with_column("split", pa.array(["val", None, None])), "'split' must not be null, and is in 2 rows"),
    "null inside": (
        lambda: with_column("person_box", boxes(FRAME_SCHEMA.field("person_box").type, [1.0, None, 2.0, 3.0])),
        "'person_box' has nulls inside its lists",
    ),
    "length": (
        lambda: with_column("person_box", boxes(vector(5), [1.0] * 5)),
        r"'person_box' is fixed_size_list<.*>\[5\], expected fixed_size_list<.*>\[4\]",
    ),
    "no length": (
        lambda: with_column("person_box", boxes(pa.list_(pa.float64()), [1.0] * 4)),
        r"'person_box' is list<.*>, expected fixed_size_list",
    ),
    "type": (lambda: with_column("camera", pa.array([1, 2, 3], pa.int64())), "'camera' is int64, expected int32"),
    "no unit": (
        lambda: with_column("image_width", pa.array([1, 2, 3], pa.int32()), unit=None),
        "'image_width' says the unit 'none', expected 'px'",
    ),
    "another unit": (
        lambda: with_column("image_width", pa.array([1, 2, 3], pa.int32()), unit="mm"),
        "'image_width' says the unit 'mm', expected 'px'",
    ),
    "no frame": (
        lambda: with_column("image_width", pa.array([1, 2, 3], pa.int32()), frame=None),
        "'image_width' says the frame 'none', expected 'full image'",
    ),
    "not finite": (
        lambda: with_column("person_box", boxes(FRAME_SCHEMA.field("person_box").type, [1.0, np.inf, 2.0, 3.0])),
        "'person_box' has a number that is not finite",
    ),
    "undeclared": (
        lambda: TABLE.replace_schema_metadata({**FRAME_SCHEMA.metadata, b"sahmr.schema_version": b"2.0"}),
        "schema frame, version 2.0, cannot be written",
    ),
    "no schema": (lambda: TABLE.replace_schema_metadata(None), "schema None, version None, cannot be written"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_table_is_not_written(name: str, tmp_path: Path) -> None:
    table, message = WRONG[name][0](), WRONG[name][1]
    with pytest.raises(SchemaError, match=message):
        write_table(tmp_path / "t.parquet", table)
    if name not in ("undeclared", "no schema"):  # table_writer is given the schema
        with pytest.raises(SchemaError, match=message), table_writer(tmp_path / "t.parquet", FRAME_SCHEMA) as writer:
            writer.write(TABLE)
            writer.write(table)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"person_box": (1.0, 2.0, 3.0)}, r"column 'person_box' must be fixed_size_list.*\[4\].*got.* 3"),
        ({"intrinsics": tuple(range(10))}, r"column 'intrinsics' must be .*\[9\]"),
        ({"camera": "six"}, "column 'camera' must be int32"),
        ({"camera": 2**40}, "column 'camera' must be int32"),
        ({"person_box": (1.0, None, 3.0, 4.0)}, "'person_box' has nulls inside"),
        ({"split": None}, "'split' must not be null"),
        ({"intrinsics": (float("nan"),) * 9}, "'intrinsics' has a number that is not finite"),
    ],
)
def test_a_wrong_record_makes_no_table(change: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        to_table([RECORDS[0], replace(RECORDS[1], **change)], FRAME_SCHEMA)


def test_other_encodings_of_the_same_values_are_taken() -> None:
    place, field = TABLE.column_names.index("split"), TABLE.schema.field("split")
    encoded = TABLE.column("split").dictionary_encode()
    assert conform(TABLE.set_column(place, field.with_type(encoded.type), encoded), FRAME_SCHEMA).equals(TABLE)


@pytest.mark.parametrize(
    ("name", "kind", "said", "message"),
    [
        ("depth", pa.float64(), {}, "'depth' has no unit"),
        ("pose", vector(3), {}, "'pose' has no unit"),
        ("root", vector(3), {"unit": "m"}, "'root' has the unit m and no frame"),
        ("points", pa.list_(pa.float32()), {"unit": "px"}, "'points' has the unit px and no frame"),
    ],
)
def test_a_column_without_its_unit_or_frame_cannot_be_declared(
    name: str, kind: pa.DataType, said: dict[str, str], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        column(name, kind, **said)


def test_pure_numbers_and_maps_between_frames_need_none() -> None:
    for name in ("hit_ratio", "contact_probability", "smpl_betas"):
        assert column(name, pa.float64()).metadata is None
    assert column("camera_from_world", vector(16), unit="m").metadata == {b"unit": b"m"}
