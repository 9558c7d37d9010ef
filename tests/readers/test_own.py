"""Folders of one's own: every format gives what RICH's gives; names join pictures, boxes, cameras and bodies."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from webdataset import TarWriter

from sahmr.batches.collate import collate
from sahmr.batches.dataset import make_sample
from sahmr.cameras.read import read_cameras
from sahmr.demo.publishers import containers
from sahmr.inference import predict_tables
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.readers.calibration import Calibration, read_rich_calibration
from sahmr.readers.measure import person_box
from sahmr.readers.own import OwnReader, OwnRules
from sahmr.readers.own_layout import pick_camera
from sahmr.scenes.build import create_store, write_scene
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import StoredSample, decode_sample
from sahmr.shards.encode import encode_sample, plan_crop
from schemas.frame import FrameRecord
from tests.worlds import own_folders as own
from tests.worlds import small
from tests.worlds.networks import TINY, make_topology
from tests.worlds.raw_trees import put

NAME = "IMG_7.png"
FORMATS: dict[str, Callable[[Path], None]] = {
    "explicit": lambda scene: None,
    "nerfstudio": lambda scene: own.nerfstudio(scene, NAME),
    "colmap text": lambda scene: own.colmap(scene, NAME, binary=False),
    "colmap binary": lambda scene: own.colmap(scene, NAME, binary=True),
    "opencv": lambda scene: put(scene / "cameras/cam.xml", containers.calibration_xml(own.POSE, own.K)) and None,
}


def reader_of(root: Path, **rules: Any) -> OwnReader:
    return OwnReader(root=root, bodies=root.parent / "bodies", rules=OwnRules(**rules))


def write_format(root: Path, name: str) -> OwnReader:
    """Ground truth and photograph with the cameras of one format; boxes are the bodies'."""
    scene = own.folder(root, {"cam": own.camera()}, (NAME,))
    (scene / "boxes.csv").unlink()
    if name != "explicit":
        (scene / "cameras.json").unlink()
        put(scene / "scene.json", json.dumps({"camera_unit": "m"}))
        FORMATS[name](scene)
    (scene / "bodies").mkdir()
    np.save(scene / "bodies/IMG_7.npy", small.vertices())
    return reader_of(root)


def stored_sample(reader: OwnReader, record: FrameRecord) -> StoredSample:
    """Through a shard and back."""
    plan = plan_crop(record, small.SHARDS)
    image = reader.read_image(record, plan.region, plan.divisor)
    members = encode_sample(record, image, reader.load_body_world(record), None, small.SHARDS)
    stream = io.BytesIO()
    with TarWriter(stream, mtime=0, encoder=False) as writer:
        writer.write({"__key__": record.key, **members})
    return decode_sample(stream.getvalue())


def rich_record(folder: Path, record: FrameRecord) -> FrameRecord:
    """The same photograph by the road of RICH: its calibration file, and the projected body."""
    path = put(folder / "000.xml", containers.calibration_xml(own.POSE, own.K))
    calibration: Calibration = read_rich_calibration(path)
    box = person_box(small.vertices(), calibration)
    assert box is not None
    return replace(
        record, intrinsics=calibration.intrinsics, camera_from_world=calibration.camera_from_world, person_box=box
    )


