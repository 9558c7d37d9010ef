"""Damaged, contradicting and hostile camera files: one line that names the file, what was found and what is allowed."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sahmr.cameras.photo_camera import fit_to_image, need_metres
from sahmr.cameras.read import read_cameras
from sahmr.errors import RawDataError
from tests.worlds import photo_cameras as world
from tests.worlds.raw_trees import put

POSE = world.pose()
SHEARED = POSE.copy()
SHEARED[0, 0] += 0.1
MIRRORED = np.diag([-1.0, 1, 1, 1]) @ POSE
FAR = POSE.copy()
FAR[0, 3] = 1e9

EXPLICIT: tuple[tuple[dict[str, Any], str], ...] = (
    ({"camera_from_world": SHEARED.tolist()}, "not a rigid transform"),
    ({"camera_from_world": MIRRORED.tolist()}, "not a rigid transform"),
    ({"camera_from_world": np.zeros((4, 4)).tolist()}, "not a rigid transform"),
    ({"camera_from_world": ..., "world_from_camera": np.zeros((4, 4)).tolist()}, "not a rigid transform"),
    ({"camera_from_world": FAR.tolist()}, "NaN, infinite or wild"),
    ({"camera_from_world": POSE[:2].tolist()}, "allowed: 4x4 or 3x4 numbers as nested lists"),
    ({"camera_from_world": [[1, 2], [3]]}, "allowed: 4x4 or 3x4"),
    ({"camera_from_world": "identity"}, "found 'identity'; allowed: 4x4"),
    ({"world_from_camera": POSE.tolist()}, "found both camera_from_world and world_from_camera"),
    ({"camera_from_world": ..., "world_to_camera": POSE.tolist()}, "unknown keys 'world_to_camera'; allowed: image"),
    ({"convention": ...}, "'convention' is nothing; allowed: opencv, opengl"),
    ({"convention": "blender"}, "'convention' is 'blender'; allowed: opencv, opengl"),
    ({"units": ...}, "'units' is nothing; allowed: metres"),
    ({"units": "yards"}, "'units' is 'yards'"),
    ({"width": ...}, "'width' is nothing; allowed: a number"),
    ({"width": 640.5}, "allowed: a whole number of pixels"),
    ({"width": True}, "'width' is true"),
    ({"width": 10**9}, "allowed: sides from 1 to 32768"),
    ({"width": 30000, "height": 30000}, "at most 268,435,456 pixels"),
    ({"height": -480}, "sides from 1"),
    ({"width": 300}, r"the principal point \(318.5, 241.25\) lies outside the image of 300 x 480"),
    ({"K": ...}, "found neither; allowed: either 'K' or 'fx'"),
    ({"fx": 500}, "found both; allowed: either 'K' or 'fx'"),
    ({"K": ..., "fx": 500, "fy": 500, "cx": 320}, "'cy' is nothing; allowed: a number"),
    ({"K": [[0, 0, 320], [0, 500, 240], [0, 0, 1]]}, "with fx and fy above 0"),
    ({"K": np.transpose(world.K).tolist()}, "rows may be swapped with its columns"),
    ({"K": [[500, 3, 320], [0, 500, 240], [0, 0, 1]]}, "K has the skew 3; allowed: 0"),
    ({"pixel_center": 1}, "'pixel_center' is 1; allowed: 0"),
    ({"distortion": {"model": "opencv_fisheye", "coefficients": [0, 0, 0, 0]}}, "undistort them to pinhole"),
    ({"distortion": {"model": "opencv", "coefficients": [0.1]}}, "allowed: 4 or 5 or 8 or 12 or 14 numbers"),
    ({"distortion": {"model": "opencv", "coefficients": [0.1, 0, 0, 1e9]}}, "each below 10000"),
    ({"image": 7}, "'image' is a int"),
    ({"image": "a\nb"}, "allowed: printable text"),
)  # fmt: skip


def refused(path: Path, says: str) -> None:
    with pytest.raises(RawDataError) as caught:
        read_cameras(path)
    found = str(caught.value)
    assert re.search(says, found), found
    assert found.startswith(str(path)) and "\n" not in found and len(found) < 700


@pytest.mark.parametrize(("changes", "says"), EXPLICIT, ids=lambda value: str(value)[:50])
def test_explicit(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    refused(world.write(tmp_path / "a.json", world.explicit(POSE, **changes)), says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"width": NaN}', "NaN is no number of JSON"),
        (b'{"width": 1e999}', "too large"),
        (b'{"width": ' + b"9" * 50 + b"}", "50 digits"),
        (b'{"width": 1, "width": 2}', "given twice"),
        (b"[" * 100_000, "not a JSON file"),
        (b"[1]", "holds a list; allowed: a JSON object"),
        (b'{"cameras": {}}', "'cameras' is empty"),
        (b'{"cameras": [1]}', "allowed: a JSON object"),
        (b'{"cameras": {"a": 1}}', "found 1; allowed: a JSON object"),
        (b'{"camera": {}}', "unknown keys 'camera'"),
        (b"{}", "found neither"),
    ],
)
def test_json(content: bytes, says: str, tmp_path: Path) -> None:
    refused(put(tmp_path / "a.json", content), says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "'OPENCV_FISHEYE' is not read"),
        ({"camera_model": "EQUIRECTANGULAR"}, "undistort them"),
        ({"k4": 0.1}, "'k4' is 0.1; allowed: 0"),
        ({"is_fisheye": True}, "'fisheye' is not read"),
        ({"fl_x": ...}, "neither 'fl_x' nor 'camera_angle_x'; no focal length is assumed"),
        ({"fl_x": ..., "camera_angle_x": 4.0}, "allowed: radians"),
        ({"w": ...}, "'w' is nothing"),
        ({"w": 1000, "h": 200}, "lies outside the image of 1000 x 200"),
        ({"applied_scale": 0}, "'applied_scale' is 0; allowed: above 0"),
        ({"applied_transform": MIRRORED[:3].tolist()}, "'applied_transform': not a rigid transform"),
    ],
)
def test_nerfstudio(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    refused(world.write(tmp_path / "t.json", world.transforms(POSE, **changes)), says)


def test_nerfstudio_frames(tmp_path: Path) -> None:
    for frames, says in (
        ([], "'frames' is missing or empty"),
        ([7], "frame 0: found 7"),
        ([{"transform_matrix": []}], "frame 0: no 'file_path'"),
        ([{"file_path": "a.jpg"}], "'transform_matrix': found null; allowed: 4x4"),
        ([{"file_path": "a.jpg", "transform_matrix": SHEARED.tolist()}], "not a rigid transform"),
    ):
        refused(world.write(tmp_path / "t.json", {**world.transforms(POSE), "frames": frames}), says)
    content = world.transforms(POSE)
    refused(world.write(tmp_path / "t.json", {**content, "frames": content["frames"] * 2}), "2 cameras have the name")


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("cameras.txt", "OPENCV", "OPENCV_FISHEYE", "'OPENCV_FISHEYE' is not read"),
        ("cameras.txt", "OPENCV", "SPHERICAL", "'SPHERICAL' is not read"),
        ("cameras.txt", "OPENCV", "PINHOLE", "PINHOLE with 8 parameters; allowed: 4"),
        ("cameras.txt", "640", "six", "the width, a whole number, as word 3"),
        ("cameras.txt", "640", "9999999999", "allowed: sides from 1"),
        ("cameras.txt", "520.25", "nan", "with fx and fy above 0"),
        ("cameras.txt", "7 OPENCV", "8 OPENCV", "names camera 7, which is not there"),
        ("images.txt", "3 0.", "3 1.", "quaternion of length"),
        ("images.txt", "3 0.", "3 0 0.", "its camera, a whole number, as word 9"),
        ("images.txt", " 7 images/a 1.jpg", "", r"images\.txt, line 2: .* its camera as word 9"),
        ("images.txt", " images/a 1.jpg", "", "its name as word 10"),
        ("images.txt", "images/a 1.jpg", "b.jpg", "2 cameras have the name 'b.jpg'"),
        ("frames.txt", "1 CAMERA 7 3", "5 CAMERA 7 3", r"as many images as it says \(5\)"),
        ("frames.txt", "1 1 0.", "1 4 0.", "a frame names rig 4"),
        ("frames.txt", "CAMERA 7 3", "CAMERA 9 3", "image 3 and its rig say different poses"),
        ("frames.txt", "CAMERA 7 3", "CAMERA 5 3", "rig 1 has no camera 5"),
        ("rigs.txt", "1 2 CAMERA", "1 3 CAMERA", r"as many sensors as it says \(3\)"),
    ],
)
def test_colmap_text(file: str, old: str, new: str, says: str, tmp_path: Path) -> None:
    world.rigs_text(world.colmap_text(tmp_path, POSE), POSE)
    path = tmp_path / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    refused_in(tmp_path, says)


def refused_in(folder: Path, says: str) -> None:
    with pytest.raises(RawDataError) as caught:
        read_cameras(folder)
    assert re.search(says, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)


def test_colmap_binary_cut_anywhere_is_one_error(tmp_path: Path) -> None:
    world.rigs_binary(world.colmap_binary(tmp_path, POSE), POSE)
    for name in ("cameras.bin", "images.bin", "rigs.bin", "frames.bin"):
        sound = (tmp_path / name).read_bytes()
        for size in range(0, len(sound), 5):
            (tmp_path / name).write_bytes(sound[:size])
            refused_in(tmp_path, "cut short|more than 1000 bytes")
        (tmp_path / name).write_bytes(sound + b"\0")
        refused_in(tmp_path, "longer than it says")
        (tmp_path / name).write_bytes(struct.pack("<Q", 2**63) + sound[8:])
        refused_in(tmp_path, "promises 9,223,372,036,854,775,808 rows")
        (tmp_path / name).write_bytes(sound)
    assert len(read_cameras(tmp_path)) == 2
    lenses = (tmp_path / "cameras.bin").read_bytes()
    (tmp_path / "cameras.bin").write_bytes(lenses[:12] + struct.pack("<i", 77) + lenses[16:])
    refused_in(tmp_path, "'number 77' is not read")


def test_flipped_bytes_are_read_or_refused(tmp_path: Path) -> None:
    """A reader of strangers' files never fails in another way."""
    rng, refusals = np.random.default_rng(1), 0
    world.rigs_binary(world.colmap_binary(tmp_path / "b", POSE), POSE)
    world.rigs_text(world.colmap_text(tmp_path / "t", POSE), POSE)
    world.write(tmp_path / "n.json", world.transforms(POSE))
    world.write(tmp_path / "e.json", world.explicit(POSE))
    put(tmp_path / "o.yml", world.opencv_yaml())
    for folder in ("b", "t", "n.json", "e.json", "o.yml"):
        target = tmp_path / folder
        for path in sorted(target.iterdir()) if target.is_dir() else [target]:
            sound = path.read_bytes()
            for at in rng.integers(len(sound), size=16):
                flipped = bytearray(sound)
                flipped[at] ^= 1 << int(rng.integers(8))
                path.write_bytes(bytes(flipped))
                try:
                    read_cameras(target)
                except RawDataError:
                    refusals += 1
            path.write_bytes(sound)
    assert refusals > 50


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("camera_matrix", "camera", "no matrix of the names camera_matrix"),
        ("rows: 3", "rows: 2", "'camera_matrix' is 2x3 with 9 numbers"),
        ("520.25", ".Nan", "something that is not a number"),
        ("520.25", "nan", "NaN or infinite"),
        ("image_width: 640", "image_width: wide", "image_width is wide"),
        ("image_height: 480\n", "", "image_height None"),
        ("calibration_time", "distortion_model: equidistant\nnote", "'equidistant' is not read"),
        ("calibration_time", "fisheye_model: 1\nnote", "'fisheye' is not read"),
    ],
)
def test_opencv_yaml(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in world.opencv_yaml()
    refused(put(tmp_path / "a.yml", world.opencv_yaml().replace(old, new, 1)), says)


@pytest.mark.parametrize("content", [b"a" * 10**6, b"a: " + b" " * 10**6, b"a:\n rows: 1\n cols: 1\n data: [" * 30_000])
def test_hostile_yaml_takes_no_time(content: bytes, tmp_path: Path) -> None:
    refused(put(tmp_path / "a.yml", content), "no matrix of the names|at most")


def test_what_is_no_camera_file(tmp_path: Path) -> None:
    refused(put(tmp_path / "a.docx", b""), "no camera file by its name; read are explicit .json")
    refused(tmp_path / "none.json", "no such file")
    refused(tmp_path / "none", "no such file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "neither images.bin, images.txt nor transforms.json")


def make_explicit(folder: Path, **changes: Any) -> Any:
    return read_cameras(world.write(folder / "a.json", world.explicit(POSE, **changes)))[0]


@pytest.mark.parametrize(
    ("size", "says"),
    [((480, 640), "turned by 90 degrees"), ((1280, 960), "2 times as large"), ((640, 360), "cropped")],
)
def test_an_image_of_another_size(size: tuple[int, int], says: str, tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=rf"images of 640x480, the photograph has {size[0]}x{size[1]}; .*{says}"):
        fit_to_image(make_explicit(tmp_path), size)


def test_no_scale_is_no_metres(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"has no scale .* pipelines\.align"):
        need_metres(make_explicit(tmp_path, units="unknown"))
