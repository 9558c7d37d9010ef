"""A large photograph by itself is the picture that a folder's shard holds of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.photo_input import Photo
from sahmr.cameras.read import read_cameras
from sahmr.cameras.undistort import plan_undistortion
from sahmr.readers.images import decode_region
from sahmr.readers.own import OwnReader
from sahmr.shards.encode import encode_sample, plan_crop
from sahmr.shards.photo import stored_photo
from sahmr.sight.figures import View
from tests.worlds import own_folders as own
from tests.worlds import small
from tests.worlds.raw_trees import put

TIMES = 4  # as large as the small world's
SIZE = (TIMES * own.SIZE[0], TIMES * own.SIZE[1])
K = own.K * [[TIMES], [TIMES], [1]]
BOX = (440.0, 60.0, 900.0, 900.0)
LENS = {"model": "opencv", "coefficients": [-0.1, 0.02, 0.0, 0.0]}


@pytest.mark.parametrize("sampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("lens", [None, LENS], ids=["pinhole", "lens"])
def test_same_picture(sampling: str, lens: dict | None, tmp_path: Path) -> None:
    more = {} if lens is None else {"distortion": lens}
    camera = own.camera(width=SIZE[0], height=SIZE[1], K=K.tolist(), **more)
    scene = own.folder(tmp_path / "own", {"cam0": camera}, ("cam0/0001.jpg",))
    stream = io.BytesIO()
    Image.fromarray(small.image(3)).resize(SIZE).save(stream, "JPEG", quality=90, subsampling=sampling)
    file = put(scene / "images/cam0/0001.jpg", stream.getvalue())
    own.table(scene / "boxes.csv", {"cam0/0001.jpg": BOX})
    reader = OwnReader(root=tmp_path / "own", bodies=tmp_path)
    (record,) = reader.frames()
    plan = plan_crop(record, small.SHARDS)
    assert plan.divisor == 4
    image = reader.read_image(record, plan.region, plan.divisor)
    theirs = encode_sample(record, image, None, None, small.SHARDS)["jpg"]
    (taken,) = read_cameras(put(tmp_path / "camera.json", json.dumps(camera)))
    undone = plan_undistortion(taken)
    pixels = np.asarray(undone.apply(decode_region(file, (0, 0, *SIZE), 1)))
    box = np.array(record.person_box)
    view = View(intrinsics=undone.camera.intrinsics, camera_from_world=own.POSE, size=SIZE, box=tuple(box.tolist()))
    photo = Photo(file=file, pixels=pixels, view=view, camera=undone.camera, was_distorted=lens is not None)
    ours = stored_photo("a", photo, view.intrinsics, own.POSE, box, small.SHARDS)
    expected = cv2.imdecode(np.frombuffer(theirs, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert ours.region == plan.region and ours.image_size == SIZE
    np.testing.assert_array_equal(ours.image, expected)
