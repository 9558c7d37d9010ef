"""OBJ, STL, OFF and glTF as people have them: compared with trimesh, and damage is one error."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from sahmr.errors import RawDataError
from sahmr.scenes.own_scan import read_mesh
from sahmr.untrusted.gltf import read_gltf
from sahmr.untrusted.obj import read_obj
from sahmr.untrusted.stl_off import read_off, read_stl
from tests.worlds.raw_trees import put

POINTS = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5], [-2, 0.25, 3]])
TRIANGLES = POINTS[[[0, 1, 2], [0, 2, 3], [2, 3, 4]]]

OBJ = b"""# note
mtllib /dev/zero
o one
v 0 0 0 1 0 0
v 1 0 0 0.5 0.5 0.5
vt 0 0
v 1 1 0
v 0 1 0.5
g first
usemtl wood
f 1/1 2/1 \\
  3//1 4/1/1
v -2 .25 3e0 1.0
o two
g second third
f -3 -2 -1 # the last three
l 1 2
"""
OFF = b"""COFF # note
5 2 0

0 0 0 255 0 0 255
1 0 0 255 0 0 255
1 1 0
0 1 0.5
-2 .25 3
4 0 1 2 3 1 0 0
3 2 3 4
"""
STL = b"solid a room\n" + b"".join(
    b"facet normal 0 0 0\n outer loop\n" + b"".join(b"  vertex %g %g %g\n" % tuple(p) for p in t)
    + b" endloop\nendfacet\n" for t in TRIANGLES.tolist()
) + b"endsolid\n"  # fmt: skip


def binary_stl(head: bytes = b"solid but binary") -> bytes:
    rows = b"".join(struct.pack("<12fH", 0, 0, 1, *triangle.ravel(), 9) for triangle in TRIANGLES)
    return head.ljust(80, b"\0") + struct.pack("<I", len(TRIANGLES)) + rows


def glb(content: dict[str, Any], chunk: bytes) -> bytes:
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    chunk += b"\0" * (-len(chunk) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(chunk), 0x004E4942) + chunk
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


QUARTER = float(np.sqrt(0.5))


def graph(**changes: Any) -> tuple[dict[str, Any], bytes]:
    """Two triangles and a strip of the points, at z = 10, scaled by 2 and a quarter turned about x by their parent."""
    data = POINTS.astype("<f4").tobytes() + np.array([0, 1, 2, 0, 2, 3, 1, 0, 2, 3], "<u2").tobytes()
    content: dict[str, Any] = {
        "asset": {"version": "2.0"}, "scene": 1, "scenes": [{"nodes": [3]}, {"nodes": [0]}],
        "nodes": [
            {"children": [1, 2], "translation": [0, 0, 10], "rotation": [QUARTER, 0, 0, QUARTER], "scale": [2, 2, 2]},
            {"mesh": 0},
            {"mesh": 1, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]},
            {"mesh": 0},
        ],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}, {"attributes": {"POSITION": 0}, "mode": 1}]},
            {"primitives": [{"attributes": {"POSITION": 0}, "indices": 2, "mode": 5}]},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 5, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR"},
            {"bufferView": 1, "byteOffset": 12, "componentType": 5123, "count": 4, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteLength": 60}, {"buffer": 0, "byteOffset": 60, "byteLength": 20}],
        "buffers": [{"byteLength": 80}], "images": [{"uri": "/dev/zero"}], "textures": [{"source": 0}],
    }  # fmt: skip
    return content | changes, data


def seen(mesh: Any) -> np.ndarray:
    return np.asarray(mesh.vertices[mesh.faces])


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.obj", OBJ), ("a.off", OFF), ("a.stl", STL), ("a.stl", binary_stl()), ("a.STL", binary_stl(b"x"))],
)
def test_triangles_as_stored(name: str, content: bytes, tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path / name, content))
    found = seen(mesh)
    if name == "a.off":  # by corners, quads first or last
        found = np.array(sorted(found.tolist()))
        np.testing.assert_array_equal(found, sorted(TRIANGLES.tolist()))
    else:
        np.testing.assert_array_equal(found, TRIANGLES)
    windows = put(tmp_path / f"w{name}", content.replace(b"\n", b"\r\n") if content in (OBJ, OFF, STL) else content)
    np.testing.assert_array_equal(read_mesh(windows).vertices, mesh.vertices)


def expected_graph() -> np.ndarray:
    """A quarter turn about x takes (x, y, z) to (x, -z, y)."""

    def moved(p: np.ndarray) -> list[float]:
        return [2 * p[0], -2 * p[2], 2 * p[1] + 10]

    first = [[moved(POINTS[i]) for i in face] for face in ([0, 1, 2], [0, 2, 3])]
    second = [[moved(POINTS[i] + [5, 6, 7]) for i in face] for face in ([1, 0, 2], [2, 0, 3])]
    return np.array(first + second)


def test_a_scene_graph_is_applied(tmp_path: Path) -> None:
    content, data = graph()
    path = put(tmp_path / "a.glb", glb(content, data))
    np.testing.assert_allclose(seen(read_gltf(path)), expected_graph(), atol=1e-6)
    inline = {**content, "buffers": [{"byteLength": 80, "uri": "data:;base64," + base64.b64encode(data).decode()}]}
    np.testing.assert_allclose(
        seen(read_mesh(put(tmp_path / "b.gltf", json.dumps(inline)))), expected_graph(), atol=1e-6
    )
    put(tmp_path / "room.bin", data)
    beside = {**content, "buffers": [{"byteLength": 80, "uri": "room.bin"}]}
    np.testing.assert_allclose(
        seen(read_mesh(put(tmp_path / "c.gltf", json.dumps(beside)))), expected_graph(), atol=1e-6
    )


@pytest.mark.parametrize("suffix", ["obj", "stl", "off", "glb", "ply"])
def test_trimesh_sees_the_same(suffix: str, tmp_path: Path) -> None:
    scene = trimesh.Scene()
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3], [0.5, 0, 0])
    scene.add_geometry(trimesh.creation.box((4, 3, 2.5)), transform=turn)
    mirror = np.diag([1.0, -1, 1, 1])
    scene.add_geometry(trimesh.creation.icosphere(1), transform=mirror @ turn)
    made = scene if suffix in ("glb", "obj") else scene.to_geometry()
    path = put(tmp_path / f"a.{suffix}", made.export(file_type=suffix))
    other = scene.to_geometry()
    mesh = read_mesh(path)
    ours = seen(mesh)
    assert len(ours) == len(other.faces)
    np.testing.assert_allclose(ours.mean(axis=(0, 1)), other.triangles.mean(axis=(0, 1)), atol=1e-5)
    normals = np.cross(ours[:, 1] - ours[:, 0], ours[:, 2] - ours[:, 0])
    volume = float((ours[:, 0] * normals).sum() / 6)
    np.testing.assert_allclose(volume, other.volume, rtol=1e-5)  # faces look the same way


def test_clouds_have_no_faces(tmp_path: Path) -> None:
    assert read_obj(put(tmp_path / "a.obj", b"v 1 2 3\nv 4 5 6\n")).faces.shape == (0, 3)
    content, data = graph(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}], nodes=[{"mesh": 0}])
    mesh = read_gltf(put(tmp_path / "a.glb", glb(content, data)))
    assert mesh.faces.shape == (0, 3)
    np.testing.assert_array_equal(mesh.vertices, POINTS)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"v 1 1 0", b"v 1 1", "vertex 'v 1 1"),
        (b"v 1 1 0", b"v 1 one 0", "allowed: three finite numbers"),
        (b"v 1 1 0", b"v 1 nan 0", "allowed: three finite numbers"),
        (b"f -3 -2 -1", b"f -3 -2 9", "a face names vertex 9 of 5"),
        (b"f -3 -2 -1", b"f -3 -2 -9", "a face names vertex -3 of 5"),
        (b"f -3 -2 -1", b"f -3 -2 0", "a face names vertex 0"),
        (b"f -3 -2 -1", b"f -3 -2", "a face of 2 corners"),
        (b"f -3 -2 -1", b"f 1.5 2 3", "no whole number"),
        (b"f -3 -2 -1", b"f 1 2 " + b"9" * 50000, "no whole number"),
        (b"# note", b"#" * 70000, "a line of 70,001 bytes"),
        (b"v ", b"w ", "no vertex in this OBJ"),
    ],
)
def test_damaged_obj(old: bytes, new: bytes, says: str, tmp_path: Path) -> None:
    refused(read_obj, put(tmp_path / "a.obj", OBJ.replace(old, new)), says)


def refused(read: Callable[[Path], Any], path: Path, says: str) -> None:
    with pytest.raises(RawDataError) as caught:
        read(path)
    found = str(caught.value)
    assert re.search(says, found) and found.startswith(str(path)) and "\n" not in found, found


@pytest.mark.parametrize(
    ("read", "content", "says"),
    [
        (read_off, OFF.replace(b"COFF", b"OOF"), "not a text OFF"),
        (read_off, b"OFF BINARY\n", "not a text OFF"),
        (read_off, b"", "not a text OFF"),
        (read_off, b"OFF\nfive 2 0\n", "does not say how many"),
        (read_off, OFF.replace(b"5 2 0", b"5 99999999 0"), "promises 5 vertices and 99,999,999 faces and has 7 lines"),
        (read_off, OFF.replace(b"3 2 3 4", b"3 2 3 5"), "names no vertex of 5"),
        (read_off, OFF.replace(b"3 2 3 4", b"3 2 3"), "all named in its line"),
        (read_off, OFF.replace(b"3 2 3 4", b"2 3 4"), "a face of 2 corners"),
        (read_off, OFF.replace(b"3 2 3 4", b"x 3 4 5"), "a face of -1 corners"),
        (read_off, OFF.replace(b"1 1 0", b"1 1 inf"), "NaN or infinite"),
        (read_off, OFF.replace(b"1 1 0\n", b"1 1\n"), "no number, or a line cut short"),
        (read_stl, binary_stl()[:-1], "an STL of 3 triangles has 234 bytes, the file has 233"),
        (read_stl, binary_stl()[:80] + b"\xff" * 4 + binary_stl()[84:], "an STL of 4,294,967,295 triangles"),
        (read_stl, b"", "cut short or no STL"),
        (read_stl, STL[: len(STL) // 2], "cut short"),
        (read_stl, STL.replace(b"vertex 1 1 0", b"vertex 1 1 x"), "no number"),
        (read_stl, STL.replace(b"vertex 1 1 0", b"vertex 1 1 nan"), "NaN or infinite"),
    ],
)
def test_damaged_off_and_stl(read: Callable[[Path], Any], content: bytes, says: str, tmp_path: Path) -> None:
    refused(read, put(tmp_path / "a", content), says)


def node(**changes: Any) -> dict[str, Any]:
    return {"nodes": [{"mesh": 0, **changes}], "scenes": [{"nodes": [0]}], "scene": 0}


def accessor(**changes: Any) -> dict[str, Any]:
    return {"accessors": [{**graph()[0]["accessors"][0], **changes}, *graph()[0]["accessors"][1:]]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (node(children=[0]), "node 0 hangs in two places, or in itself"),
        (node(children=[7]), r"names nodes\[7\], which is not there"),
        (node(children="0"), "a list of nodes is a str"),
        (node(mesh=9), r"names meshes\[9\]"),
        (node(mesh=-1), "'mesh' is -1; allowed: a whole number"),
        (node(matrix=[1] * 15), "a transform that is none"),
        (node(scale=[1e300, 1, 1]), "a transform that is none"),
        (node(scale=["a", 1, 1]), "a transform that is none"),
        ({"scene": 5}, r"names scenes\[5\]"),
        ({"scenes": [{}, {}]}, "no geometry in its scene"),
        (accessor(count=6), "accessor 0 of 6 rows leads out of its buffer"),
        (accessor(count=2**40 - 1), "reads over 67,108,864 rows"),
        (accessor(count=-1), "'count' is -1"),
        (accessor(type="VEC2"), "is no VEC3"),
        (accessor(componentType=1), "is no VEC3"),
        (accessor(sparse={}), "is sparse or empty"),
        (accessor(bufferView=9), r"names bufferViews\[9\]"),
        (accessor(byteOffset=2**39), "leads out of its buffer"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 61000}] * 2}, "a view leads out of buffer 0"),
        ({"bufferViews": [{"buffer": 3, "byteLength": 60}] * 2}, "names buffer 3"),
        ({"buffers": [{"uri": "/etc/passwd"}]}, "allowed: in the file or beside it"),
        ({"buffers": [{"uri": "../a.bin"}]}, "allowed: in the file or beside it"),
        ({"buffers": [{"uri": "http://host/a.bin"}]}, "allowed: in the file or beside it"),
        ({"buffers": [{"uri": "none.bin"}]}, "no such file"),
        ({"buffers": [{"uri": "data:,%%%"}]}, "no base64"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "compressed .* export it without compression"),
        ({"meshes": [{"primitives": [{"attributes": {}}]}] * 2}, "has no POSITION"),
        ({"asset": 1}, "no glTF file"),
    ],
)
def test_damaged_gltf(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    content, data = graph(**changes)
    path = put(tmp_path / "a.glb", glb(content, data))
    if "none.bin" in str(changes):
        path = path.with_name("none.bin")
        with pytest.raises(RawDataError, match="no such file"):
            read_gltf(path.with_name("a.glb"))
        return
    refused(read_gltf, path, says)


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """Cut anywhere or with one bit flipped: read, or one error; also of the bytes outside of JSON."""
    rng, refusals, data = np.random.default_rng(3), 0, glb(*graph())
    for name, sound in (("a.obj", OBJ), ("a.off", OFF), ("a.stl", STL), ("b.stl", binary_stl()), ("a.glb", data)):
        for at in rng.integers(len(sound), size=40):
            flipped = bytearray(sound)
            flipped[at] ^= 1 << int(rng.integers(8))
            for content in (bytes(flipped), sound[:at]):
                try:
                    read_mesh(put(tmp_path / name, content))
                except RawDataError:
                    refusals += 1
    assert refusals > 120
    nodes = [{"mesh": 0}] * 3000
    primitives = [{"attributes": {"POSITION": 0}, "mode": 0}] * 100
    shown = {
        "nodes": nodes,
        "scenes": [{"nodes": list(range(3000))}],
        "scene": 0,
        "meshes": [{"primitives": primitives}],
    }
    content, chunk = graph(**shown)
    refused(read_gltf, put(tmp_path / "many.glb", glb(content, chunk)), "shows over .* or 262,144 parts")
    refused(read_gltf, put(tmp_path / "deep.gltf", b'{"asset":' + b"[" * 200_000), "no glTF file|nested too deeply")
    refused(read_mesh, put(tmp_path / "a.fbx", b""), r"not read from .fbx; allowed: .ply, .obj")
