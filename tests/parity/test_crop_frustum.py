"""Crops and viewing frusta against the reference (golden G8)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from sahmr.geometry.frustum import frustum_corners, inside_frustum
from sahmr.shards import crop
from tests.parity.golden_file import LAYER
from tests.parity.published import to_camera

_OTHER_OPENCV = 5.0  # grey levels: releases 4 and 5 of OpenCV differ by 4, ours from our release's by 1


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_boxes_affines_and_pixels(load: Any, mode: str) -> None:
    data = load("G8_crop")
    image, all_draws = data.given("in__image_u8").numpy(), data.given("in__draws_f64").numpy()
    for i, person_box in enumerate(data.given("in__boxes_f64").numpy()):
        box = crop.crop_box(person_box)
        if mode == "train":
            box = crop.crop_box(person_box, zoom_range=0.4, jitter_px=10.0, draws=all_draws[i])
        data.check(f"{mode}_bbx_b{i}_f64", box, 1e-9, "absolute")
        ours = crop.crop_from_image(box)
        check_affine(data, f"{mode}_affine_b{i}_f64", ours, box)
        pixels = crop.warp(image, ours)
        same_release = cv2.__version__.startswith("5.")
        data.check(f"{mode}_crop_b{i}", pixels, 1.0 if same_release else _OTHER_OPENCV, "absolute")
        for name in data.names(f"{mode}_crop_b{i}_cv4"):
            data.check(name, pixels, _OTHER_OPENCV if same_release else 1.0, "absolute")


def check_affine(data: Any, name: str, ours: np.ndarray, box: np.ndarray) -> None:
    """Ours is exact; the reference solves for it from three corners rounded to float32.

    So the corners' rounding, some 1e-5 px, is all that may lie between the two. That the same rounding gives the
    reference's numbers to 1e-9 shows that nothing else does.
    """
    side = np.float32(crop.CROP_SIZE - 1)
    corners = np.array([(box[:2] + box[2:]) / 2, box[:2], [box[2], box[1]]], dtype=np.float32)
    rounded = cv2.getAffineTransform(corners, np.array([[side / 2, side / 2], [0, 0], [side, 0]], dtype=np.float32))
    data.check(name, rounded, 1e-9, "absolute")
    theirs = data.given(name).numpy()
    homogeneous = np.array([[box[0], box[1], 1], [box[2], box[1], 1], [box[0], box[3], 1], [box[2], box[3], 1]]).T
    data.note(f"{name} at the box corners, px", ours @ homogeneous, theirs @ homogeneous, 1e-4, "absolute")


def test_frustum(load: Any) -> None:
    data = load("G8_frustum")
    intrinsics, box, transform = (data.given(f"in__{name}") for name in ("K", "bbx_lurb", "T_w2c"))
    corners = frustum_corners(intrinsics, box)
    data.check("c_frustum_points", corners, LAYER)
    near, far = data.given("in__near_z"), data.given("in__far_z")
    data.check("c_frustum_points_near_far", frustum_corners(intrinsics, box, near, far), LAYER)
    scene = data.given("in__scene_w")
    inside = []
    for i, camera_from_world in enumerate(transform):
        camera = to_camera(scene, camera_from_world)
        inside.append(inside_frustum(camera, corners[i]))
        data.check(f"c_pcFst_all_b{i}", camera[inside[i]], LAYER)
    data.check_equal("inside_bits", np.packbits(torch.stack(inside).numpy(), axis=-1))
    data.check("T_c2w", torch.linalg.inv(transform), LAYER)
