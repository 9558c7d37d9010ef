"""Opening a stranger's OBJ: vertices and faces of all its groups; materials and textures are never opened."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.untrusted.meshes import PlyMesh
from sahmr.untrusted.regular import read_regular

_MOST_BYTES = 1 << 30  # of a mesh as text; 10 million triangles have 0.8 GB
_MOST_CORNERS = 1000  # of one face
_LONGEST_LINE = 1 << 16
_LONGEST_WORD = 18  # digits of a vertex's number
_BATCH = 1 << 16  # lines held as words at once: words take some twenty times their size
_TEXTURE = re.compile(rb"/[^ \t]*")


def read_obj(path: Path) -> PlyMesh:
    """Vertices and faces of all groups and objects of a text OBJ, as one mesh; polygons as fans of triangles.

    Colors, normals, texture coordinates, lines, curves and ``mtllib`` are left out.

    Raises:
        RawDataError: if the file is missing, too large or no OBJ, a number is none or not finite, or a face names a
            vertex that is not there.
    """
    content = read_regular(path, most_bytes=_MOST_BYTES).replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
    vertices, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int64)], 0
    for vertex_lines, face_lines, seen in _batches(path, content):
        vertices.append(_vertices(path, vertex_lines))
        faces.append(_faces(path, face_lines, np.array(seen, dtype=np.int64)))
        count += len(vertex_lines)
    if not count:
        raise RawDataError(f"{path}: no vertex in this OBJ file; export it again")
    whole = np.concatenate(faces)
    if len(whole) and not (whole.min() >= 0 and whole.max() < count):
        wrong = whole.max() if whole.max() >= count else whole.min()
        raise RawDataError(f"{path}: a face names vertex {wrong + 1} of {count}; export it again")
    return PlyMesh(vertices=np.concatenate(vertices), faces=whole)


def _batches(path: Path, content: bytes) -> Iterator[tuple[list[bytes], list[bytes], list[int]]]:
    """Lines of vertices, lines of faces, and how many vertices came before each of the latter; a few at a time."""
    vertex_lines, face_lines, seen, before = list[bytes](), list[bytes](), list[int](), 0
    for line in io.BytesIO(content):
        if len(line) > _LONGEST_LINE:
            raise RawDataError(f"{path}: a line of {len(line):,} bytes, not an OBJ file; export it again")
        kind = line.lstrip()[:2]
        if kind in (b"v ", b"v\t"):
            vertex_lines.append(line)
        elif kind in (b"f ", b"f\t"):
            face_lines.append(line)
            seen.append(before + len(vertex_lines))
        if len(vertex_lines) + len(face_lines) == _BATCH:
            yield vertex_lines, face_lines, seen
            before += len(vertex_lines)
            vertex_lines, face_lines, seen = [], [], []
    yield vertex_lines, face_lines, seen


def _vertices(path: Path, lines: list[bytes]) -> Float[ndarray, "vertices 3"]:
    """x, y, z of each line; a fourth number (weight) or a color may follow."""
    words = [line.split(None, 4)[1:4] for line in lines]
    try:
        vertices = np.array(words, dtype=np.float64).reshape(-1, 3)
    except ValueError:
        vertices = np.zeros((0, 3))
    if len(vertices) != len(lines) or not np.isfinite(vertices).all():
        bad = next((line for line, three in zip(lines, words, strict=True) if not _is_point(three)), lines[0])
        raise RawDataError(
            f"{path}: vertex {bad[:60].decode('latin1')!r}; allowed: three finite numbers; export it again"
        )
    return vertices


def _is_point(words: list[bytes]) -> bool:
    try:
        return len(words) == 3 and bool(np.isfinite([float(word) for word in words]).all())
    except ValueError:
        return False


def _faces(path: Path, lines: list[bytes], seen: Int[ndarray, " polygons"]) -> Int[ndarray, "faces 3"]:
    """Fans of all polygons, in order. Negative numbers count back from the vertices seen so far."""
    words = [_TEXTURE.sub(b"", line.split(b"#", 1)[0]).split()[1:] for line in lines]
    counts = np.array([len(each) for each in words], dtype=np.int64)
    made, order = [np.zeros((0, 3), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for count in np.unique(counts):
        if not 3 <= count <= _MOST_CORNERS:
            raise RawDataError(f"{path}: a face of {count} corners; allowed: 3 to {_MOST_CORNERS}; export it again")
        which = np.flatnonzero(counts == count)
        corners = _whole(path, [words[at] for at in which])
        if (corners == 0).any():
            raise RawDataError(f"{path}: a face names vertex 0; allowed: 1 and up, or below 0; export it again")
        made.append(fans(np.where(corners < 0, corners + seen[which, None], corners - 1)))
        order.append(np.repeat(which, count - 2))
    faces: Int[ndarray, "faces 3"] = np.concatenate(made)[np.argsort(np.concatenate(order), kind="stable")]
    return faces


def _whole(path: Path, rows: list[list[bytes]]) -> Int[ndarray, "polygons corners"]:
    """Words as whole numbers; numpy would make each as wide as the longest."""
    try:
        if max(len(word) for row in rows for word in row) > _LONGEST_WORD:
            raise ValueError
        return np.array(rows, dtype=np.bytes_).astype(np.int64)
    except (ValueError, OverflowError):
        raise RawDataError(f"{path}: a face names a vertex by no whole number; export it again") from None


def fans(corners: Int[ndarray, "polygons corners"]) -> Int[ndarray, "faces 3"]:
    """Triangles of polygons, each cut from its first corner."""
    first = np.broadcast_to(corners[:, :1], (len(corners), corners.shape[1] - 2))
    return np.stack([first, corners[:, 1:-1], corners[:, 2:]], axis=2).reshape(-1, 3)
