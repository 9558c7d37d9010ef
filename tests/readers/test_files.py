"""Images and meshes: what is read, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.readers.images import decode_region, image_size
from sahmr.readers.meshfile import obj_has_colors, read_ply_vertices
from tests.worlds.raw_trees import image, put


def test_sixteen_bits_and_rotation_flags_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(RawDataError, match="8 bits per channel"):
        decode_region(tmp_path / "deep.png", (0, 0, 4, 4), 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(RawDataError, match="EXIF says the image is rotated"):
        image_size(image(tmp_path / "turned.jpeg", exif=exif.tobytes()))
    with pytest.raises(RawDataError, match="not a readable image"):
        image_size(tmp_path / "none.png")


def test_gray_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "gray.bmp")
    assert (decode_region(tmp_path / "gray.bmp", (0, 0, 6, 4), 1) == np.full((4, 6, 3), 9)).all()
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(tmp_path / "gray.jpeg")
    assert (decode_region(tmp_path / "gray.jpeg", (8, 0, 16, 12), 4) == np.full((3, 2, 3), 9)).all()


@pytest.mark.parametrize("order", ["binary_little_endian", "binary_big_endian", "ascii"])
def test_ply_with_extra_properties(tmp_path: Path, order: str) -> None:
    head = f"ply\nformat {order} 1.0\ncomment x\nelement vertex 2\nproperty double x\nproperty uchar red\n"
    head += "property float y\nproperty float z\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [(1.0, 7, 2.0, 3.0), (4.0, 8, 5.0, 6.0)]
    kind = ">" if "big" in order else "<"
    layout = [("x", kind + "f8"), ("r", "u1"), ("y", kind + "f4"), ("z", kind + "f4")]
    body = np.array(rows, layout).tobytes() if order != "ascii" else b"\n".join(b"%g %d %g %g" % row for row in rows)
    path = put(tmp_path / "a.ply", head.encode() + body)
    np.testing.assert_array_equal(read_ply_vertices(path), [[1, 2, 3], [4, 5, 6]])


def test_ply_header_must_begin_with_vertices(tmp_path: Path) -> None:
    path = put(tmp_path / "a.ply", "ply\nformat ascii 1.0\nelement face 1\nproperty int x\nend_header\n0\n")
    with pytest.raises(RawDataError, match="must begin with an element 'vertex'"):
        read_ply_vertices(path)


def test_obj_colors(tmp_path: Path) -> None:
    assert obj_has_colors(put(tmp_path / "a.obj", "# note\nv 1 2 3 0 1 0\n"))
    assert not obj_has_colors(put(tmp_path / "b.obj", "v 1 2 3\nv 1 2 3 0 1 0\n"))
    with pytest.raises(RawDataError, match="no vertex"):
        obj_has_colors(put(tmp_path / "c.obj", "f 1 2 3\n"))
