"""The depth buffer against pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from sahmr.report.raster import front_triangles

HEIGHT, WIDTH = 30, 40
SQUARE = np.array([[[1.0, 1], [8, 1], [8, 8]], [[1, 1], [8, 8], [1, 8]]])


def brute(uv: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Every pixel against every triangle; inverse depth by barycentric weights."""
    found, best = np.full((HEIGHT, WIDTH), -1), np.zeros((HEIGHT, WIDTH))
    for number, (corners, deep) in enumerate(zip(uv, depth, strict=True)):
        matrix = np.concatenate([corners.T, np.ones((1, 3))])
        for v in range(HEIGHT):
            for u in range(WIDTH):
                weight = np.linalg.solve(matrix, [u, v, 1])
                if weight.min() >= 0 and weight @ (1 / deep) > best[v, u]:
                    found[v, u], best[v, u] = number, weight @ (1 / deep)
    return found


def test_many_triangles_as_one_by_one() -> None:
    draw = np.random.default_rng(0)
    middle = draw.uniform(-5, 45, (60, 1, 2))
    uv = middle + draw.normal(size=(60, 3, 2)) * draw.choice([1, 3, 12], (60, 1, 1))
    depth = draw.uniform(1, 4, (60, 3))
    found = front_triangles(uv, depth, HEIGHT, WIDTH)
    assert np.array_equal(found, brute(uv, depth))
    assert len(np.unique(found)) > 20


def test_neighbours_leave_no_gap_and_the_lower_number_wins_a_tie() -> None:
    found = front_triangles(np.concatenate([SQUARE, SQUARE]), np.ones((4, 3)), HEIGHT, WIDTH)
    assert np.isin(found[1:9, 1:9], [0, 1]).all()
    assert (found[1:9, 1:9].diagonal() == 0).all()
    assert (found == -1).sum() == HEIGHT * WIDTH - 64


@pytest.mark.parametrize(
    ("corner", "depth"), [((1e9, 1e9), 1.0), ((8.0, 8.0), -1.0), ((8.0, 8.0), 0.0), ((1.0, 1.0), 1.0)]
)
def test_a_corner_that_runs_away_or_is_behind_takes_its_triangle_along(
    corner: tuple[float, float], depth: float
) -> None:
    """The last has no area."""
    uv, depths = SQUARE[:1].copy(), np.ones((1, 3))
    uv[0, 2], depths[0, 2] = corner, depth
    assert (front_triangles(uv, depths, HEIGHT, WIDTH) == -1).all()


def test_nothing_to_draw() -> None:
    assert (front_triangles(np.zeros((0, 3, 2)), np.zeros((0, 3)), 2, 3) == -1).all()
