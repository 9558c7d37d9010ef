"""Distortion is undone once, and the new K says where everything is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sahmr.cameras.photo_camera import PhotoCamera
from sahmr.cameras.undistort import plan_undistortion
from sahmr.errors import RawDataError
from tests.worlds import photo_cameras as world

CAMERA = PhotoCamera(
    name="a", intrinsics=world.K, image_size=world.SIZE, distortion=world.TERMS, camera_from_world=world.pose(),
    unit="m", source=Path("a.json"),
)  # fmt: skip


def distorted(rays: np.ndarray, k: np.ndarray = world.K, terms: tuple = world.TERMS) -> np.ndarray:
    """Brown's formula by hand: where the lens puts rays (x/z, y/z)."""
    x, y = rays.T
    k1, k2, p1, p2 = terms
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2 * r2
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([k[0, 0] * u + k[0, 2], k[1, 1] * v + k[1, 2]], axis=1)


def test_points_go_where_the_new_k_projects_them() -> None:
    rays = np.array([[0.1, -0.2], [-0.5, 0.3], [0.55, 0.4], [0.0, 0.0]])
    made = plan_undistortion(CAMERA)
    k = made.camera.intrinsics
    np.testing.assert_allclose(made.move(distorted(rays)), rays * k[[0, 1], [0, 1]] + k[:2, 2], rtol=0, atol=1e-6)
    assert made.camera.distortion == () and made.camera.image_size == world.SIZE and made.taken is CAMERA
    np.testing.assert_array_equal(made.camera.camera_from_world, CAMERA.camera_from_world)


def test_an_image_is_resampled_by_the_same_map() -> None:
    """A picture whose grey level is its own column and row, as the lens takes it: pixels say whence they came."""
    rows, columns = np.mgrid[: world.SIZE[1], : world.SIZE[0]]
    taken = np.stack([columns / 4, rows / 4, rows * 0], axis=-1).astype(np.uint8)
    made = plan_undistortion(CAMERA)
    image, k = made.apply(taken), made.camera.intrinsics
    assert image.shape == taken.shape
    for column, row in ((5, 7), (320, 240), (600, 100), (639, 479)):
        ray = np.array([[(column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1]]])
        expected = distorted(ray)[0] / 4
        np.testing.assert_allclose(image[row, column, :2], expected, atol=1.0)
    assert (image[..., 2] == 0).all() and image[:, :, 1].max() > 100


def test_a_pinhole_is_left_alone() -> None:
    camera = replace(CAMERA, distortion=())
    made = plan_undistortion(camera)
    image, points = np.zeros((480, 640, 3), np.uint8), np.array([[1.0, 2.0]])
    assert made.camera is camera and made.apply(image) is image and made.move(points) is points


def test_what_cannot_be_undone_is_refused() -> None:
    with pytest.raises(RawDataError, match=r"a\.json: camera 'a': its distortion folds \d+% of the image"):
        plan_undistortion(replace(CAMERA, distortion=(-1.5, 0.0, 0.0, 0.0)))
    with pytest.raises(RawDataError, match="has distortion, but no image size"):
        plan_undistortion(replace(CAMERA, image_size=None))
