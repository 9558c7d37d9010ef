"""A camera that fits its scan passes; each common mistake is said to be wrong or, where nobody can know, suspected."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sahmr.scenes.own_scan import OwnScan, open_scan
from sahmr.sight.depth import depth_edges, depth_picture, edge_agreement, image_share
from sahmr.sight.figures import Sight, View, look
from sahmr.sight.verdict import Verdict, judge
from sahmr.sight.walls import Walls
from tests.worlds import rooms

GL = np.diag([1.0, -1, -1, 1])
Room = tuple[OwnScan, np.ndarray]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return rooms.read_scan(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return rooms.photograph()


def judged(room: Room, photograph: np.ndarray, view: View) -> tuple[Sight, Verdict]:
    scan, voxels = room
    sight = look(scan, voxels, rooms.PITCH_M, view, photograph)
    return sight, judge(scan, voxels, view, sight)


def moved(pose: np.ndarray, factor: float) -> np.ndarray:
    made = pose.copy()
    made[:3, 3] *= factor
    return made


def test_a_camera_that_fits(room: Room, photograph: np.ndarray) -> None:
    sight, verdict = judged(room, photograph, rooms.view(rooms.pose()))
    assert verdict == Verdict(wrong=(), suspected=())
    assert sight.floor_m == pytest.approx(1.5, abs=rooms.PITCH_M)
    assert sight.tilt_deg == pytest.approx(0, abs=0.1)
    assert sight.outside_m == 0 and sight.image_share > 0.8 and sight.frustum_points > 1000
    assert sight.back_share is not None and sight.back_share < 0.05 and sight.inward_share > 0.6
    assert sight.agreement > 0.7


def test_depth_is_that_of_the_far_wall(room: Room) -> None:
    pose = rooms.pose(np.array([1.0, 2.0, 1.2]), (4.0, 2.0, 1.2))
    depth = depth_picture(room[1], rooms.PITCH_M, rooms.K, pose, rooms.SIZE)
    assert depth.shape == (240, 320)
    assert depth[119, 159] == pytest.approx(4.0, abs=rooms.PITCH_M)
    # The floor, one pixel row of slope 1 metre below the axis: z = f * height / (row - cy).
    assert depth[215, 159] == pytest.approx(260 * 1.2 / (215 - 119.5), abs=3 * rooms.PITCH_M)
    assert image_share(room[1], rooms.K, pose, rooms.SIZE) == pytest.approx(np.isfinite(depth).mean(), abs=0.1)


def test_edges_are_where_planes_meet() -> None:
    rows, columns = np.mgrid[0:100, 0:120].astype(float)
    inverse = np.where(columns < 60, 0.30 + 0.0012 * (60 - columns), 0.30 + 0.0009 * (columns - 60))
    edges = depth_edges(1 / inverse)
    assert edges[10:90, 57:64].any(axis=1).all() and not edges[10:90, 10:50].any() and not edges[10:90, 72:110].any()
    assert not depth_edges(1 / (0.2 + 0.001 * rows + 0.002 * columns)).any()
    assert not depth_edges(np.full((20, 20), np.inf)).any()
    assert edge_agreement(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), bool)) == (0.5, 0.5)


MISTAKES = (
    (lambda pose: GL @ pose, "it would fit if its convention is the other one"),
    (np.linalg.inv, "it would fit if the matrix is world_from_camera"),
    (lambda pose: moved(pose, 100), r"the camera's position is in centimetres"),
    (lambda pose: moved(pose, 1000), r"m away from the scan's box .*the camera's position is in millimetres"),
    (lambda pose: pose @ np.diag([1.0, -1, -1, 1]), "m below the floor"),
    (lambda pose: pose @ np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
     "the camera has y up and the scan z"),
    (lambda pose: rooms.pose(np.array([-2.0, 2, 1.5])), "behind a wall of the scan: .* are the backs of surfaces"),
    (lambda pose: rooms.pose(np.array([-2.0, 2, 1.5]), (-9, 2, 1.5)), "no scan point in view: 0% of the image"),
    (lambda pose: np.diag([-1.0, -1, 1, 1]) @ pose, "upside down: the photograph's up is 180 degrees off"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "says"), MISTAKES, ids=[says[:30] for _, says in MISTAKES])
def test_what_is_certain(change, says: str, room: Room, photograph: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    _, verdict = judged(room, photograph, rooms.view(change(rooms.pose())))
    assert verdict.wrong and re.search(says, "; ".join(verdict.wrong)), verdict


def test_a_wrong_pose_that_looks_into_the_room_is_suspected(room: Room, photograph: np.ndarray) -> None:
    pose = np.linalg.inv(rooms.pose(np.array([0.6, 3.5, 1.2])))
    sight, verdict = judged(room, photograph, rooms.view(pose))
    assert verdict.wrong == () and sight.image_share > 0.4
    assert any("degrees off the scan's: turned" in text for text in verdict.suspected)
    assert any("the matrix is world_from_camera" in text for text in verdict.suspected)


def test_walls_of_two_triangles_have_backs_too(room: Room, photograph: np.ndarray) -> None:
    pose = np.linalg.inv(rooms.pose()) @ GL  # outside; no middle of a face is in the picture
    sight, verdict = judged(room, photograph, rooms.view(pose))
    assert sight.back_share == pytest.approx(1, abs=0.01)
    assert any("behind a wall of the scan" in text for text in verdict.wrong), verdict
    assert any("the other way round (world_from_camera) and of the other" in text for text in verdict.wrong)


def test_few_rays_find_the_share_of_backs(room: Room) -> None:
    scan, _ = room
    walls = Walls(scan.vertices, scan.faces)
    # From outside and above, over the upper rim of the wall at x = 0: under it are its back, over it the fronts inside.
    pose = rooms.pose(np.array([-1.5, 2.0, 3.5]), (0.0, 2.0, 2.5))
    few, many = (walls.seen(rooms.K, pose, rooms.SIZE, columns=columns) for columns in (48, 320))
    assert many.back_share is not None and few.back_share is not None
    assert 0.2 < many.back_share < 0.8 and few.back_share == pytest.approx(many.back_share, abs=0.02)
    assert few.depth.shape == (36, 48) and many.depth.shape == (240, 320)


def test_no_point_in_the_box(room: Room, photograph: np.ndarray) -> None:
    box = (140.0, -70.0, 180.0, 20.0)
    _, verdict = judged(room, photograph, rooms.view(rooms.pose(target=(3.4, 2.2, 3.2)), box=box))
    assert any("no scan point in view of the box" in text for text in verdict.wrong), verdict


def test_a_mirror_image_is_suspected(room: Room, photograph: np.ndarray) -> None:
    sight, verdict = judged(room, photograph[:, ::-1].copy(), rooms.view(rooms.pose()))
    assert verdict.wrong == () and sight.mirrored_agreement > sight.agreement
    assert any("may be a mirror image" in text for text in verdict.suspected), (sight, verdict)


def test_another_focal_length_is_suspected(room: Room, photograph: np.ndarray) -> None:
    long = rooms.K * np.array([[14], [14], [1]]) - np.array([[0, 0, 13 * 159.5], [0, 0, 13 * 119.5], [0, 0, 0]])
    _, verdict = judged(room, photograph, rooms.view(rooms.pose(), intrinsics=long))
    assert verdict.wrong == () and any("m tall" in text for text in verdict.suspected), verdict


def test_turned_faces_are_suspected(photograph: np.ndarray, tmp_path: Path) -> None:
    mesh = rooms.room()
    mesh.invert()
    (tmp_path / "a").mkdir()
    scan, voxels = rooms.read_scan(tmp_path / "a", mesh=mesh)
    _, verdict = judged((scan, voxels), photograph, rooms.view(rooms.pose()))
    assert verdict.wrong == () and any("turned round" in text for text in verdict.suspected), verdict


def test_a_cloud_has_no_backs(photograph: np.ndarray, tmp_path: Path) -> None:
    points, _ = trimesh.sample.sample_surface(rooms.room(), 20_000, seed=1)
    (tmp_path / "room.ply").write_bytes(trimesh.PointCloud(points).export(file_type="ply"))
    scan = open_scan(tmp_path / "room.ply", up="z")
    sight, verdict = judged((scan, points.astype(np.float32)), photograph, rooms.view(rooms.pose()))
    assert sight.back_share is None and verdict.wrong == ()
