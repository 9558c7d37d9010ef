"""A user's scan: unit and up are detected where they show, given where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from sahmr.errors import RawDataError
from sahmr.scenes.own_scan import open_scan
from tests.worlds.raw_trees import put

SIDES = (5.0, 4.0, 2.5)


def room(*, ceiling: bool = True, table: bool = True) -> Any:
    """A room seen from inside, z up, with a table top and the boxes of two cupboards."""
    box = trimesh.creation.box(SIDES).subdivide().subdivide()
    box.invert()
    if not ceiling:
        box.update_faces(box.triangles_center[:, 2] < SIDES[2] / 2 - 1e-6)
    parts = [box]
    if table:
        top = trimesh.creation.box((1.6, 0.9, 0.05))
        parts += [top.apply_translation((0.3, 0.2, -0.5))]
        parts += [trimesh.creation.box((0.6, 0.5, 1)).apply_translation((x, -1.5, -0.75)) for x in (-1.5, 1.5)]
        for part in parts[1:]:  # undersides are not scanned
            part.update_faces(part.face_normals[:, 2] > -0.5)
    return trimesh.util.concatenate(parts)


def write(path: Path, mesh: Any) -> Path:
    content = mesh.export(file_type=path.suffix[1:])
    return put(path, content)


@pytest.mark.parametrize("ceiling", [True, False])
@pytest.mark.parametrize("inside_out", [False, True])
@pytest.mark.parametrize("turn", [(0, 0, 0), (np.pi / 2, 0, 0), (0, -np.pi / 2, 0), (np.pi, 0, 0), (0.2, 0.15, 0)])
def test_up_is_found(ceiling: bool, inside_out: bool, turn: tuple[float, float, float], tmp_path: Path) -> None:
    mesh, rotation = room(ceiling=ceiling), Rotation.from_rotvec(turn).as_matrix()
    mesh.vertices = mesh.vertices @ rotation.T
    if inside_out:
        mesh.invert()
    scan = open_scan(write(tmp_path / "a.ply", mesh))
    assert scan.up is not None
    assert np.degrees(np.arccos(min(1.0, scan.up @ rotation[:, 2]))) < 1
    assert scan.unit == "metres" and "detected" in scan.told and not scan.is_cloud


@pytest.mark.parametrize(
    ("unit", "factor"), [("millimetres", 1000), ("centimetres", 100), ("inches", 1 / 0.0254), ("metres", 1)]
)
def test_unit_is_found(unit: str, factor: float, tmp_path: Path) -> None:
    mesh = room()
    mesh.vertices = mesh.vertices * factor
    scan = open_scan(write(tmp_path / "a.stl", mesh))
    assert scan.unit == unit
    np.testing.assert_allclose(scan.size_m, SIDES, atol=0.01)
    np.testing.assert_allclose(np.ptp(scan.vertices, axis=0), SIDES, rtol=1e-5)


@pytest.mark.parametrize(("height", "is_asked"), [(4.9, False), (5.01, True), (9.0, True), (17.0, False)])
def test_a_high_hall_in_metres_is_not_taken_for_a_room_in_feet(height: float, is_asked: bool, tmp_path: Path) -> None:
    mesh = room()
    mesh.vertices = mesh.vertices * (10 / SIDES[0], 10 / SIDES[1], height / SIDES[2])
    path = write(tmp_path / "hall.ply", mesh)
    if is_asked:
        with pytest.raises(RawDataError, match=r"could be metres or feet; give --scan-unit"):
            open_scan(path, up="z")
    scan = open_scan(path, up="z", unit="metres" if is_asked else "auto")
    assert scan.unit == "metres"
    np.testing.assert_allclose(scan.size_m[2], height, atol=0.05)


def test_what_does_not_show_must_be_given(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.ply", room(table=False))
    with pytest.raises(RawDataError, match=r"bare\.ply: which way is up does not show .*; give --scan-up"):
        open_scan(bare)
    assert open_scan(bare, need_up=False).up is None
    scan = open_scan(bare, up="-y", unit="centimetres")
    np.testing.assert_array_equal(scan.up, [0, -1, 0])
    np.testing.assert_allclose(scan.size_m, [0.05, 0.04, 0.025], atol=1e-4)
    assert "centimetres, given" in scan.told and "up is -y (given)" in scan.told
    small = write(tmp_path / "small.ply", trimesh.creation.box((0.5, 0.4, 0.3)))
    with pytest.raises(RawDataError, match=r"longest side is 0\.\d+: no room of 2 to 30 m .*give --scan-unit"):
        open_scan(small, up="z")
    many = write(tmp_path / "many.ply", trimesh.creation.box((2500, 2200, 700)))  # 25 m or 2.5 m
    with pytest.raises(RawDataError, match=r"could be .*millimetres.*centimetres"):
        open_scan(many, up="z")


def test_clouds_are_marked(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-2, 2, (100, 3))
    path = write(tmp_path / "a.ply", trimesh.PointCloud(points))
    with pytest.raises(RawDataError, match="a point cloud does not say which way is up; give --scan-up"):
        open_scan(path)
    scan = open_scan(path, up="z")
    assert scan.is_cloud and "a cloud of 100 points, no faces" in scan.told


def test_gltf_says_itself(tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path / "a.glb", room(table=False)))
    np.testing.assert_array_equal(scan.up, [0, 1, 0])
    assert "up is y (glTF's)" in scan.told


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unit": "yards"}, "--scan-unit: found 'yards'; allowed: auto, metres"),
        ({"up": "w"}, "--scan-up: found 'w'; allowed: auto, x, -x"),
    ],
)
def test_options(options: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=says):
        open_scan(write(tmp_path / "a.ply", room()), **options)


def test_faces_name_vertices(tmp_path: Path) -> None:
    head = b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += b"element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n"
    with pytest.raises(RawDataError, match="a face names vertex 7 of 3"):
        open_scan(put(tmp_path / "a.ply", head + b"3 0 1 7\n"))
    with pytest.raises(RawDataError, match="triangles have no area"):
        open_scan(put(tmp_path / "a.ply", head + b"3 0 1 1\n"))
