"""Predictions tables out of arrays hold what the arrays hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.fields import SchemaError, read_table
from schemas.prediction import PREDICTION_SCHEMA, prediction_table
from schemas.tables_write import write_table


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


def test_no_rows() -> None:
    assert prediction_table([], **arrays(())).num_rows == 0


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
