"""Opening a stranger's STL, binary or text, and OFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.untrusted.meshes import PlyMesh
from sahmr.untrusted.obj import fans
from sahmr.untrusted.regular import read_regular

_STL_HEAD = 84  # bytes: a comment of 80, the number of triangles
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])  # 50 bytes
_OFF_HEADS = (b"OFF", b"COFF", b"NOFF", b"CNOFF")  # with colors, normals: those are left out
_MOST_CORNERS = 1000
_MOST_TEXT_BYTES = 1 << 28  # words in lists take some twenty times their size; larger ones come binary


def read_stl(path: Path) -> PlyMesh:
    """Triangles of an STL; corners are not merged, normals and attributes left out.

    Raises:
        RawDataError: if the file is missing, neither binary nor text STL, cut short or longer than it says, or holds
            coordinates that are not finite.
    """
    content = read_regular(path)
    promised = int.from_bytes(content[80:_STL_HEAD], "little")
    room = len(content) - _STL_HEAD
    if room == promised * _TRIANGLE.itemsize:  # tested first: binary files too begin with "solid"
        corners = np.frombuffer(content, _TRIANGLE, promised, _STL_HEAD)["corners"].astype(np.float64)
    elif content.lstrip()[:5] == b"solid" and b"facet" in content[:4096]:
        corners = _stl_text(path, content)
    else:
        raise RawDataError(
            f"{path}: an STL of {promised:,} triangles has {_STL_HEAD + promised * _TRIANGLE.itemsize:,} bytes, the "
            f"file has {len(content):,}; cut short or no STL: export it again"
        )
    vertices = _finite(path, corners.reshape(-1, 3))
    return PlyMesh(vertices=vertices, faces=np.arange(len(vertices), dtype=np.int64).reshape(-1, 3))


def _stl_text(path: Path, content: bytes) -> Float[ndarray, "faces 3 3"]:
    if len(content) > _MOST_TEXT_BYTES:
        raise RawDataError(
            f"{path}: has {len(content):,} bytes, a text STL at most {_MOST_TEXT_BYTES:,}; store it binary"
        )
    words = content.split()
    at = [place + 1 for place, word in enumerate(words) if word.lower() == b"vertex"]
    if len(at) % 3 or not at or not any(word.lower() == b"endsolid" for word in words[-50:]):
        raise RawDataError(f"{path}: a text STL of {len(at)} corners, cut short or no STL; export it again")
    return _numbers(path, [words[place : place + 3] for place in at]).reshape(-1, 3, 3)


def read_off(path: Path) -> PlyMesh:
    """Vertices and faces of a text OFF, polygons as fans; colors and normals are left out.

    Raises:
        RawDataError: if the file is missing, no text OFF, cut short, or a face names a vertex that is not there.
    """
    lines = [
        line
        for line in (raw.split(b"#", 1)[0] for raw in read_regular(path, most_bytes=_MOST_TEXT_BYTES).split(b"\n"))
        if line.strip()
    ]
    head = lines[0].split() if lines else []
    if not head or head[0] not in _OFF_HEADS or b"BINARY" in head:
        raise RawDataError(f"{path}: not a text OFF file; it begins with one of OFF, COFF, NOFF; export it again")
    rest = [b" ".join(head[1:]), *lines[1:]] if len(head) > 1 else lines[1:]
    sizes = rest[0].split()[:2] if rest else []
    if len(sizes) != 2 or not all(word.isdigit() and len(word) < 12 for word in sizes):
        raise RawDataError(f"{path}: the OFF file does not say how many vertices and faces it has; export it again")
    num_vertices, num_faces = map(int, sizes)
    if num_vertices + num_faces > len(rest) - 1:
        raise RawDataError(
            f"{path}: promises {num_vertices:,} vertices and {num_faces:,} faces and has {len(rest) - 1:,} lines; cut "
            "short: export it again"
        )
    vertices = _finite(path, _numbers(path, [line.split(None, 3)[:3] for line in rest[1 : 1 + num_vertices]]))
    polygons = [line.split() for line in rest[1 + num_vertices : 1 + num_vertices + num_faces]]
    return PlyMesh(vertices=vertices, faces=_off_faces(path, polygons, num_vertices))


def _off_faces(path: Path, polygons: list[list[bytes]], num_vertices: int) -> Int[ndarray, "faces 3"]:
    made = [np.zeros((0, 3), dtype=np.int64)]
    counts = np.array([int(words[0]) if words[0].isdigit() and len(words[0]) < 6 else -1 for words in polygons])
    for count in np.unique(counts):
        rows = [polygons[at] for at in np.flatnonzero(counts == count)]
        if not 3 <= count <= _MOST_CORNERS or any(len(row) <= count for row in rows):
            raise RawDataError(
                f"{path}: a face of {count} corners; allowed: 3 to {_MOST_CORNERS}, all named in its line"
            )
        corners = _numbers(path, [row[1 : 1 + count] for row in rows])
        if not ((corners >= 0) & (corners < num_vertices) & (corners % 1 == 0)).all():
            raise RawDataError(f"{path}: a face names no vertex of {num_vertices}; export it again")
        made.append(fans(corners.astype(np.int64)))
    return np.concatenate(made)


def _numbers(path: Path, rows: list[list[bytes]]) -> Float[ndarray, "rows columns"]:
    try:
        found = np.array(rows, dtype=np.float64)
    except ValueError:
        found = np.zeros(0)
    if found.ndim != 2:
        if not rows:
            return np.zeros((0, 3))
        raise RawDataError(f"{path}: a word that is no number, or a line cut short; export it again")
    return found


def _finite(path: Path, vertices: Float[ndarray, "vertices columns"]) -> Float[ndarray, "vertices 3"]:
    if len(vertices) == 0 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise RawDataError(f"{path}: no vertices, or NaN or infinite coordinates; export it again")
    return vertices
