import numpy as np
import pytest

from sahmr.scenes.voxels import morton_code, occupied_voxels, subdivide


def test_subdivide_keeps_the_area_and_bounds_the_edges() -> None:
    triangles = np.random.default_rng(0).normal(size=(20, 3, 3))
    pieces, parent = subdivide(triangles, 0.3)
    assert np.linalg.norm(np.roll(pieces, -1, axis=1) - pieces, axis=2).max() <= 0.3
    area = [np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1) for t in (triangles, pieces)]
    np.testing.assert_allclose(np.bincount(parent, weights=area[1]), area[0])


def test_a_square_on_a_voxel_face_fills_one_layer() -> None:
    corners = np.array([[0.05, 0.05, 0.2], [0.35, 0.05, 0.2], [0.35, 0.35, 0.2], [0.05, 0.35, 0.2]])
    centers = occupied_voxels(corners[[[0, 1, 2], [0, 2, 3]]], 0.1)
    assert centers.dtype == np.float32
    expected = {(round(x, 2), round(y, 2), 0.25) for x in (0.05, 0.15, 0.25, 0.35) for y in (0.05, 0.15, 0.25, 0.35)}
    assert {tuple(np.round(row.astype(float), 2)) for row in centers} == expected


def test_voxels_agree_with_dense_sampling() -> None:
    rng = np.random.default_rng(1)
    triangles = rng.uniform(-1, 1, (3, 3, 3))
    centers = occupied_voxels(triangles, 0.11)
    found = {tuple(row) for row in np.round(centers / 0.11 - 0.5).astype(int)}
    assert len(found) == len(centers)
    weights = rng.dirichlet([1, 1, 1], 60_000)
    sampled = {tuple(row) for t in triangles for row in np.unique(np.floor(weights @ t / 0.11).astype(int), axis=0)}
    assert sampled <= found
    assert len(found) <= 1.1 * len(sampled)  # sampling misses a few corners, nothing more


def test_morton_code_interleaves_and_refuses_what_does_not_fit() -> None:
    np.testing.assert_array_equal(morton_code(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0]])), [1, 2, 4, 8])
    with pytest.raises(ValueError, match="21 bits"):
        morton_code(np.array([[1 << 21, 0, 0]]))
