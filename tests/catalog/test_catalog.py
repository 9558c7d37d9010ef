"""The catalog says what is there: rows, bytes, hashes."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.entries import CATALOG_SCHEMA, CatalogEntry
from catalog.report import readable_size, render
from catalog.scan import Artifact, scan
from schemas.fields import column, from_table, schema, to_table, write_table


def _artifact(path: Path, kind: str) -> Artifact:
    return Artifact(path=path, stage="frames", dataset="rich", kind=kind)


def test_table_rows_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, pa.table({"x": [1, 2, 3]}, schema=schema("thing", [column("x", pa.int64())])))
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
