"""A camera behind a wall of its scan: refused in the words of ``predict_photo``, or left out and counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pipelines import frames
from pipelines.own_cameras import compare_with_scans
from sahmr.errors import RawDataError
from sahmr.readers.own import OwnReader, OwnRules
from sahmr.sight import standing
from sahmr.sight.walls import Walls
from tests.worlds import own_folders as own
from tests.worlds import small
from tests.worlds.raw_trees import put

BEHIND = own.POSE.copy()
BEHIND[2, 3] = 4.0  # z = -4, 2 m behind the wall at z = -2, looking at it
OUTSIDE = own.camera(camera_from_world=BEHIND.tolist())


def folder(root: Path, fits: int = 3, outside: int = 2) -> OwnReader:
    """A scene with a standing camera that fits and one that does not, each with some photographs."""
    names = [
        f"{camera}/{number:04d}.png" for camera, count in (("in", fits), ("out", outside)) for number in range(count)
    ]
    own.folder(root / "raw", {"in": own.camera(), "out": OUTSIDE}, tuple(names))
    return reader_of(root)


def reader_of(root: Path, **rules: str) -> OwnReader:
    return OwnReader(root=root / "raw", bodies=root / "bodies", rules=OwnRules(**rules))


def test_a_camera_behind_a_wall_is_refused_by_name(tmp_path: Path) -> None:
    reader = folder(tmp_path)
    with pytest.raises(RawDataError) as caught:
        compare_with_scans(reader, reader.list_bodies(), workers=0)
    _, problem = str(caught.value).splitlines()
    assert (
        f"{tmp_path}/raw/room/cameras.json: does not fit {tmp_path}/raw/room/scan.ply: camera 'out': the camera is "
        in (problem)
    )
    assert "behind a wall of the scan: 100% of what it sees are the backs of surfaces" in problem
    assert "set frames.own.behind_wall to leave_out" in problem and "'in'" not in problem


def test_or_its_pictures_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path)
    paths = small.paths_of(tmp_path)
    put(paths.bodies / "nothing", "")
    frames.run("own", OwnRules(behind_wall="leave_out"), paths, small.PARALLEL, raw=tmp_path / "raw")
    counts = json.loads((paths.reports / "frame_counts_own.json").read_text())
    assert counts["kept"] == {"test": 3} and counts["dropped"]["behind_wall"] == {"test": 2}
    with pytest.raises(RawDataError, match="camera 'out': the camera is behind a wall"):
        frames.run("own", OwnRules(), paths, small.PARALLEL, raw=tmp_path / "raw")


def test_a_scan_is_read_once_and_a_camera_looks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = folder(tmp_path, fits=20, outside=0)
    looks, reads = [], []
    look, read = Walls.seen, standing.read_own_scan
    monkeypatch.setattr(Walls, "seen", lambda self, *camera: looks.append(camera) or look(self, *camera))
    monkeypatch.setattr(standing, "read_own_scan", lambda *scan: reads.append(scan) or read(*scan))
    listing = reader.list_bodies()
    assert compare_with_scans(reader, listing, workers=0) == listing and len(listing.tasks) == 20
    assert len(looks) == len(reads) == 1
    intrinsics, _, size = looks[0]
    np.testing.assert_array_equal(intrinsics, own.K)
    assert size == own.SIZE


def test_every_moving_camera_is_asked(tmp_path: Path) -> None:
    names = [f"{number:03d}.png" for number in range(6)]
    bad = {"001.png", "004.png", "005.png"}
    own.folder(tmp_path / "raw", {name: OUTSIDE if name in bad else own.camera() for name in names}, tuple(names))
    reader = reader_of(tmp_path)
    with pytest.raises(RawDataError, match=r"camera '001.png': .*\(3 of 6 cameras: also 004.png, 005.png\); correct"):
        compare_with_scans(reader, reader.list_bodies(), workers=0)
    found = compare_with_scans(reader_of(tmp_path, behind_wall="leave_out"), reader.list_bodies(), workers=0)
    assert [task.views[0].image_file for task in found.tasks] == [f"room/images/00{number}.png" for number in (0, 2, 3)]


def test_turned_faces_clouds_and_scans_that_do_not_open_refuse_no_camera(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader, scan = folder(tmp_path), tmp_path / "raw/room/scan.ply"
    turned = small.room()
    turned.invert()
    turned.export(scan)
    listing = reader.list_bodies()
    assert compare_with_scans(reader, listing, workers=0) == listing
    assert (
        "room: suspected: camera 'in': 100% of what the camera sees are backs: it is behind a wall, or" in caplog.text
    )
    trimesh.PointCloud(np.random.default_rng(0).uniform(-1, 1, (99, 3))).export(scan)
    caplog.clear()
    assert compare_with_scans(reader, listing, workers=0) == listing and caplog.text == ""
    scan.write_bytes(b"ply\n")
    assert compare_with_scans(reader, listing, workers=0) == listing
    assert "no camera of room was compared with its scan: " in caplog.text and "not a PLY file" in caplog.text
