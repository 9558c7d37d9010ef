"""Folders of one's own that are wrong: one clear error each, or a consequence that is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from sahmr.errors import RawDataError, StoreError
from sahmr.readers.own import OwnReader, OwnRules
from sahmr.scenes.arrays import read_array
from sahmr.scenes.build import create_store, write_scene
from tests.worlds import own_folders as own
from tests.worlds import small
from tests.worlds.raw_trees import put


def reader_of(root: Path) -> OwnReader:
    return OwnReader(root=root, bodies=root.parent / "bodies", rules=OwnRules())


def rotated(scene: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (scene / "images/cam0/0001.png").unlink()
    own.photograph(scene / "images/cam0/0001.jpg", exif=exif)
    own.table(scene / "boxes.csv", {"0001.jpg": own.BOX})


def cameras(**changes: object) -> Callable[[Path], object]:
    return lambda scene: put(scene / "cameras.json", json.dumps({"cameras": {"cam0": own.camera(**changes)}}))


def boxes(**rows: tuple[float, ...]) -> Callable[[Path], object]:
    return lambda scene: own.table(scene / "boxes.csv", {f"{name}.png": row for name, row in rows.items()})


def scene_json(content: object) -> Callable[[Path], object]:
    return lambda scene: put(scene / "scene.json", json.dumps(content))


def unscaled(scene: Path) -> None:
    (scene / "cameras.json").unlink()
    own.nerfstudio(scene, "cam0/0001.png")


MEASURED: dict[str, tuple[Callable[[Path], object], str]] = {
    "box outside": (boxes(**{"0001": (400.0, 20.0, 500.0, 200.0)}), r"boxes\.csv, line 2: the box .* lies outside"),
    "other size": (cameras(width=640, height=480, K=[[500, 0, 320], [0, 500, 240], [0, 0, 1]]),
                   r"is for images of 640x480, the photograph has 320x240; .* 0\.5 times as large"),
    "exif": (rotated, r"0001\.jpg: EXIF says the image is rotated \(6\); store it upright"),
    "no scale": (unscaled, r'has no scale .*run: python -m pipelines\.align; or, .*"camera_unit": "m"'),
    "no pose": (cameras(camera_from_world=...), r"has K alone, no pose in the scan"),
    "no rotation": (cameras(camera_from_world=(2 * own.POSE).tolist()), r"not a rigid transform"),
    "two boxes names": (boxes(**{"0001": own.BOX, "nothere": own.BOX}), r"1 names are no picture's .*nothere\.png"),
    "nan": (lambda scene: put(scene / "cameras.json", '{"cameras": {"cam0": {"width": NaN}}}'), r"cameras\.json.*NaN"),
    "unknown setting": (scene_json({"camera_units": "m"}), r"scene\.json: unknown keys 'camera_units'; allowed"),
    "two scans": (lambda scene: put(scene / "scan.obj", ""), r"2 of a scan: scan\.obj, scan\.ply; allowed: one"),
    "two cameras": (lambda scene: put(scene / "transforms.json", "{}"), r"2 of a camera file"),
    "no cameras": (lambda scene: (scene / "cameras.json").unlink(), r"room: no camera file; allowed: cameras\.json"),
    "no scene": (lambda scene: (scene / "scan.ply").unlink(), r"no scene in it; found room; allowed: a folder for"),
}  # fmt: skip


@pytest.mark.parametrize("case", MEASURED)
def test_a_wrong_folder_is_one_error(case: str, tmp_path: Path) -> None:
    change, words = MEASURED[case]
    change(own.folder(tmp_path / "own"))
    reader = reader_of(tmp_path / "own")
    with pytest.raises(RawDataError, match=words) as caught:
        problems = reader.check()
        if problems:
            raise RawDataError("\n".join(problems))
        list(reader.frames())
    assert "Traceback" not in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_picture_without_camera_or_box_is_counted(tmp_path: Path) -> None:
    scene = own.folder(tmp_path / "own", {"cam0": own.camera(), "cam2": own.camera()}, ("cam0/1.png", "cam1/2.png"))
    own.photograph(scene / "images/cam2/3.png")
    listing = reader_of(tmp_path / "own").list_bodies()
    assert {tally.rule: tally.count for tally in listing.dropped} == {"no_box": 1, "uncalibrated_camera": 1}
    assert len(listing.tasks) == 1


def test_a_name_that_two_pictures_have_is_told(tmp_path: Path) -> None:
    scene = own.folder(tmp_path / "own", names=("a/1.png", "b/1.png"))
    own.table(scene / "boxes.csv", {"1.png": own.BOX})
    (problem,) = reader_of(tmp_path / "own").check()
    assert "'1.png' could be images/a/1.png or images/b/1.png" in problem


def written(root: Path, mesh: trimesh.Trimesh | trimesh.PointCloud, name: str) -> Path:
    """Scene store of a folder whose scan is this one."""
    scene = own.folder(root)
    (scene / "scan.ply").unlink()
    mesh.export(scene / name, file_type=name.rpartition(".")[2])
    store, reader = root.parent / "own.zarr", reader_of(root)
    create_store(store, "own")
    (record,) = reader.scenes()
    write_scene(record, store=store, raw_root=root, settings=small.SCENES)
    return store


def test_scans_in_millimetres_are_refused_unless_their_name_says_so(tmp_path: Path) -> None:
    metres = read_array(written(tmp_path / "a/own", small.room(), "scan.obj"), "room", "points")
    large = small.room().apply_scale(1000)
    millimetres = read_array(written(tmp_path / "b/own", large, "scan.mm.stl"), "room", "points")
    np.testing.assert_array_equal(metres, millimetres)
    with pytest.raises(RawDataError, match=r"is 4e\+03 m wide, as if in millimetres; .*rename it, as in scan\.mm\.ply"):
        written(tmp_path / "c/own", large, "scan.ply")
    with pytest.raises(RawDataError, match=r"its name states the unit 'yd'; allowed: m, cm, mm, in, ft"):
        written(tmp_path / "d/own", large, "scan.yd.ply")


def test_a_cloud_has_voxels_and_no_distance_field(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 3)) * (2, 1.2, 2)
    store = written(tmp_path / "own", trimesh.PointCloud(points), "scan.ply")
    found = read_array(store, "room", "points")
    pitch = small.SCENES.voxel_pitch_m
    expected = {tuple(index) for index in np.floor(np.float32(points) / pitch).astype(int).tolist()}
    assert {tuple(index) for index in np.floor(found / pitch).astype(int).tolist()} == expected
    with pytest.raises(StoreError, match=r"scene room was scanned as points without faces: .*no distance field"):
        read_array(store, "room", "sdf")
