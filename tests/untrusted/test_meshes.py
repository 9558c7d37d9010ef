"""PLY meshes: what is read, bit for bit, and that damage is one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from sahmr.errors import RawDataError
from sahmr.untrusted.meshes import obj_has_colors, read_ply
from tests.worlds import small
from tests.worlds.raw_trees import put

ORDERS = ("binary_little_endian", "binary_big_endian", "ascii")
POINTS = [(1.0, 7, 2.0, 3.0), (4.0, 8, 5.0, 6.0), (1.5, 9, 0.25, -1.0), (0.0, 0, 0.0, 0.0)]  # x, red, y, z


def ply(order: str, *, color: str = "u1", corners: tuple[int, ...] = (0, 1, 2, 3), lists: str = "u1") -> bytes:
    """Two polygons over four points, with a color between the coordinates and an element before and after each."""
    words = {"u1": "uchar", "f4": "float", "i4": "int", "u4": "uint"}
    head = (
        f"ply\nformat {order} 1.0\ncomment end_header\ncomment element vertex 9\nelement camera 1\nproperty short k\n"
    )
    head += f"element vertex 4\nproperty double x\nproperty {words[color]} red\nproperty float y\nproperty float z\n"
    head += f"element face 2\nproperty uchar flag\nproperty list {words[lists]} int vertex_indices\n"
    head += "property list uchar float texcoord\nelement edge 1\nproperty int a\nend_header\n"
    rows: list[tuple[list[str], list[float]]] = [(["i2"], [5])]
    rows += [(["f8", color, "f4", "f4"], list(point)) for point in POINTS]
    for face in (corners, corners[::-1]):
        rows.append((["u1", lists, *["i4"] * len(face), "u1", "f4"], [1, len(face), *face, 1, 0.5]))
    rows.append((["i4"], [3]))
    if order == "ascii":
        return head.encode() + "\n".join(" ".join(f"{value:g}" for value in values) for _, values in rows).encode()
    end = ">" if "big" in order else "<"
    return head.encode() + b"".join(
        np.array(value, end + kind).tobytes()
        for kinds, values in rows
        for kind, value in zip(kinds, values, strict=True)
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("color", ["u1", "f4"])
@pytest.mark.parametrize("lists", ["u1", "u4"])
def test_vertices_and_faces_among_other_things(tmp_path: Path, order: str, color: str, lists: str) -> None:
    mesh = read_ply(put(tmp_path / "a.ply", ply(order, color=color, lists=lists)))
    np.testing.assert_array_equal(mesh.vertices, np.array(POINTS)[:, [0, 2, 3]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [3, 2, 1], [3, 1, 0]])
    windows = ply(order).replace(b"\n", b"\r\n") if order == "ascii" else ply(order)
    np.testing.assert_array_equal(read_ply(put(tmp_path / "b.ply", windows)).vertices, mesh.vertices)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_trimesh_reads_the_same(tmp_path: Path, encoding: str) -> None:
    scan = small.room()
    scan.vertices = scan.vertices.astype(np.float32)
    scan.visual.vertex_colors = np.full((len(scan.vertices), 4), 9, np.uint8)
    path = put(tmp_path / "a.ply", scan.export(file_type="ply", encoding=encoding))
    other = trimesh.load(path, process=False, force="mesh")
    mesh = read_ply(path)
    np.testing.assert_array_equal(mesh.faces, other.faces)
    np.testing.assert_allclose(mesh.vertices, other.vertices, rtol=0, atol=0 if encoding == "binary" else 1e-6)


def test_a_point_cloud_has_no_faces(tmp_path: Path) -> None:
    cloud = trimesh.PointCloud(np.arange(6.0).reshape(2, 3)).export(file_type="ply")
    mesh = read_ply(put(tmp_path / "a.ply", cloud))
    assert mesh.vertices.shape == (2, 3) and mesh.faces.shape == (0, 3)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"ply", b"plo", "not a PLY file"),
        (b"\nend_header", b"\nthe_header", "not a PLY file"),
        (b"format ascii 1.0\n", b"", "must name a format"),
        (b"element vertex 4", b"element points 4", "one element 'vertex' with x, y, z"),
        (b"element vertex 4", b"element vertex four", "'element vertex four' makes no sense"),
        (b"element camera 1", b"comment camera", "'property short k' makes no sense"),
        (b"property double x", b"property double y", "with x, y, z"),
        (b"property uchar red", b"property uchar x", "occurs more than once"),
        (b"property double x", b"property list uchar double x", "with x, y, z"),
        (b"element vertex 4", b"element vertex 5", "cut short, the header promises 1 camera rows, 5 vertex rows"),
        (b"element vertex 4", b"element vertex " + b"9" * 30, "cut short"),
        (b"element vertex 4", b"element vertex " + b"9" * 5000, "makes no sense"),
        (b"element edge 1", b"element edge 0", "too long by 8 bytes"),
        (b"1 4 3 2 1 0", b"1 3 3 2 1 0", "lists 'vertex_indices' of different lengths"),
        (b"1 4 0 1 2 3", b"1 2000000000000 0 1 2 3", "the header promises"),
        (b"1 4 0 1 2 3", b"1 nan 0 1 2 3", "the header promises"),
        (b"1 4 0 1 2 3", b"1 inf 0 1 2 3", "the header promises"),
        (b"1 4 0 1 2 3", b"1 -4 0 1 2 3", "the header promises"),
        (b"1 4 0 1 2 3", b"1 4 0 1 2 nan", "not whole"),
        (b"1 4 0 1 2 3", b"1 4 0 1 2 2.5", "not whole"),
        (b"4 8 5 6", b"4 8 5 x", "could not convert string to float"),
        (b"4 8 5 6", b"4 8 5 inf", "NaN or infinite"),
    ],
)
def test_damage_is_one_error(tmp_path: Path, old: bytes, new: bytes, says: str) -> None:
    sound = ply("ascii")
    assert old in sound
    path = put(tmp_path / "a.ply", sound.replace(old, new, 1))
    with pytest.raises(RawDataError, match=rf"a\.ply: .*{says}"):
        read_ply(path)


@pytest.mark.parametrize("content", ["ply\nformat ascii 1.0\nend_header\n", "ply\nend_header\n", "ply\n", ""])
def test_headers_without_elements(tmp_path: Path, content: str) -> None:
    with pytest.raises(RawDataError, match=r"not a PLY file|must name a format and one element 'vertex'"):
        read_ply(put(tmp_path / "a.ply", content))
    with pytest.raises(RawDataError, match="no such file"):
        read_ply(tmp_path / "none.ply")


def test_any_flipped_or_lost_byte_is_read_or_refused(tmp_path: Path) -> None:
    """A reader of strangers' files never fails in another way."""
    rng, path = np.random.default_rng(0), tmp_path / "a.ply"
    refused = 0
    for order in ORDERS:
        sound = ply(order)
        for at in range(len(sound)):
            flipped = bytearray(sound)
            flipped[at] ^= 1 << int(rng.integers(8))
            for content in (bytes(flipped), sound[:at]):
                path.write_bytes(content)
                try:
                    read_ply(path)
                except RawDataError:
                    refused += 1
    assert refused > 2000


def test_obj_colors(tmp_path: Path) -> None:
    assert obj_has_colors(put(tmp_path / "a.obj", "# note\nv 1 2 3 0 1 0\n"))
    assert not obj_has_colors(put(tmp_path / "b.obj", "v 1 2 3\nv 1 2 3 0 1 0\n"))
    with pytest.raises(RawDataError, match="no vertex"):
        obj_has_colors(put(tmp_path / "c.obj", "f 1 2 3\n"))
