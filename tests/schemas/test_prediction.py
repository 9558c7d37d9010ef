"""Predictions tables out of arrays hold what the arrays hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.fields import SchemaError, read_table
from schemas.prediction import MAY_BE_UNKNOWN, PREDICTION_SCHEMA, SceneContact, prediction_table
from schemas.tables_write import write_table
from tests.worlds.older_tables import write_as_is


def arrays(counts: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows, contacts = len(counts), sum(counts)
    return {
        "crop_box": rng.random((rows, 4), dtype=np.float32),
        "initial_root": rng.random((rows, 3), dtype=np.float32),
        "root": rng.random((rows, 3), dtype=np.float32),
        "vertices": rng.random((rows, 6890, 3), dtype=np.float32),
        "contact_count": np.array(counts, dtype=np.int64),
        "contact_points": rng.random((contacts, 3), dtype=np.float32),
        "contact_parts": rng.integers(1, 8, contacts),
    }


def more(counts: tuple[int, ...]) -> dict[str, Any]:
    """What a predictor may leave out."""
    rng = np.random.default_rng(1)
    rows, points = len(counts), sum(counts)
    sizes = {"camera_from_world": 16, "joints": 51, "smpl_betas": 10, "smpl_global_orient": 3, "smpl_body_pose": 69,
             "smpl_transl": 3, "root_world": 3, "vertices_world": 6890 * 3, "joints_world": 51}  # fmt: skip
    known = {name: rng.random((rows, size), dtype=np.float32) for name, size in sizes.items()}
    return {
        "known": known | {"smpl_residual_mm": rng.random(rows, dtype=np.float32)},
        "scene": SceneContact(
            count=np.array(counts),
            points=rng.random((points, 3), dtype=np.float32),
            probability=rng.random(points, dtype=np.float32),
            parts=rng.integers(0, 8, points),
        ),
    }


def test_arrays_survive_the_table(tmp_path: Path) -> None:
    given = arrays((2, 0, 1))
    write_table(tmp_path / "p.parquet", prediction_table(["a", "b", "c"], **given))
    table = read_table(tmp_path / "p.parquet", PREDICTION_SCHEMA)
    assert table.schema.equals(PREDICTION_SCHEMA)
    for name in ("crop_box", "initial_root", "root"):
        np.testing.assert_array_equal(np.array(table.column(name).to_pylist()), given[name])
    np.testing.assert_array_equal(np.array(table.column("vertices").to_pylist()), given["vertices"].reshape(3, -1))
    points, parts = given["contact_points"], given["contact_parts"]
    assert table.column("contact_points").to_pylist() == [points[:2].ravel().tolist(), [], points[2].tolist()]
    assert table.column("contact_parts").to_pylist() == [parts[:2].tolist(), [], [parts[2]]]


def test_what_may_be_unknown_survives_the_table_or_is_null(tmp_path: Path) -> None:
    given = more((0, 3, 1))
    write_table(tmp_path / "p.parquet", prediction_table(["a", "b", "c"], **arrays((2, 0, 1)), **given))
    table = read_table(tmp_path / "p.parquet", PREDICTION_SCHEMA)
    assert set(given["known"]) == set(MAY_BE_UNKNOWN)
    for name, values in given["known"].items():
        np.testing.assert_array_equal(np.array(table.column(name).to_pylist()), values)
    assert list(map(len, table.column("scene_probability").to_pylist())) == [0, 3, 1]
    for name, values in (("points", given["scene"].points), ("parts", given["scene"].parts)):
        assert table.column(f"scene_{name}").combine_chunks().flatten().to_pylist() == values.ravel().tolist()
    bare = prediction_table(["a", "b", "c"], **arrays((2, 0, 1)))
    assert all(bare.column(name).null_count == 3 for name in MAY_BE_UNKNOWN)
    assert bare.column("scene_points").to_pylist() == [[], [], []]
    with pytest.raises(SchemaError, match=r"known: found the columns \['joint'\], allowed camera_from_world, joints"):
        prediction_table(["a", "b", "c"], **arrays((2, 0, 1)), known={"joint": np.zeros((3, 51))})


def test_tables_of_version_2_0_are_read(tmp_path: Path) -> None:
    table = prediction_table(["a", "b", "c"], **arrays((2, 0, 1)))
    old = table.select([field.name for field in table.schema if b"since" not in (field.metadata or {})])
    old = old.replace_schema_metadata({**old.schema.metadata, b"sahmr.schema_version": b"2.0"})
    write_as_is(tmp_path / "p.parquet", old)
    assert read_table(tmp_path / "p.parquet", PREDICTION_SCHEMA).equals(table)


def test_no_rows() -> None:
    assert prediction_table([], **arrays(()), **more(())).num_rows == 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("vertices", np.zeros((3, 6889, 3))),
        ("contact_points", np.zeros((2, 3))),
        ("contact_count", np.array([3])),
    ],
)
def test_shapes_that_disagree_are_refused(name: str, wrong: np.ndarray) -> None:
    with pytest.raises(SchemaError, match=f"{name}: found {wrong.size} values for 3 rows"):
        prediction_table(["a", "b", "c"], **{**arrays((2, 0, 1)), name: wrong})
