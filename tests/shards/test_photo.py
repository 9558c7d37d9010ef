"""A photograph that lies in no shard is what a shard would hold of it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sahmr.errors import RawDataError
from sahmr.shards.encode import Shards, encode_sample, plan_crop
from sahmr.shards.photo import Pixels, stored_photo
from tests.worlds import small


@pytest.mark.parametrize("side", [60, 160])
def test_same_pixels(side: int) -> None:
    settings = Shards(samples_per_shard=4, max_side_px=side, margin=1.6, jpeg_quality=92)
    record = replace(small.record(0, has_body=False), person_box=(100.0, 40.0, 190.0, 200.0))
    pixels = np.random.default_rng(0).integers(0, 255, (small.HEIGHT, small.WIDTH, 3), dtype=np.uint8)
    plan = plan_crop(record, settings)
    left, top, right, bottom = plan.region
    part = pixels[top:bottom, left:right]
    rows, columns, step = *plan.shape[:2], plan.divisor
    reduced = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA) if step > 1 else part
    jpg = encode_sample(record, reduced, None, None, settings)["jpg"]
    theirs = cv2.imdecode(np.frombuffer(jpg, np.uint8), cv2.IMREAD_COLOR_RGB)
    camera = np.array(record.intrinsics).reshape(3, 3), np.array(record.camera_from_world).reshape(4, 4)
    ours = stored_photo("a", Pixels(pixels), *camera, np.array(record.person_box), settings)
    assert ours.region == plan.region and ours.image_size == (small.WIDTH, small.HEIGHT)
    off = np.abs(ours.image.astype(int) - theirs.astype(int))  # of noise, the hardest to store
    assert off.max() == 0 if step == 1 else off.mean() < 2.5


def test_a_person_outside_is_refused() -> None:
    with pytest.raises(RawDataError, match=r"photograph a: person box .* lies outside the"):
        stored_photo("a", Pixels(np.zeros((99, 99, 3), np.uint8)), np.eye(3), np.eye(4), np.array([900.0, 0, 990, 99]),
                     small.SHARDS)  # fmt: skip
