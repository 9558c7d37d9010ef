import numpy as np
import pytest
import trimesh
from scipy.ndimage import distance_transform_edt

from sahmr.scenes import signed_distance
from sahmr.scenes.signed_distance import EXACT_WITHIN_M, DistanceGrid, grid_spacing, signed_distance_grid
from tests.scenes.test_nearest_face import SQUARE, brute_force, soup
from tests.worlds import small


@pytest.mark.parametrize("share", [0.0, 0.003, 0.05, 0.5])
def test_within_a_radius_of_set_samples(share: float) -> None:
    rng = np.random.default_rng(0)
    is_set = rng.random((9, 3, 12)) < share
    is_set[2, 1, 3] = True
    squared = np.rint(distance_transform_edt(~is_set) ** 2)
    for steps in (1.0, 2.3, 40.0, *np.sqrt(np.arange(1, 30))):
        for radius in (steps, np.nextafter(steps, 0), np.nextafter(steps, 99)):  # on the boundary and beside it
            np.testing.assert_array_equal(signed_distance._is_within(is_set, radius), squared <= radius * radius)


def grid_points(grid: DistanceGrid) -> np.ndarray:
    axes = [np.linspace(a, b, n) for a, b, n in zip(grid.lower, grid.upper, grid.values.shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def check(grid: DistanceGrid, exact: np.ndarray, beyond: float) -> None:
    """Exact near the surface; ``beyond`` it never too near, and too far by no more than that. Signs as given."""
    near = np.abs(exact) <= EXACT_WITHIN_M
    assert near.any() and not near.all()
    np.testing.assert_allclose(grid.values[near], exact[near], atol=1e-6)
    excess = np.abs(grid.values) - np.abs(exact)
    assert excess.min() > -1e-6
    assert excess.max() < beyond
    np.testing.assert_array_equal(grid.values[np.abs(exact) > 1e-6] < 0, exact[np.abs(exact) > 1e-6] < 0)


def test_distance_in_a_room_is_positive_inside_and_negative_behind_the_walls() -> None:
    grid = signed_distance_grid(np.asarray(small.room().triangles), spacing_m=0.1, margin_m=0.5)
    beyond = np.abs(grid_points(grid)) - np.array([2.0, 1.25, 2.0])
    check(grid, -np.linalg.norm(np.maximum(beyond, 0), axis=-1) - np.minimum(beyond.max(axis=-1), 0), 0.005)


@pytest.mark.parametrize("shape", ["ball", "box"])
def test_distance_to_a_closed_shape(shape: str) -> None:
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])
    mesh = trimesh.creation.icosphere(3, radius=0.6) if shape == "ball" else trimesh.creation.box((1.0, 0.9, 0.7), turn)
    grid = signed_distance_grid(np.asarray(mesh.triangles), spacing_m=0.08, margin_m=0.6)
    points = grid_points(grid)
    if shape == "ball":  # the facets are up to 5 mm inside the sphere
        away = np.linalg.norm(points, axis=-1) - 0.6
        np.testing.assert_allclose(grid.values, away, atol=0.008)
        return
    beyond = np.abs(points @ turn[:3, :3]) - [0.5, 0.45, 0.35]
    check(grid, np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(axis=-1), 0), 0.01)


def test_distance_grows_away_from_the_surface() -> None:
    ball = trimesh.creation.icosphere(4, radius=0.7)
    grid = signed_distance_grid(np.asarray(ball.triangles), spacing_m=0.05, margin_m=0.8)
    points = grid_points(grid)
    radius = np.linalg.norm(points, axis=-1)
    for axis in range(3):  # along grid lines that lead straight enough away
        first, second = (np.take(points[..., axis], np.arange(k, points.shape[axis] - 1 + k), axis) for k in (0, 1))
        outward = np.take(radius, np.arange(points.shape[axis] - 1), axis)
        rises = np.diff(grid.values, axis=axis)
        straight = (first > 0.6 * outward) & (second > first)
        assert straight.sum() > 1000
        assert rises[straight].min() > 0.4 * 0.05


