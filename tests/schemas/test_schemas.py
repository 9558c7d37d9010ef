"""Records survive Arrow, bytes repeat, and a change of format is a visible diff."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.entries import CATALOG_SCHEMA
from schemas.fields import SchemaError, from_table, read_table, to_table, write_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA
from schemas.prediction import PREDICTION_SCHEMA
from schemas.quarantine import QUARANTINE_SCHEMA
from schemas.scene import SCENE_SCHEMA
from schemas.shard import SHARD_INDEX_SCHEMA

GOLDEN = Path(__file__).parent / "golden"  # a change here is a change of format: raise SCHEMA_VERSION with it


def frame(key: str = "Gym_013_burpee4_6_00120_13") -> FrameRecord:
    return FrameRecord(
        key=key, dataset="rich", split="test", sequence="Gym_013_burpee4", camera=6, frame=120, subject="013",
        gender="female", intrinsics=tuple(range(9)), camera_from_world=tuple(range(16)), image_width=4112,
        image_height=3008, person_box=(1.0, 2.0, 3.0, 4.5), scene_key="Gym_scan_camcoord", image_file="a.jpeg",
        image_sha256="0", mirrored=False, body_file="b.pkl", body_sha256="1", contact_file=None, contact_sha256=None,
    )  # fmt: skip


def test_records_survive_arrow(tmp_path: Path) -> None:
    records = [frame("a"), frame("b")]
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
    with pytest.raises(OSError):
        read_table(path, FRAME_SCHEMA)


def test_other_schema_and_version_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "f.parquet", to_table([frame()], FRAME_SCHEMA))
    with pytest.raises(SchemaError, match="another version"):
        read_table(tmp_path / "f.parquet", SCENE_SCHEMA)
    with pytest.raises(SchemaError, match="no such file"):
        read_table(tmp_path / "none.parquet", SCENE_SCHEMA)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "plain.parquet")
    with pytest.raises(SchemaError, match="another version"):
        read_table(tmp_path / "plain.parquet", SCENE_SCHEMA)


def test_null_and_odd_columns_are_refused() -> None:
    import dataclasses

    with pytest.raises(SchemaError, match="must not be null"):
        to_table([dataclasses.replace(frame(), key=None)], FRAME_SCHEMA)
    with pytest.raises(SchemaError, match="disagree"):
        to_table([frame()], SCENE_SCHEMA)


def test_metric_names_are_columns() -> None:
    assert set(METRIC_NAMES) < set(METRIC_SCHEMA.names)


@pytest.mark.parametrize(
    "schema",
    [
        FRAME_SCHEMA, SCENE_SCHEMA, SHARD_INDEX_SCHEMA, QUARANTINE_SCHEMA,
        PREDICTION_SCHEMA, METRIC_SCHEMA, CATALOG_SCHEMA,
    ],
    ids=lambda s: s.metadata[b"sahmr.schema"].decode(),
)  # fmt: skip
def test_format_is_as_it_was(schema: pa.Schema) -> None:
    name = schema.metadata[b"sahmr.schema"].decode()
    assert (GOLDEN / f"{name}.txt").read_text() == schema.to_string(truncate_metadata=False) + "\n"
