"""Which images a sheet shows, how it is laid out, and that its bytes repeat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sahmr.report.panels import PAPER
from sahmr.report.sheet import choose, draw_sheet
from tests.report.tiles import FACES, floor, square, tile

STRIP, ROW = 1049, 284


@pytest.mark.parametrize(
    ("count", "best", "median", "worst"),
    [
        (1, [], [4], []),
        (2, [0], [], [8]),
        (3, [0], [4], [8]),
        (4, [0], [3, 4], [8]),
        (6, [0, 1], [3, 4], [7, 8]),
        (8, [0, 1, 2], [3, 4], [6, 7, 8]),
        (9, [0, 1, 2], [3, 4, 5], [6, 7, 8]),
        (99, [0, 1, 2], [3, 4, 5], [6, 7, 8]),
    ],
)
def test_best_median_and_worst_of_nine(count: int, best: list[int], median: list[int], worst: list[int]) -> None:
    rank = np.array([5, 0, 8, 2, 7, 1, 4, 6, 3])  # image number -> its place
    place = np.argsort(rank)
    found = choose(rank * 10.0, count)
    assert found == {
        name: place[numbers].tolist() for name, numbers in (("best", best), ("median", median), ("worst", worst))
    }


def test_equal_errors_keep_their_order_and_none_is_shown_twice() -> None:
    assert choose(np.ones(7), 6) == {"best": [0, 1], "median": [2, 3], "worst": [5, 6]}
    assert choose(np.ones(2), 6) == {"best": [0], "median": [], "worst": [1]}


def sheet(groups: list[tuple[str, int]], path: Path) -> np.ndarray:
    total = sum(count for _, count in groups)
    image = np.full((224, 224, 3), 77, dtype=np.uint8)
    body = {"true": square(-0.2, -0.5, 0.4, 3.0), "predicted": square(-0.1, -0.5, 0.4, 3.1)}
    tiles = (tile(**body, image=image, scene=floor(), contacts=floor().points[::4000]) for _ in range(total))
    draw_sheet(groups, tiles, FACES, path, title="two bodies")
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(
    ("counts", "columns", "rows", "bands"),
    [((1,), 1, 1, 1), ((0, 2, 1), 2, 2, 2), ((1, 1, 1), 1, 3, 3), ((3,), 2, 2, 1)],
)
def test_a_band_a_group_and_two_strips_a_row(
    counts: tuple[int, ...], columns: int, rows: int, bands: int, tmp_path: Path
) -> None:
    found = sheet([(f"group {n}", count) for n, count in enumerate(counts)], tmp_path / "made/sheet.png")
    assert found.shape == (76 + 54 * bands + ROW * rows, columns * (STRIP + 16) + 16, 3)
    photographs = (found == 77).all(axis=2).sum() / 238**2  # the bodies are outside of the crops
    assert photographs == pytest.approx(3 * sum(counts), rel=0.01)
    assert (found[-3, 2] == PAPER).all()


def test_bytes_repeat(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sheet([("best", 1), ("worst", 1)], tmp_path / name / "sheet.png")
    assert (tmp_path / "a/sheet.png").read_bytes() == (tmp_path / "b/sheet.png").read_bytes()
