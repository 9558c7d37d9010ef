"""One camera written in every format is read back as the same matrix and K."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sahmr.cameras.exif import read_exif
from sahmr.cameras.explicit import write_explicit
from sahmr.cameras.photo_camera import PhotoCamera, fit_to_image, need_metres
from sahmr.cameras.read import read_cameras
from sahmr.errors import RawDataError
from sahmr.readers.calibration import read_rich_calibration
from tests.worlds import photo_cameras as world
from tests.worlds.raw_trees import put, xml

POSE = world.pose()
POINTS = np.array([[0.2, 1.0, 5.0], [-1.0, 3.0, 6.5], [4.0, 2.0, 8.0]])
TURNED = np.array([[0.0, 0, 1, 0.5], [1, 0, 0, -2], [0, 1, 0, 0.25], [0, 0, 0, 1]])


def same(camera: PhotoCamera, unit: str, terms: tuple[float, ...] = world.TERMS, k: np.ndarray = world.K) -> None:
    np.testing.assert_allclose(camera.camera_from_world, POSE, rtol=0, atol=1e-9)
    np.testing.assert_allclose(camera.intrinsics, k, rtol=0, atol=1e-9)
    assert camera.image_size == world.SIZE and camera.unit == unit
    np.testing.assert_allclose(camera.distortion, terms, rtol=0, atol=1e-12)


def to_json(folder: Path) -> Path:
    return world.write(folder / "a.json", world.explicit(POSE))


def to_inverse(folder: Path) -> Path:
    inverse = np.linalg.inv(POSE)[:3].tolist()
    return world.write(folder / "a.json", world.explicit(POSE, camera_from_world=..., world_from_camera=inverse))


def to_opengl(folder: Path) -> Path:
    changes = {"camera_from_world": ..., "world_from_camera": world.opengl(POSE).tolist(), "convention": "opengl"}
    return world.write(folder / "a.json", world.explicit(POSE, **changes))


def to_opengl_view(folder: Path) -> Path:
    view = np.linalg.inv(world.opengl(POSE)).tolist()
    return world.write(folder / "a.json", world.explicit(POSE, camera_from_world=view, convention="opengl"))


def to_numbers_in_millimetres(folder: Path) -> Path:
    far = POSE.copy()
    far[:3, 3] *= 1000
    named = {"fx": world.K[0, 0], "fy": world.K[1, 1], "cx": world.K[0, 2] + 0.5, "cy": world.K[1, 2] + 0.5}
    changes = {"K": ..., **named, "pixel_center": 0.5, "units": "mm", "camera_from_world": far.tolist()}
    return world.write(folder / "a.json", world.explicit(POSE, **changes))


@pytest.mark.parametrize("write", [to_json, to_inverse, to_opengl, to_opengl_view, to_numbers_in_millimetres])
def test_explicit(write: Callable[[Path], Path], tmp_path: Path) -> None:
    (camera,) = read_cameras(write(tmp_path))
    same(camera, "m")
    np.testing.assert_array_equal(need_metres(camera), camera.camera_from_world)


@pytest.mark.parametrize("applied", [None, TURNED])
@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_nerfstudio(applied: np.ndarray | None, scale: float, tmp_path: Path) -> None:
    path = world.write(tmp_path / "transforms.json", world.transforms(POSE, applied, scale))
    (camera,) = read_cameras(path)
    same(camera, "unknown")
    assert camera.name == "images/a 1.jpg"
    same(read_cameras(tmp_path, unit="m")[0], "m")


def test_nerfstudio_frames_have_their_own_lens(tmp_path: Path) -> None:
    content = world.transforms(POSE)
    second = {**content["frames"][0], "file_path": "b.jpg", "w": 320, "h": 240, "cx": 160, "cy": 120, "fl_x": 99}
    second |= dict.fromkeys(("k1", "k2", "p1", "p2"), 0)
    content["frames"].append(second)
    first, other = read_cameras(world.write(tmp_path / "transforms.json", content))
    same(first, "unknown")
    assert other.image_size == (320, 240) and other.distortion == ()
    np.testing.assert_array_equal(other.intrinsics, [[99, 0, 159.5], [0, world.K[1, 1], 119.5], [0, 0, 1]])


def test_nerfstudio_angle_of_view(tmp_path: Path) -> None:
    angle = 2 * np.arctan(320 / 500)
    content = world.transforms(POSE, fl_x=..., fl_y=..., camera_angle_x=angle)
    (camera,) = read_cameras(world.write(tmp_path / "transforms.json", content))
    np.testing.assert_allclose(camera.intrinsics[[0, 1], [0, 1]], [500, 500], rtol=1e-12)


@pytest.mark.parametrize("write", [world.colmap_text, world.colmap_binary])
@pytest.mark.parametrize("place", ["", "sparse/0"])
@pytest.mark.parametrize("with_rigs", [False, True])
def test_colmap(write: Callable[..., Path], place: str, with_rigs: bool, tmp_path: Path) -> None:
    write(tmp_path / place, POSE)
    if with_rigs:
        (world.rigs_text if write is world.colmap_text else world.rigs_binary)(tmp_path / place, POSE)
    second, first = read_cameras(tmp_path)
    same(first, "unknown")
    same(second, "unknown")
    assert (first.name, second.name) == ("images/a 1.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("model", "params", "terms"),
    [
        ("SIMPLE_PINHOLE", [500, 319, 241.75], ()),
        ("PINHOLE", [500, 500, 319, 241.75], ()),
        ("SIMPLE_RADIAL", [500, 319, 241.75, 0.1], (0.1, 0, 0, 0)),
        ("RADIAL", [500, 319, 241.75, 0.1, 0.2], (0.1, 0.2, 0, 0)),
        ("FULL_OPENCV", [500, 500, 319, 241.75, 1e-1, 2e-2, 3e-3, 4e-4, 5e-5, 6e-6, 7e-7, 8e-8],
         (1e-1, 2e-2, 3e-3, 4e-4, 5e-5, 6e-6, 7e-7, 8e-8)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", [world.colmap_text, world.colmap_binary])
def test_colmap_lenses(write: Callable[..., Path], model: str, params: list, terms: tuple, tmp_path: Path) -> None:
    camera = read_cameras(write(tmp_path, POSE, model, params))[0]
    same(camera, "unknown", terms, np.array([[500, 0, 318.5], [0, 500, 241.25], [0, 0, 1]]))


def test_opencv_files(tmp_path: Path) -> None:
    for tagged in (True, False):
        (camera,) = read_cameras(put(tmp_path / "a.yml", world.opencv_yaml(tagged)))
        assert camera.camera_from_world is None and camera.image_size == world.SIZE
        np.testing.assert_array_equal(camera.intrinsics, world.K)
        assert camera.distortion == (*world.TERMS, 0.0)
    for suffix in ("xml", "yml", "json"):  # as OpenCV itself writes them
        storage = cv2.FileStorage(str(tmp_path / f"b.{suffix}"), cv2.FILE_STORAGE_WRITE)
        storage.write("image_width", 640)
        storage.write("image_height", 480)
        storage.write("camera_matrix", world.K)
        storage.write("distortion_coefficients", np.array([world.TERMS]))
        storage.write("CameraMatrix", POSE[:3])
        storage.release()
        same(read_cameras(tmp_path / f"b.{suffix}", unit="m")[0], "m")


def test_rich_calibration_is_the_reader_s_own(tmp_path: Path) -> None:
    k = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    path = put(tmp_path / "000.xml", xml(k, POSE[:3]))
    (camera,) = read_cameras(path, unit="m")
    known = read_rich_calibration(path)
    np.testing.assert_array_equal(need_metres(camera).ravel(), known.camera_from_world)
    np.testing.assert_array_equal(camera.intrinsics.ravel(), known.intrinsics)
    assert camera.image_size is None and fit_to_image(camera, (64, 48)).image_size == (64, 48)


@pytest.mark.parametrize("convention", ["opencv", "opengl"])
def test_a_point_in_front_is_where_the_convention_says(convention: str, tmp_path: Path) -> None:
    """A camera at (0, 0, 2) that looks along the world's +x with the world's z up; by hand, no matrix inverted."""
    right, up, ahead = [0, -1, 0], [0, 0, 1], [1, 0, 0]
    axes = [right, np.negative(up), ahead] if convention == "opencv" else [right, up, np.negative(ahead)]
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3], world_from_camera[:3, 3] = np.transpose(axes), [0, 0, 2]
    changes = {"camera_from_world": ..., "world_from_camera": world_from_camera.tolist(), "convention": convention}
    (camera,) = read_cameras(world.write(tmp_path / "a.json", world.explicit(POSE, **changes)))
    found = world.pixels(np.array([[4.0, -1.0, 2.5]]), need_metres(camera))  # 4 ahead, 1 right, 0.5 up
    np.testing.assert_allclose(found, [[318.5 + 520.25 / 4, 241.25 - 515.75 * 0.5 / 4]], rtol=1e-12)


def test_all_formats_project_alike(tmp_path: Path) -> None:
    expected = world.pixels(POINTS, POSE)
    world.write(tmp_path / "n.json", world.transforms(POSE, TURNED, 2.0))
    paths = [to_opengl(tmp_path), tmp_path / "n.json", world.colmap_text(tmp_path / "t", POSE),
             world.colmap_binary(tmp_path / "b", POSE)]  # fmt: skip
    for path in paths:
        camera = read_cameras(path)[0]
        assert camera.camera_from_world is not None
        np.testing.assert_allclose(
            world.pixels(POINTS, camera.camera_from_world, camera.intrinsics), expected, atol=1e-8
        )


numbers = st.floats(-3, 3)
triples = st.tuples(numbers, numbers, numbers)


@given(turn=triples, center=triples, scale=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_any_pose_survives_every_format(
    tmp_path_factory: pytest.TempPathFactory, turn: tuple, center: tuple, scale: float
) -> None:
    folder, matrix = tmp_path_factory.mktemp("pose"), world.pose(turn, center)
    world.colmap_text(folder / "text", matrix)
    world.colmap_binary(folder / "binary", matrix)
    world.write(folder / "n.json", world.transforms(matrix, TURNED, scale))
    world.write(folder / "e.json", world.explicit(matrix))
    for name in ("text", "binary", "n.json", "e.json"):
        found = read_cameras(folder / name)[0].camera_from_world
        np.testing.assert_allclose(found, matrix, rtol=0, atol=1e-9)


def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    cameras = read_cameras(world.colmap_text(tmp_path / "model", POSE))
    write_explicit(tmp_path / "out.json", cameras, about="a test")
    again = read_cameras(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["about"] == "a test"
    for before, after in zip(cameras, again, strict=True):
        np.testing.assert_array_equal(before.intrinsics, after.intrinsics)
        np.testing.assert_array_equal(before.camera_from_world, after.camera_from_world)
        assert (before.name, before.unit, before.distortion) == (after.name, after.unit, after.distortion)
    same(again[1], "unknown")


def photograph(path: Path, size: tuple[int, int] = (400, 300), **tags: int) -> Path:
    exif = Image.Exif()
    ifd = exif.get_ifd(0x8769)
    known = {"focal": 0xA405, "width": 0xA002, "height": 0xA003}
    ifd.update({known[name]: value for name, value in tags.items() if name in known})
    if "turned" in tags:
        exif[0x0112] = tags["turned"]
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_exif_focal_length(tmp_path: Path) -> None:
    found = read_exif(photograph(tmp_path / "a.jpg", focal=26, width=4000, height=3000))
    # 26 mm on a diagonal of 43.267 mm; the picture's is 500 pixels.
    np.testing.assert_allclose(found.camera.intrinsics[0, 0], 26 * 500 / 43.2666, rtol=1e-5)
    np.testing.assert_array_equal(found.camera.intrinsics[:2, 2], [199.5, 149.5])
    # 0.5 / 26; 400 / 36 against 500 / 43.267: 3.85 %; 3 %
    np.testing.assert_allclose(found.focal_error, 0.01923 + 0.03850 + 0.03, atol=1e-4)
    with pytest.raises(RawDataError, match="has K alone, no pose"):
        need_metres(read_cameras(tmp_path / "a.jpg")[0])
    for tags, says in (
        ({}, "EXIF has no focal length"),
        ({"focal": 0}, "EXIF has no focal length"),
        ({"focal": 9999}, "focal length 9999 .* allowed: 8 to 2000 mm"),
        ({"focal": 26, "turned": 6}, "EXIF says the image is rotated"),
        ({"focal": 26, "width": 4000, "height": 2250}, "was cropped or turned"),
    ):
        with pytest.raises(RawDataError, match=says):
            read_exif(photograph(tmp_path / "b.jpg", **tags))
    with pytest.raises(RawDataError, match=r"c\.jpg: not a readable image"):
        read_exif(put(tmp_path / "c.jpg", b"\xff\xd8\xff\xe1 no"))
