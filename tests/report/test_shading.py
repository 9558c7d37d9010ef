"""Light by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sahmr.report.shading import lit, shadow, smooth_normals, unit

UP = np.array([0.0, 0, 1])
ROOF = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]])


def grid(low: float, high: float, height: float) -> np.ndarray:
    x, y = np.meshgrid(np.arange(low, high, 0.01), np.arange(low, high, 0.01))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], axis=1)


def test_colors_under_sky_and_lamp() -> None:
    normals = np.array([[0.0, 0, 1], [0, 0, -1], [1, 0, 0]])
    found = lit(normals, np.full((3, 3), (100.0, 50, 0)), UP, np.array([0.6, 0, 0.8]))
    shares = [0.36 + 0.34 + 0.46 * 0.8, 0.36, 0.36 + 0.17 + 0.46 * 0.6]
    assert found == pytest.approx(np.outer(shares, (100, 50, 0)))
    assert lit(normals[:1], np.full((1, 3), 250.0), UP, UP).tolist() == [[255] * 3]


def test_faces_that_share_no_vertex_keep_their_normals_and_others_share() -> None:
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    assert smooth_normals(ROOF, faces) == pytest.approx(np.array([[0.0, 0, 1], [1, 0, 0]]))
    shared = smooth_normals(ROOF, np.array([[0, 1, 2], [0, 2, 5]]))
    one, two = unit(np.array([1.0, 0, 1])), np.array([0.0, 0, 1])
    assert shared[0] == pytest.approx(unit(2 * one + two))


def test_faces_without_area_have_none() -> None:
    assert not smooth_normals(np.zeros((3, 3)), np.array([[0, 1, 2]])).any()


def test_the_shadow_of_a_plate_lies_below_it_and_is_soft_at_its_edge() -> None:
    plate, lamp = grid(0, 0.4, 1.0), unit(np.array([-1.0, 0, 1]))
    points = np.array([[1.2, 0.2, 0], [0.2, 0.2, 0], [1.0, 0.2, 0], [1.2, 0.2, 2]])
    dark = shadow(points, plate, lamp)
    assert dark[0] == pytest.approx(1) and dark[1] == dark[3] == 0
    assert 0.2 < dark[2] < 0.8


def test_what_stands_on_a_surface_hardly_darkens_it() -> None:
    points = np.array([[0.2, 0.2, 0.98], [0.2, 0.2, 0.9]])
    assert shadow(points, grid(0, 0.4, 1.0), UP) == pytest.approx([0, 1])


def test_nothing_casts_no_shadow() -> None:
    assert shadow(np.zeros((2, 3)), np.zeros((0, 3)), UP).tolist() == [0, 0]


def test_a_vertex_that_runs_away_costs_no_memory() -> None:
    plate = np.concatenate([grid(0, 0.4, 1.0), [[1e7, 0, 0]]])
    assert shadow(np.array([[0.2, 0.2, 0]]), plate, UP)[0] == pytest.approx(1)
