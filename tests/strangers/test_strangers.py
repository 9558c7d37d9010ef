"""Programs that have never heard of us read our files; no module of ours but the test's own world is used to read.

Plain webdataset and xarray are in ``tests/shards/test_shards.py`` and ``tests/scenes/test_store.py``, mlcroissant in
``tests/catalog/test_croissant.py``.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
import zarr

from tests.worlds import small

RECORDS = small.records()


def test_duckdb_queries_the_tables(small_world: Path) -> None:
    with duckdb.connect() as database:
        frames, index = small_world / "frames/rich.parquet", small_world / "shards/rich/index.parquet"
        rows = database.execute(
            "SELECT f.key, f.person_box[1], f.intrinsics[1], f.contact_file IS NULL, i.length "
            f"FROM '{frames}' f JOIN '{index}' i USING (key) ORDER BY f.key"
        ).fetchall()
        described = {name: kind for name, kind, *_ in database.execute(f"DESCRIBE SELECT * FROM '{frames}'").fetchall()}
        meta = dict(
            database.execute(f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{frames}')").fetchall()
        )
    expected = [(row.key, row.person_box[0], row.intrinsics[0], row.contact_file is None) for row in RECORDS]
    assert [row[:4] for row in rows] == sorted(expected)
    assert all(row[4] % 512 == 0 for row in rows)
    assert described["camera_from_world"].startswith("DOUBLE[") and described["mirrored"] == "BOOLEAN"
    assert (meta["sahmr.schema"], meta["sahmr.stage"]) == ("frame", "frames")


def test_zarr_opens_every_scene(small_world: Path) -> None:
    store = zarr.open_group(small_world / "scenes/rich.zarr", mode="r")
    assert sorted(store.group_keys()) == ["Room_scan"]
    points, sdf = (np.asarray(store[f"Room_scan/{name}"]) for name in ("points", "sdf"))
    assert points.dtype == sdf.dtype == np.float32 and np.isfinite(points).all() and np.isfinite(sdf).all()
    np.testing.assert_allclose(np.abs(points).max(axis=0), (2.0, 1.25, 2.0), atol=0.051)  # the walls of the room
    lower, upper = (np.array(store["Room_scan"].attrs[name]) for name in ("sdf_min", "sdf_max"))
    middle = tuple(np.round(-lower / (upper - lower) * (np.array(sdf.shape) - 1)).astype(int))
    assert sdf[middle] == pytest.approx(1.25, abs=0.11)  # to floor and ceiling; positive: inside the room is free


def test_tensorstore_reads_the_same_values(small_world: Path) -> None:
    import tensorstore

    for name in ("points", "sdf"):
        path = small_world / "scenes/rich.zarr/Room_scan" / name
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
        found = tensorstore.open(spec, open=True).result()
        assert list(found.domain.labels) == {"points": ["point", "axis"], "sdf": ["x", "y", "z"]}[name]
        np.testing.assert_array_equal(found.read().result(), np.asarray(zarr.open_array(str(path), mode="r")))


@pytest.mark.filterwarnings("default")  # another project's
def test_hugging_face_datasets_reads_the_shards(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    import datasets

    files = {split: str(small_world / f"shards/rich/rich-{split}-*.tar") for split in ("train", "test")}
    found = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path))
    assert set(found) == set(files)
    for split, rows in found.items():
        wanted = {record.key: record for record in RECORDS if record.split == split}
        assert sorted(rows["__key__"]) == sorted(wanted)
        for row in rows:
            record = wanted[row["__key__"]]
            assert "redistribution forbidden" in row["json"]["licence"]
            assert row["json"]["person_box"] == list(record.person_box)
            assert max(row["jpg"].size) == small.SHARDS.max_side_px
            vertices = small.vertices(record.frame).astype(np.float32)
            np.testing.assert_array_equal(np.asarray(row["vertices.npy"], np.float32), vertices)
            assert (row["contact.npy"] is None) == (record.contact_file is None)
