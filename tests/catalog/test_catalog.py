"""The catalog says what is there: rows, bytes, hashes."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.artifacts import CATALOG_SCHEMA, CatalogEntry
from catalog.report import readable_size, render
from catalog.scan import Artifact, scan
from schemas.fields import column, from_table, schema
from schemas.tables_write import to_table, write_table


def _artifact(path: Path, kind: str) -> Artifact:
    return Artifact(path=path, stage="frames", dataset="rich", kind=kind)


def test_table_rows_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(
        path, pa.table({"x": [1, 2, 3]}, schema=schema("thing", [column("x", pa.int64())], version="1.0", stage="x"))
    )
    (entry,) = scan([_artifact(path, "table")])
    assert (entry.rows, entry.files, entry.schema_name) == (3, 1, "thing")
    assert entry.bytes == path.stat().st_size
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_folder_hash_is_of_the_sha256sum_listing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "one").write_bytes(b"1")
    (folder / "two").write_bytes(b"22")
    (entry,) = scan([_artifact(folder, "arrays")])
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"1", b"22"))
    assert entry.sha256 == hashlib.sha256(f"{one}  b/one\n{two}  two\n".encode()).hexdigest()
    assert (entry.files, entry.bytes, entry.rows) == (2, 3, None)


def test_zarr_counts_scenes(tmp_path: Path) -> None:
    for name in ("Gym_scan", "BBQ_scan"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").write_text(json.dumps({"node_type": "group"}))
    (entry,) = scan([_artifact(tmp_path, "zarr")])
    assert entry.rows == 2


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    assert list(scan([_artifact(tmp_path / "none.parquet", "table")])) == []


def test_entries_survive_arrow_and_are_rendered(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "plain.parquet")
    entries = list(scan([_artifact(tmp_path / "plain.parquet", "table")]))
    assert from_table(to_table(entries, CATALOG_SCHEMA), CatalogEntry) == entries
    page = render(entries)
    assert "plain.parquet" in page and entries[0].sha256[:12] in page and "1 artifacts" in page


def test_readable_size() -> None:
    assert [readable_size(n) for n in (7, 1200, 3_400_000)] == ["7 B", "1.2 kB", "3.4 MB"]


def test_shards_count_the_samples_of_their_index(tmp_path: Path) -> None:
    (tmp_path / "rich-000000.tar").write_bytes(b"0" * 10)
    assert next(scan([_artifact(tmp_path, "shards")])).rows is None  # no index
    columns = [column("key", pa.string())]
    index = pa.table({"key": ["a", "b"]}, schema=schema("shard_index", columns, version="1.0", stage="shards"))
    write_table(tmp_path / "index.parquet", index)
    (entry,) = scan([_artifact(tmp_path, "shards")])
    assert (entry.rows, entry.schema_name, entry.files) == (2, "shard_index", 2)


def test_artifacts_keep_the_order_of_the_stages(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(name.encode())
    entries = list(scan([_artifact(tmp_path / name, "model") for name in ("b", "none", "a")]))
    assert [Path(entry.path).name for entry in entries] == ["b", "a"]
    assert [entry.rows for entry in entries] == [None, None]


def test_a_row_of_the_page_by_hand() -> None:
    entry = CatalogEntry(
        path="data/x", stage="bodies", dataset=None, kind="arrays", schema_name=None, rows=None,
        files=2, bytes=1500, sha256="0123456789abcdef",
    )  # fmt: skip
    lines = render([entry, entry]).splitlines()
    assert lines.count("| `data/x` | bodies | both | arrays |  | 2 | 1.5 kB | `0123456789ab` |") == 2
    assert lines[-1] == "2 artifacts, 4 files, 3.0 kB."
    assert "non-commercial" in lines[2]


def test_sizes_at_their_borders() -> None:
    assert [readable_size(n) for n in (0, 999, 1000, 10**9, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.0 GB",
        "5.0 TB",
    ]
