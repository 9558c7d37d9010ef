"""Opening a stranger's meshes: triangles of PLY files, and whether an OBJ file carries colors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.untrusted.regular import open_regular, read_regular

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_SPACE = re.compile(rb"\s")
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_INDICES = ("vertex_indices", "vertex_index")  # both are in use for the corners of a face
_LONGEST_HEADER = 1 << 20  # bytes, nearly all of them comments; published ones have 400
_MOST_PROPERTIES = 1000  # of all elements; published files have 5
_TEXT_RUN = 1 << 20  # bytes of text split into words at once: words take some twenty times their size
_LONGEST_WORD = 400  # characters of a number; the longest a double can need is 330
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PlyMesh:
    """A PLY mesh as stored: vertices in file order, none merged; the file's unit and frame.

    Attributes:
        vertices: finite.
        faces: polygons as fans of triangles; none for a point cloud. Whether there are such vertices is not checked.
    """

    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]


@dataclass(frozen=True, slots=True)
class _Element:
    """A block of a PLY file: its name, rows, and properties as (name, type) or, a list, (name, length, type)."""

    name: str
    count: int
    properties: list[tuple[str, ...]]


def read_ply(path: Path) -> PlyMesh:
    """Read vertices and faces of a PLY mesh, ASCII or binary in either byte order, and skip whatever else it holds.

    Raises:
        RawDataError: if the file is missing, empty, not PLY, cut short or longer than its header promises, holds faces
            of different numbers of corners, or coordinates that are not finite.

    Source: Turk, The PLY Polygon File Format, 1994.
    """
    content = _content(path)
    is_text, elements, start = _header(path, content)
    try:
        # Text becomes what a binary file of doubles holds, so that one way of reading serves both.
        data = _doubles(content, start) if is_text else memoryview(content)[start:]
        tables = _tables(elements, data)
        faces = _fans(tables)
    except (ValueError, OverflowError) as problem:
        promised = ", ".join(f"{element.count} {element.name} rows" for element in elements)
        raise RawDataError(f"{path}: {problem}, the header promises {promised}; fetch it again") from None
    with np.errstate(invalid="ignore"):  # a NaN may be a signalling one; reported below
        vertices = np.stack([tables["vertex"][axis].astype(np.float64) for axis in "xyz"], axis=1)  # [vertices, 3]
    if not np.isfinite(vertices).all():
        raise RawDataError(f"{path}: holds NaN or infinite coordinates; fetch it again")
    return PlyMesh(vertices=vertices, faces=faces)


def _content(path: Path) -> bytes:
    content = read_regular(path)
    if not content:
        raise RawDataError(f"{path}: is empty, not a PLY file; fetch it again")
    return content


def _doubles(content: bytes, start: int) -> memoryview:
    """The words of a text as the bytes of doubles, eight for each.

    Raises:
        ValueError: if a word is no number.
    """
    made = bytearray()
    while start < len(content):
        space = _SPACE.search(content, min(start + _TEXT_RUN, len(content)))
        end = space.start() if space else len(content)
        words = content[start:end].split()
        if max(map(len, words), default=0) > _LONGEST_WORD:
            raise ValueError(f"a word of more than {_LONGEST_WORD} characters")
        made += np.array(words, dtype="<f8").tobytes()
        if content.find(b"_", start, end) >= 0:  # Python alone takes 1_0 for a number
            raise ValueError("a word with an underscore")
        start = end
    return memoryview(made)


def _header(path: Path, content: bytes) -> tuple[bool, list[_Element], int]:
    """Whether the data are text; the elements, one of them vertices with x, y, z; where the data start."""
    # A line of its own: comments may name it too.
    end = re.compile(rb"^end_header[ \t\r]*\n", re.MULTILINE).search(content, 0, _LONGEST_HEADER)
    if not content.startswith(b"ply") or end is None:
        raise RawDataError(f"{path}: not a PLY file; fetch it again")
    order, elements, line = "?", list[_Element](), ""
    try:
        for line in content[: end.start()].decode("latin1").split("\n"):
            match line.split():
                case ["format", name, *_]:
                    order = _ORDERS[name]
                case ["element", name, count] if count.isdecimal():
                    elements.append(_Element(name, int(count), []))
                case ["property", "list", length, kind, name]:
                    elements[-1].properties.append(
                        (name, *(order + _TYPES[k] if order else "<f8" for k in (length, kind)))
                    )
                case ["property", kind, name]:
                    elements[-1].properties.append((name, order + _TYPES[kind] if order else "<f8"))
                case ["format" | "element" | "property", *_]:
                    raise ValueError
    except (IndexError, KeyError, ValueError):
        raise RawDataError(f"{path}: PLY header line {line[:80]!r} makes no sense; fetch it again") from None
    if len(elements) + sum(len(element.properties) for element in elements) > _MOST_PROPERTIES:
        raise RawDataError(f"{path}: the PLY header names over {_MOST_PROPERTIES} properties; fetch it again")
    if twice := sorted({e.name for e in elements if [other.name for other in elements].count(e.name) > 1}):
        raise RawDataError(f"{path}: the PLY header names the elements {twice[:3]} twice; fetch it again")
    vertex = [{name for name, *kinds in e.properties if len(kinds) == 1} for e in elements if e.name == "vertex"]
    if order == "?" or len(vertex) != 1 or not {"x", "y", "z"} <= vertex[0]:
        raise RawDataError(f"{path}: the PLY header must name a format and one element 'vertex' with x, y, z")
    return not order, elements, end.end()


def _tables(elements: list[_Element], data: memoryview) -> dict[str, ndarray]:
    """The rows of each element as structured arrays, views of the data.

    Raises:
        ValueError, OverflowError: if the data do not fit the elements.
    """
    tables, at = dict[str, ndarray](), 0
    for element in elements:
        row = _row_type(element, data[at:])
        rows = _rows(data[at:], row, element.count)
        for name, *kinds in element.properties:
            if len(kinds) == 2 and (rows[_length(name)] != rows[name].shape[1]).any():
                raise ValueError(f"lists {name!r} of different lengths; faces must all be triangles, or all quads")
        tables[element.name] = rows
        at += rows.nbytes
    if at != len(data):
        raise ValueError(f"too long by {len(data) - at} bytes")
    return tables


def _row_type(element: _Element, data: memoryview) -> np.dtype[np.void]:
    """Layout of a row, taking each list to be as long as in the first row, which ``data`` start with."""
    fields = list[tuple[str, str] | tuple[str, str, tuple[int]]]()
    for name, *length, kind in element.properties:
        if not length:
            fields.append((name, kind))
            continue
        place = np.dtype(fields).itemsize
        count = int(_rows(data[place:], np.dtype(length[0]), 1)[0]) if element.count else 0
        fields += [(_length(name), length[0]), (name, kind, (count,))]
    return np.dtype(fields)


def _rows(data: memoryview, row: np.dtype[Any], count: int) -> ndarray:
    if count * row.itemsize > len(data):
        raise ValueError("cut short")
    return np.frombuffer(data, row, count) if count else np.zeros(0, row)


def _length(name: str) -> str:
    """Field of a list's length; no property's name holds a space."""
    return f"{name} length"


def _fans(tables: dict[str, ndarray]) -> Int[ndarray, "faces 3"]:
    """Triangles of all faces, each cut from its first corner.

    Raises:
        ValueError: if a face has fewer than three corners, or a corner is no whole number.
    """
    rows = tables.get("face", np.zeros(0))
    corners = [rows[name] for name in _INDICES if name in (rows.dtype.names or ()) and rows[name].ndim == 2]
    if not len(rows) or not corners:
        return np.zeros((0, 3), dtype=np.int64)
    found = corners[0]  # [polygons, corners]
    if found.shape[1] < 3:
        raise ValueError(f"faces of {found.shape[1]} corners")
    with np.errstate(invalid="ignore"):  # reported below
        whole = found.astype(np.int64)
    if found.dtype.kind == "f" and (whole != found).any():
        raise ValueError("a face names a vertex by a number that is not whole")
    first = np.broadcast_to(whole[:, :1], (len(whole), whole.shape[1] - 2))  # [polygons, triangles]
    return np.stack([first, whole[:, 1:-1], whole[:, 2:]], axis=2).reshape(-1, 3)


def obj_has_colors(path: Path) -> bool:
    """Whether the first vertex line of a text OBJ reads ``v x y z r g b``.

    Raises:
        RawDataError: if the file cannot be read, or has no vertex line.
    """
    with open_regular(path) as stream:
        while line := stream.readline(_LONGEST_LINE):
            words = line.split()
            if words[:1] == [b"v"]:
                return len(words) >= 7
            if len(line) == _LONGEST_LINE:
                raise RawDataError(
                    f"{path}: a line of {_LONGEST_LINE:,} bytes or more, not an OBJ file; fetch it again"
                )
    raise RawDataError(f"{path}: no vertex in this OBJ file; fetch it again")