def test_distance_to_any_open_mesh_agrees_with_brute_force() -> None:
    triangles = soup(5)
    grid = signed_distance_grid(triangles, spacing_m=0.1, margin_m=0.2)
    samples = np.random.default_rng(6).permutation(grid.values.size)[:600]
    exact = brute_force(triangles, grid_points(grid).reshape(-1, 3)[samples])
    found = np.abs(grid.values.ravel()[samples])
    near = exact <= EXACT_WITHIN_M
    assert 50 < near.sum() < 600
    np.testing.assert_allclose(found[near], exact[near], atol=1e-6)
    assert (found - exact).min() > -1e-6
    assert (found - exact).max() < 0.02


def test_distance_to_an_open_square_has_the_sign_of_its_side() -> None:
    grid = signed_distance_grid(SQUARE, spacing_m=0.1, margin_m=0.6)
    points = grid_points(grid)
    gap = points - np.clip(points, 0, [1, 1, 0])
    exact = np.linalg.norm(gap, axis=-1) * np.where(points[..., 2] < 0, -1, 1)
    off_plane = np.abs(points[..., 2]) > 1e-9
    near = off_plane & (np.abs(exact) <= EXACT_WITHIN_M)
    np.testing.assert_allclose(grid.values[near], exact[near], atol=1e-6)
    np.testing.assert_allclose(grid.values[off_plane], exact[off_plane], atol=0.01)
    np.testing.assert_array_equal(grid.values[off_plane] < 0, exact[off_plane] < 0)


@pytest.mark.parametrize("thickness", [0.0, 0.003, 0.01])
def test_both_sides_of_a_thin_wall_are_free(thickness: float) -> None:
    sheets = np.concatenate([SQUARE, SQUARE[:, ::-1]])
    wall = sheets if thickness == 0 else np.asarray(trimesh.creation.box((1, 1, thickness)).triangles)
    grid = signed_distance_grid(wall, spacing_m=0.07, margin_m=0.7)
    assert grid.values[np.abs(grid_points(grid)[..., 2]) > thickness / 2 + 1e-6].min() > 0


@pytest.mark.parametrize("half_width", [0.01, 0.06])
def test_a_knife_edge_is_positive_all_around(half_width: float) -> None:
    start, end = [0.0, 0, 0], [1.0, 0, 0]
    left, right = ([[0, y, -1], [1, y, -1]] for y in (half_width, -half_width))
    knife = np.array(
        [[start, left[1], left[0]], [start, end, left[1]], [start, right[0], right[1]], [start, right[1], end]]
    )
    grid = signed_distance_grid(knife, spacing_m=0.06, margin_m=0.6)
    points = grid_points(grid)
    above = (points[..., 0] > 0.05) & (points[..., 0] < 0.95) & (points[..., 2] > -0.5)
    inside = np.abs(points[..., 1]) < -half_width * points[..., 2]
    np.testing.assert_array_equal(grid.values[above] < 0, inside[above])


def test_flat_and_doubled_faces_change_nothing_and_flat_ones_are_counted() -> None:
    mesh = np.asarray(small.room().triangles)
    clean = signed_distance_grid(mesh, spacing_m=0.2, margin_m=0.4)
    flat = np.array([[[0.5, 0, 0], [0.5, 0, 0], [0.5, 1, 0]], [[0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0]]])
    dirty = signed_distance_grid(np.concatenate([mesh, flat, mesh[:5]]), spacing_m=0.2, margin_m=0.4)
    np.testing.assert_allclose(dirty.values, clean.values, atol=1e-6)
    assert clean.attributes()["sdf_flat_faces"] == 0
    assert dirty.attributes()["sdf_flat_faces"] == 2


def test_distance_needs_an_area_and_large_scans_get_a_coarser_step() -> None:
    with pytest.raises(ValueError, match="area"):
        signed_distance_grid(np.zeros((2, 3, 3)), spacing_m=0.1, margin_m=0.1)
    assert grid_spacing(np.ones(3), 0.1, 0.5, 10**6) == 0.1
    assert grid_spacing(np.ones(3), 0.1, 0.5, 5000) == pytest.approx(0.1 * 2**0.5)