def test_every_format_gives_the_crop_the_points_and_the_prediction_of_richs_road(tmp_path: Path) -> None:
    stored, boxes = [], []
    for number, name in enumerate(FORMATS):
        reader = write_format(tmp_path / str(number), name)
        assert reader.check() == []
        (record,) = reader.frames()
        assert (record.box_source, record.key, record.scene_key) == ("body", "room_IMG_7", "room")
        if not stored:
            expected = rich_record(tmp_path, record)
            boxes.append(expected.person_box)
            stored.append(stored_sample(reader, expected))
        boxes.append(record.person_box)
        stored.append(stored_sample(reader, record))
    assert np.abs(np.array(boxes) - boxes[0]).max() < 1e-4
    store = tmp_path / "own.zarr"
    create_store(store, "own")
    (scan,) = reader.scenes()
    write_scene(scan, store=store, raw_root=reader.root, settings=small.SCENES)
    samples = [make_sample(each, crop_box(each.person_box), store) for each in stored]
    assert len(samples[0].scene_camera) > 500
    for sample in samples[1:]:
        torch.testing.assert_close(sample.crop_box, samples[0].crop_box, atol=1e-4, rtol=0)
        torch.testing.assert_close(sample.scene_camera, samples[0].scene_camera, atol=1e-4, rtol=0)
        assert torch.equal(sample.image, samples[0].image)
    topology = make_topology()
    torch.manual_seed(0)
    network = SahmrNet(TINY, OWN, topology)
    (table,) = predict_tables(network, [collate(samples)], joint_regressor=topology.joint_regressor)
    vertices = np.array(table.column("vertices").to_pylist())
    assert vertices[0].std() > 0.01
    np.testing.assert_allclose(vertices[1:], vertices[:1].repeat(len(FORMATS), axis=0), atol=1e-4)


def test_distortion_is_undone_once_and_the_new_camera_recorded(tmp_path: Path) -> None:
    terms = [-0.2, 0.05, 0.001, -0.0005]
    lens = {"model": "opencv", "coefficients": terms}
    scene = own.folder(tmp_path / "own", {"cam0": own.camera(distortion=lens)})
    reader = reader_of(tmp_path / "own")
    (record,) = reader.frames()
    new_k = np.array(record.intrinsics).reshape(3, 3)
    assert abs(new_k[0, 0] - own.K[0, 0]) > 1
    corners = np.array([[own.BOX[0], own.BOX[1]]])
    moved = cv2.undistortPoints(corners[:, None], own.K, np.array(terms), P=new_k).ravel()
    assert record.person_box[0] <= moved[0] + 1e-2 and record.person_box[1] <= moved[1] + 1e-2
    across, down = cv2.initUndistortRectifyMap(own.K, np.array(terms), np.eye(3), new_k, own.SIZE, cv2.CV_32FC1)
    whole = cv2.remap(small.image(0), across, down, cv2.INTER_LINEAR)
    region = (96, 40, 200, 220)
    np.testing.assert_array_equal(reader.read_image(record, region, 1), whole[40:220, 96:200])
    assert reader.read_image(record, region, 4).shape == (45, 26, 3)
    content = json.loads((scene / "cameras.json").read_text())
    content["cameras"]["cam0"]["distortion"]["coefficients"][0] = -0.1
    put(scene / "cameras.json", json.dumps(content))
    with pytest.raises(Exception, match=r"camera 'cam0' changed; run: dvc repro frames"):
        reader.read_image(record, region, 1)


def test_frames_of_a_video_are_read_by_their_numbers(tmp_path: Path) -> None:
    scene = own.folder(tmp_path / "own")
    path = scene / "images/cam1.avi"
    write_video(path, 6)
    cameras = json.loads((scene / "cameras.json").read_text())
    put(scene / "cameras.json", json.dumps({"cameras": cameras["cameras"] | {"cam1": own.camera()}}))
    own.table(scene / "boxes.csv", {"cam1/000004.png": own.BOX, "cam1.avi/2": own.BOX, "0001.png": own.BOX})
    reader = reader_of(tmp_path / "own")
    records = list(reader.frames())
    keys = ["room_cam0-0001", "room_cam1-000002", "room_cam1-000004"]
    assert [(record.key, record.frame, record.camera) for record in records] == [
        (key, frame, camera) for key, frame, camera in zip(keys, (1, 2, 4), (0, 1, 1), strict=True)
    ]
    for record in pickle.loads(pickle.dumps(records[1:])):
        grey = reader.read_image(record, (0, 0, 40, 40), 4).mean()
        assert abs(grey - 40 * record.frame) < 3
    with pytest.raises(Exception, match=r"cam1\.avi: frame 6 does not decode, or the video ends before it"):
        reader.read_image(replace(records[1], frame=9), (0, 0, 40, 40), 4)


