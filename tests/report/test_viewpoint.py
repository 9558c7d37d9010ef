"""Bodies are looked at from aside and above, where nothing hides them."""

from __future__ import annotations

import numpy as np
import pytest

from sahmr.report.viewpoint import find_viewpoint

UP = np.array([0.0, -0.8, -0.6])  # a camera that looks down
NONE = np.zeros((0, 3))
SIZE = (320, 240)


def body(*size: float) -> np.ndarray:
    """A cloud of that size at a depth of four metres."""
    return (np.random.default_rng(0).random((500, 3)) - 0.5) * size + [0, 0, 4]


@pytest.mark.parametrize("size", [(0.5, 1.8, 0.4), (2.0, 0.3, 0.5), (0.3, 0.3, 3.0)])
def test_all_of_the_bodies_is_in_the_picture_upright(size: tuple[float, float, float]) -> None:
    bodies = body(*size)
    view = find_viewpoint(bodies, UP, NONE, NONE, SIZE)
    uv, depth = view.look(bodies)
    assert (depth > 0).all()
    assert (uv > 0).all() and (uv < np.array(SIZE)).all()
    assert np.ptp(uv, axis=0).max() > 60
    above, _ = view.look(view.target + np.stack([np.zeros(3), 0.3 * UP]))
    assert above[0] == pytest.approx((np.array(SIZE) - 1) / 2)
    assert above[1, 1] < above[0, 1] - 10 and above[1, 0] == pytest.approx(above[0, 0])
    assert (view.eye - view.target) @ UP > 0.5  # from above


def test_axes_are_right_handed_and_things_to_the_right_are_on_the_right() -> None:
    view = find_viewpoint(body(1, 1, 1), UP, NONE, NONE, SIZE)
    assert view.axes @ view.axes.T == pytest.approx(np.eye(3))
    assert np.linalg.det(view.axes) == pytest.approx(1)
    uv, _ = view.look(view.target + 0.2 * view.axes[0])
    assert uv[0] > SIZE[0] / 2


def test_the_side_that_nothing_hides() -> None:
    """A wall half way to the eye that faces it; one that faces away is not drawn and hides nothing."""
    bodies = body(0.5, 1.8, 0.4)
    free = find_viewpoint(bodies, UP, NONE, NONE, SIZE)
    half_way = (free.eye + free.target) / 2
    wall = half_way + 0.1 * np.random.default_rng(1).random((400, 3))
    facing = np.tile(-free.axes[2], (400, 1))
    blocked = find_viewpoint(bodies, UP, wall, facing, SIZE)
    assert np.abs(blocked.eye - free.eye).max() > 0.5
    assert find_viewpoint(bodies, UP, wall, -facing, SIZE).eye == pytest.approx(free.eye)


def test_who_lies_is_seen_from_aside_and_two_people_side_by_side() -> None:
    one = body(0.4, 1.8, 0.4)
    for bodies in (body(0.3, 0.3, 1.8), np.concatenate([one, one + np.array([0, 0, 1.5])])):
        view = find_viewpoint(bodies, np.array([0.0, -1, 0]), NONE, NONE, SIZE)
        assert abs(view.axes[0] @ [0, 0, 1]) > 0.95  # depth runs across the picture
    across = find_viewpoint(body(1.8, 0.3, 0.3), np.array([0.0, -1, 0]), NONE, NONE, SIZE)
    assert abs(across.axes[0] @ [1, 0, 0]) > 0.8


def test_single_vertices_that_run_away_change_little() -> None:
    bodies = np.concatenate([body(0.5, 1.8, 0.4), [[3.0, 0, 4]]])
    view, other = (find_viewpoint(each, UP, NONE, NONE, SIZE) for each in (bodies, bodies[:-1]))
    assert np.abs(view.eye - other.eye).max() < 0.3


def test_a_camera_that_looks_straight_down() -> None:
    view = find_viewpoint(body(1, 1, 1), np.array([0.0, 0, -1]), NONE, NONE, SIZE)
    assert np.isfinite(view.axes).all() and np.linalg.det(view.axes) == pytest.approx(1)
