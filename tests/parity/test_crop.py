"""Crops against arrays computed with the published code (OpenCV 5)."""

import cv2
import numpy as np
import pytest

from sahmr.data import crop


@pytest.fixture(scope="module")
def published(golden):
    path = golden / "G8_crop.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return dict(np.load(path, allow_pickle=False))


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_boxes_affines_and_pixels(published, mode: str, number: int) -> None:
    more = {}
    if mode == "train":
        more = {"zoom_range": 0.4, "jitter_px": 10.0, "draws": published["in__draws_f64"][number]}
    box = crop.crop_box(published["in__boxes_f64"][number], **more)
    np.testing.assert_allclose(box, published[f"{mode}_bbx_b{number}_f64"], atol=1e-9, rtol=0)
    # The published code solves for the affine from three float32 points; ours is the closed form.
    theirs, ours = published[f"{mode}_affine_b{number}_f64"], crop.crop_from_image(box)
    center, side = (box[:2] + box[2:]) / 2, 223
    points = np.array([center, box[:2], [box[2], box[1]]], dtype=np.float32)
    solved = cv2.getAffineTransform(points, np.array([[side / 2, side / 2], [0, 0], [side, 0]], dtype=np.float32))
    np.testing.assert_allclose(solved, theirs, atol=1e-9, rtol=0)
    corners = np.array([[box[0], box[1], 1], [box[2], box[3], 1]]).T
    np.testing.assert_allclose(ours @ corners, theirs @ corners, atol=1e-4, rtol=0)
    pixels = crop.warp(published["in__image_u8"], ours).astype(int)
    assert np.abs(pixels - published[f"{mode}_crop_b{number}"]).max() <= 1