def write_video(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25.0, own.SIZE)
    for number in range(count):
        writer.write(np.full((*own.SIZE[::-1], 3), 40 * number, dtype=np.uint8))
    writer.release()


def test_a_frame_that_does_not_decode_is_an_error_as_later_ones_have_no_number(tmp_path: Path) -> None:
    from sahmr.readers.own_video import read_video_frame

    path = tmp_path / "a.avi"
    write_video(path, 6)
    content = bytearray(path.read_bytes())
    third = [place for place in range(len(content) - 3) if content[place : place + 3] == b"\xff\xd8\xff"][3]
    content[third : third + 400] = bytes(400)
    path.write_bytes(content)
    assert abs(read_video_frame(path, 2).mean() - 80) < 3
    with pytest.raises(Exception, match=r"a\.avi: (frame 3 does not decode|after frame 2 )"):
        read_video_frame(path, 4)


@pytest.mark.parametrize(
    ("image", "names", "expected"),
    [
        ("images/a/1.jpg", ["a", "b"], "a"),
        ("images/a/1.jpg", ["a", "images/a/1.jpg"], "images/a/1.jpg"),
        ("images/a/1.jpg", ["a/1.jpg", "b/1.jpg"], "a/1.jpg"),
        ("images/1.jpg", ["1.jpg", "2.jpg"], "1.jpg"),
        ("images/1.jpg", ["1", "2"], "1"),
        ("images/cam0.mp4", ["cam0", "cam1"], "cam0"),
        ("images/x/1.jpg", ["only"], "only"),
        ("images/2.jpg", ["1.jpg"], None),
        ("images/c/1.jpg", ["a", "b"], None),
    ],
)
def test_a_picture_finds_its_camera(tmp_path: Path, image: str, names: list[str], expected: str | None) -> None:
    (camera,) = read_cameras(put(tmp_path / "a.json", json.dumps(own.camera())))
    assert pick_camera(dict.fromkeys(names, camera), image) == expected


def test_people_of_one_picture_rules_and_counts(tmp_path: Path) -> None:
    scene = own.folder(tmp_path / "own", names=("cam0/0001.png", "cam0/0002.png", "cam0/0003.png"))
    lines = ["image,left,top,right,bottom,person,score", *(
        f"cam0/{name},100,40,200,220,{person},{score}"
        for name, person, score in (("0001.png", "ann", 0.9), ("0001.png", "bob", 0.8), ("0002.png", "", 0.2))
    )]  # fmt: skip
    put(scene / "boxes.csv", "\n".join(lines))
    (scene / "bodies/cam0").mkdir(parents=True)
    np.save(scene / "bodies/cam0/0001.bob.npy", small.vertices())
    np.save(scene / "bodies/cam0/0009.npy", small.vertices())
    listing = reader_of(tmp_path / "own", least_score=0.5).list_bodies()
    assert [task.views[0].key for task in listing.tasks] == ["room_cam0-0001_ann", "room_cam0-0001_bob"]
    assert [task.body_file for task in listing.tasks] == [None, "room/bodies/cam0/0001.bob.npy"]
    counts = {tally.rule: tally.count for tally in listing.dropped}
    assert counts == {"low_score": 1, "no_box": 1, "no_image": 1}
    found = reader_of(tmp_path / "own", least_score=0.5)
    ann, bob = (found.measure(task).records[0] for task in listing.tasks)
    assert (ann.box_source, ann.body_file) == ("detector", None)
    np.testing.assert_array_equal(found.load_body_world(bob), small.vertices())
    few = reader_of(tmp_path / "own", interval=2).list_bodies()
    assert [task.views[0].key for task in few.tasks] == ["room_cam0-0002"]
