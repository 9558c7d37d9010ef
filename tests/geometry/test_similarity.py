"""Similarities from pairs of points: exact ones are found, ambiguous ones refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sahmr.geometry.procrustes import align_similarity
from sahmr.geometry.similarity import Similarity, fit_similarity
from tests.worlds import photo_cameras as world

POINTS = np.array([[0.0, 0, 0], [2, 0, 0.5], [0, 3, 0], [1, 1, 2]])


@given(st.floats(0.01, 100), st.lists(st.floats(-3, 3), min_size=6, max_size=6), st.integers(3, 4))
@settings(max_examples=40, deadline=None)
def test_any_similarity_is_found(scale: float, numbers: list[float], count: int) -> None:
    rotation = Rotation.from_rotvec(numbers[:3]).as_matrix()
    target = np.array([scale * rotation @ point + numbers[3:] for point in POINTS[:count]])
    fit = fit_similarity(POINTS[:count], target)
    np.testing.assert_allclose(fit.similarity.scale, scale, rtol=1e-9)
    np.testing.assert_allclose(fit.similarity.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(fit.residuals, 0, atol=1e-9 * (scale + 1))
    assert not fit.mirrored


def test_noise_is_a_residual_and_the_fit_that_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    target = 2 * POINTS[:, [1, 2, 0]] + 1 + rng.normal(0, 0.02, POINTS.shape)
    fit = fit_similarity(POINTS, target)
    other = align_similarity(torch.from_numpy(POINTS[None]), torch.from_numpy(target[None]))[0].numpy()
    np.testing.assert_allclose(fit.similarity.apply(POINTS), other, atol=1e-12)
    np.testing.assert_allclose(fit.residuals, np.linalg.norm(other - target, axis=1), atol=1e-12)
    assert 0.001 < fit.residuals.max() < 0.1


def test_mirrored_axes_are_told() -> None:
    fit = fit_similarity(POINTS, POINTS * [1, 1, -1])
    assert fit.mirrored and fit.residuals.max() > 0.1
    np.testing.assert_allclose(np.linalg.det(fit.similarity.rotation), 1)
    assert not fit_similarity(POINTS[:3], POINTS[:3] * [1, 1, -1]).mirrored  # a plane turns over


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (POINTS[:2], "2 pairs of points; allowed: 3 or more"),
        (np.zeros((0, 3)), "0 pairs"),
        (np.ones((4, 3)), "in one place"),
        (np.outer(np.arange(4.0), [1, 2, 3]), "lie on one line"),
        (np.outer(np.arange(4.0), [1, 2, 3]) + POINTS * 1e-3, "lie on one line"),
    ],
)
def test_ambiguous_pairs_are_refused(points: np.ndarray, says: str) -> None:
    for source, target in ((points, POINTS[: len(points)]), (POINTS[: len(points)], points)):
        with pytest.raises(ValueError, match=says):
            fit_similarity(source, target)


def test_a_moved_camera_sees_the_same() -> None:
    """Pixels stay; depths become metres."""
    similarity = Similarity(scale=0.25, rotation=world.pose((1, 0.5, -2))[:3, :3], translation=np.array([4.0, 5, 6]))
    before = world.pose()
    points = np.array([[0.2, 1.0, 5.0], [-1.0, 3.0, 6.5]])
    moved = np.array([0.25 * similarity.rotation @ point + similarity.translation for point in points])
    np.testing.assert_allclose(similarity.apply(points), moved, atol=1e-12)
    after = similarity.move_camera(before)
    np.testing.assert_allclose(world.pixels(moved, after), world.pixels(points, before), atol=1e-9)
    np.testing.assert_allclose((after[:3, :3] @ moved.T).T + after[:3, 3],
                               0.25 * ((before[:3, :3] @ points.T).T + before[:3, 3]), atol=1e-12)  # fmt: skip
