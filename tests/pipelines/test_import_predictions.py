"""Another method's meshes, as npz and Parquet, in either frame; and every way to hand in the wrong ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import evaluate, import_predictions
from sahmr.errors import RawDataError, SahmrError, ShardError
from schemas.fields import read_table
from schemas.prediction import PREDICTION_SCHEMA, SPLIT
from tests.worlds import small
from tests.worlds.networks import make_topology, write_topology

KEYS = [f"Room_test_{number:05d}" for number in range(6, 9)]
WORLD = np.array([small.vertices(number) for number in range(6, 9)]) + np.array([0, 0, 0.1])  # a tenth of a metre off
CAMERA = WORLD @ small.CAMERA_FROM_WORLD[:3, :3].T + small.CAMERA_FROM_WORLD[:3, 3]


@pytest.fixture
def world(small_world: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    for name in ("shards", "scenes"):
        shutil.copytree(small_world / name, folder / name)
    write_topology(folder / "bodies")
    return folder


def write_npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)
    return path


def write_parquet(path: Path, frame: str, vertices: np.ndarray, keys: list[str] = KEYS) -> Path:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vertices.ravel().astype(np.float32)), 20670)
    pq.write_table(pa.table({"key": keys, frame: lists}), path)
    return path


def run(world: Path, source: Path, name: str = "other") -> pa.Table:
    import_predictions.run("rich", source, name, "test", small.paths_of(world))
    return read_table(world / f"predictions/rich/{name}.parquet", PREDICTION_SCHEMA)


def test_npz_and_parquet_in_either_frame_give_the_same_table(world: Path, tmp_path: Path) -> None:
    back = slice(None, None, -1)  # rows in another order
    sources = {
        "a": write_npz(tmp_path / "a.npz", keys=np.array(KEYS)[back], vertices_world=WORLD[back]),
        "b": write_npz(tmp_path / "b.npz", keys=KEYS, vertices_camera=CAMERA.astype(np.float32)),
        "c": write_parquet(tmp_path / "c.parquet", "vertices_camera", CAMERA),
    }
    tables = {name: run(world, source, name) for name, source in sources.items()}
    for table in tables.values():
        assert table.column("key").to_pylist() == KEYS
        assert table.schema.metadata[SPLIT.encode()] == b"test"
        vertices = np.array(table.column("vertices").to_pylist()).reshape(3, 6890, 3)
        np.testing.assert_allclose(vertices, CAMERA, atol=1e-6)
        pelvis = np.einsum("v,nvc->nc", make_topology().joint_regressor[0].numpy(), vertices)
        np.testing.assert_allclose(table.column("root").to_pylist(), pelvis, atol=1e-4)
        assert table.column("contact_count").to_pylist() == [0, 0, 0]
    evaluate.run("rich", evaluate.Evaluate(split="test", sheet_frames=1), small.paths_of(world), small.PARALLEL)
    summary = json.loads((world / "reports/rich_metrics.json").read_text())
    for name in sources:
        assert summary[name]["global_mpve_mm"] == pytest.approx(100, abs=0.1)
        assert summary[name]["initial_root_mm"] is summary[name]["contact_f1_ratio"] is None
    assert summary["about"]["predictors"]["c"]["source"] == "c.parquet"
    differences = json.loads((world / "reports/rich_breakdown.json").read_text())["differences"]
    assert differences.keys() >= {"b", "c"}
    assert differences["b"]["mpve_mm"][0] == pytest.approx(0, abs=1e-3)


NPZ = {"keys": KEYS, "vertices_world": WORLD}
WRONG: dict[str, tuple[dict[str, object], type[SahmrError], str]] = {
    "other frames": ({"keys": [*KEYS[:2], "Room_9"]}, ShardError, "lacks key 'Room_test_00008' and 0 more"),
    "missing keys": ({"keys": KEYS[:2], "vertices_world": WORLD[:2]}, ShardError, "lacks key 'Room_test_00008'"),
    "strangers": ({"keys": [*KEYS, "x"], "vertices_world": WORLD[[0, 1, 2, 2]]}, ShardError, "has the unknown key 'x'"),
    "twice": ({"keys": [KEYS[0], *KEYS[:2]]}, RawDataError, "3 keys, but only 2 different ones"),
    "keys of numbers": ({"keys": [6, 7, 8]}, RawDataError, r"keys is int64 \[3\], allowed a list of texts"),
    "too few": ({"vertices_world": WORLD[:2]}, RawDataError, r"vertices_world is float64 \[2, 6890, 3\] for 3 keys"),
    "SMPL-X": ({"vertices_world": np.zeros((3, 10475, 3))}, RawDataError, r"\[3, 10475, 3\] for 3 keys, allowed"),
    "NaN": ({"vertices_world": np.where(WORLD[1, 5, 2] == WORLD, np.nan, WORLD)}, RawDataError, "'Room_test_00007' a"),
    "millimetres": ({"vertices_world": WORLD * 1000}, RawDataError, r"longest side is 1[56]\d\d in the median"),
    "both frames": ({"vertices_camera": CAMERA}, RawDataError, "found keys, vertices_camera, vertices_world; allowed"),
    "wrong frame": ({"vertices_world": WORLD - [0, 0, 9]}, RawDataError, "3 of 3 meshes are behind their cameras"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_error_and_nothing_is_written(case: str, world: Path, tmp_path: Path) -> None:
    changes, kind, message = WRONG[case]
    source = write_npz(tmp_path / "other.npz", **NPZ | changes)
    with pytest.raises(kind, match=message) as found:
        run(world, source)
    assert str(source) in str(found.value) and "\n" not in str(found.value)
    assert not (world / "predictions").exists()


def test_other_columns_lengths_and_endings_are_refused(world: Path, tmp_path: Path) -> None:
    unnamed = write_npz(tmp_path / "unnamed.npz", keys=KEYS, verts=WORLD)
    no_keys = write_npz(tmp_path / "no_keys.npz", vertices_world=WORLD)
    short = pa.table({"key": KEYS, "vertices_world": pa.array([[0.0] * 9] * 3)})
    pq.write_table(short, tmp_path / "short.parquet")
    pq.write_table(pa.table({"name": KEYS, "vertices_world": [[0.0]] * 3}), tmp_path / "name.parquet")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    for source, message in (
        (unnamed, "found keys, verts; allowed: keys"),
        (no_keys, "no key 'keys'"),
        (tmp_path / "short.parquet", r"vertices_world is float32 \[27\] for 3 keys"),
        (tmp_path / "name.parquet", "lacks the column key"),
        (tmp_path / "broken.npz", "broken"),
        (tmp_path / "broken.parquet", "damaged or no Parquet file"),
        (tmp_path / "none.npz", "no such file"),
        (tmp_path / "meshes.pkl", r"found a \.pkl, allowed \.npz or \.parquet"),
    ):
        with pytest.raises(RawDataError, match=message):
            run(world, source)


def test_names_that_are_taken_or_not_allowed(world: Path, tmp_path: Path) -> None:
    source = write_npz(tmp_path / "other.npz", **NPZ)
    for name in ("sahmr", "baseline"):
        with pytest.raises(ShardError, match=f"'{name}' is taken; choose another --name"):
            run(world, source, name)
    for name in ("Other", "oracle-root", "../x"):
        with pytest.raises(ShardError, match="no predictor's name"):
            run(world, source, name)
    before = run(world, source)
    with pytest.raises(ShardError, match="'other' is taken"):
        run(world, source)
    assert read_table(world / "predictions/rich/other.parquet", PREDICTION_SCHEMA).equals(before)
