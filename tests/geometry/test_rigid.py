"""Rigid transforms and the numpy camera, against hand-computed values, torch and LAPACK."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sahmr.geometry import camera, rigid, rigid_numpy

# A quarter turn about z (x -> y, y -> -x), then a shift.
TRANSFORM = np.array([[0.0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]])
POINTS = np.array([[1.0, 2, 3], [0, 0, 0], [-4, 0.5, 1]])
MOVED = np.array([[8.0, 21, 33], [10, 20, 30], [9.5, 16, 31]])
K = np.array([[100.0, 0, 50], [0, 200, 40], [0, 0, 1]])


def test_apply_in_torch_by_hand() -> None:
    transform, points, moved = (torch.from_numpy(array) for array in (TRANSFORM, POINTS, MOVED))
    assert torch.equal(rigid.apply_rigid(transform, points), moved)


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("invert", [rigid_numpy.invert_rigid, rigid_numpy.transpose_rigid])
def test_apply_and_invert_in_numpy_by_hand(invert: Callable[[np.ndarray], np.ndarray], order: str) -> None:
    inverse = invert(TRANSFORM)
    np.testing.assert_array_equal(inverse, [[0, 1, 0, -20], [-1, 0, 0, 10], [0, 0, 1, -30], [0, 0, 0, 1]])
    np.testing.assert_array_equal(rigid_numpy.apply_rigid(TRANSFORM, np.array(POINTS, order=order)), MOVED)
    np.testing.assert_array_equal(rigid_numpy.apply_rigid(inverse, np.array(MOVED, order=order)), POINTS)


def test_inverse_of_a_rounded_rotation_is_exact() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].round(4)
    transform = np.block([[turn, np.array([[0.5], [-2], [3]])], [np.zeros((1, 3)), np.ones((1, 1))]])
    np.testing.assert_allclose(rigid_numpy.invert_rigid(transform), np.linalg.inv(transform), rtol=0, atol=1e-14)


def test_numpy_camera_by_hand_and_back() -> None:
    points = np.array([[1.0, -0.5, 2.0], [0.0, 0.0, 4.0]])
    pixels = rigid_numpy.project(points, K)
    np.testing.assert_array_equal(pixels, [[100.0, -10.0], [50.0, 40.0]])
    np.testing.assert_array_equal(rigid_numpy.unproject(pixels, points[:, 2], K), points)
    np.testing.assert_array_equal(rigid_numpy.unproject(pixels, 1.0, K), [[0.5, -0.25, 1], [0, 0, 1]])


def test_numpy_and_torch_agree() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform([-1, -1, 1], [1, 1, 5], (50, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    transform = np.block([[turn, rng.normal(size=(3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])
    tensor = torch.from_numpy
    np.testing.assert_allclose(
        rigid_numpy.apply_rigid(transform, points), rigid.apply_rigid(tensor(transform), tensor(points)), atol=1e-14
    )
    pixels = rigid_numpy.project(points, K)
    np.testing.assert_allclose(pixels, camera.project(tensor(points), tensor(K).expand(50, 3, 3)), atol=1e-11)
    np.testing.assert_allclose(
        rigid_numpy.unproject(pixels, points[:, 2], K),
        camera.unproject(tensor(pixels), tensor(points[:, 2]), tensor(K)),
        atol=1e-14,
    )
