from collections.abc import Callable

import numpy as np
import pytest
import trimesh

from sahmr.scenes import nearest_face
from sahmr.scenes.nearest_face import FaceFinder, number_places, offset_from_triangles

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])[[[0, 1, 2], [0, 2, 3]]]


def brute_force(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance to the nearest of all triangles; trimesh's closest point shares no code with ours."""
    pairs = np.repeat(points, len(triangles), axis=0), np.tile(triangles, (len(points), 1, 1))
    away = trimesh.triangles.closest_point(pairs[1], pairs[0]) - pairs[0]
    return np.sqrt((away**2).sum(axis=1)).reshape(len(points), -1).min(axis=1)


def soup(seed: int) -> np.ndarray:
    """Triangles of very different sizes, a tenth of them slivers, in float32 as scans store them."""
    rng = np.random.default_rng(seed)
    triangles = rng.uniform(-1, 1, (120, 1, 3)) + rng.normal(size=(120, 3, 3)) * 10.0 ** rng.uniform(-3, 0, (120, 1, 1))
    share = rng.random((12, 1))
    triangles[:12, 2] = share * triangles[:12, 0] + (1 - share) * triangles[:12, 1] + rng.normal(size=(12, 3)) * 1e-6
    return triangles.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("longest_m", [0.02, 0.3, 10.0])
def test_nearest_agrees_with_brute_force(longest_m: float) -> None:
    triangles = soup(0)
    points = np.random.default_rng(1).uniform(-2, 2, (300, 3))
    found = FaceFinder(triangles, longest_m).nearest(points)
    np.testing.assert_allclose(np.abs(found.distance), brute_force(triangles, points), atol=1e-7)
    np.testing.assert_allclose(np.sqrt(((points - found.point) ** 2).sum(axis=1)), np.abs(found.distance), atol=1e-7)


def test_a_point_as_near_to_all_faces_asks_for_all() -> None:
    ball = trimesh.creation.icosphere(3, radius=0.1)
    found = FaceFinder(np.asarray(ball.triangles), 1.0).nearest(np.zeros((1, 3)))
    assert -found.distance[0] == pytest.approx(brute_force(ball.triangles, np.zeros((1, 3)))[0], abs=1e-12)


def test_chunks_and_asked_corners_cannot_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(2).uniform(-1, 1, (200, 3))
    usual = FaceFinder(soup(3), 0.1).nearest(points)
    for name, value in (("_POINTS", 7), ("_PAIRS", 5), ("_ENTRIES", 50), ("_CORNERS_ASKED", 3)):
        monkeypatch.setattr(nearest_face, name, value)
    other = FaceFinder(soup(3), 0.1).nearest(points)
    np.testing.assert_array_equal(other.distance, usual.distance)
    np.testing.assert_array_equal(other.point, usual.point)


@pytest.mark.parametrize(
    ("point", "closest", "feature"),
    [
        ((0.5, 0.5, 1), (0.5, 0.5, 0), 0),
        ((1, -1, 1), (1, 0, 0), 1),
        ((2, 2, 0), (1, 1, 0), 2),
        ((-1, 1, 0), (0, 1, 0), 3),
        ((-1, -1, 0), (0, 0, 0), 4),
        ((3, -1, 0), (2, 0, 0), 5),
        ((-1, 3, 0), (0, 2, 0), 6),
    ],
)
def test_closest_point_in_every_region(point: tuple, closest: tuple, feature: int) -> None:
    offset, found = offset_from_triangles(np.array([point], float), np.array([[0, 0, 0, 2, 0, 0, 0, 2, 0]], float))
    np.testing.assert_allclose(np.array(point) - offset[:, 0], closest)
    assert found.tolist() == [feature]


HASHES = (
    nearest_face._hash,
    lambda points: np.zeros(len(points), dtype=np.uint64),  # all places share one
    lambda points: (points @ [1, 0, 2]).astype(np.uint64),  # they share the bits that are looked at first
)


@pytest.mark.parametrize("hashed", HASHES)
def test_places_are_numbered_once(hashed: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_face, "_hash", hashed)
    points = np.array([[0.0, 1, 2], [3, 1, 2], [-0.0, 1, 2], [0, 1, 2.5], [3, 1, 2]])
    places, number = number_places(points)
    np.testing.assert_array_equal(places[number], points)
    assert places.tolist() == sorted(places.tolist()) and len(places) == 3
    assert number[0] == number[2] and number[1] == number[4]


@pytest.mark.parametrize("largest", [5, 2**60, 2**64 - 1])  # the last two leave no room for the places
def test_groups_are_those_of_numpy(largest: int) -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, largest, 40, dtype=np.uint64, endpoint=True)[rng.integers(0, 40, 1000)]
    _, *expected = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    for found, known in zip(nearest_face._grouped(keys), expected, strict=True):
        np.testing.assert_array_equal(found, known)
    assert [len(found) for found in nearest_face._grouped(keys[:0])] == [0, 0, 0]


def test_edges_are_counted() -> None:
    box = np.array(trimesh.creation.box().triangles)
    flipped = box.copy()
    flipped[0] = flipped[0, ::-1]
    fin = np.concatenate([SQUARE, [[[0, 0, 0], [1, 1, 0], [0.5, 0.5, 1]]]])
    counted = [FaceFinder(mesh, 1.0).edges for mesh in (box, flipped, SQUARE, fin)]
    assert [edges.num_open for edges in counted] == [0, 0, 4, 6]
    assert [edges.num_flipped for edges in counted] == [0, 3, 0, 0]
    assert [edges.num_non_manifold for edges in counted] == [0, 0, 0, 1]


def test_coincident_opposite_faces_have_every_point_in_front() -> None:
    turned = SQUARE @ trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])[:3, :3]
    tiles = np.concatenate([turned, turned + turned[0, 1]])
    finder = FaceFinder(np.concatenate([tiles, tiles[:, ::-1]]), 0.3)
    points = np.random.default_rng(4).uniform(-1, 2, (200, 3))
    assert (finder.nearest(points).distance > 0).all()


def test_rim_is_where_one_face_ends() -> None:
    found = FaceFinder(SQUARE, 0.3).nearest(np.array([[0.5, 0.5, 1], [-1, 0.4, 0.1], [2, 2, 2], [0.5, 0.4, -1]]))
    assert found.is_rim.tolist() == [False, True, True, False]
    np.testing.assert_allclose(found.distance[[0, 3]], [1, -1])
