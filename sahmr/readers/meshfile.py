"""Vertices of PLY meshes, exactly as stored, and whether an OBJ file carries colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}


def _header(path: Path, content: bytes) -> tuple[str, int, list[tuple[str, str]], int]:
    """Byte order, vertex count, vertex properties (name, type) and where the data start."""
    end = content.find(b"end_header")
    newline = content.find(b"\n", end)
    if not content.startswith(b"ply") or end < 0 or newline < 0:
        raise RawDataError(f"{path}: not a PLY file; fetch it again")
    order, count, properties, elements = "?", 0, [], 0
    for line in content[:end].decode("latin1").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            order = _ORDERS.get(words[1], "?")
        elif words[:1] == ["element"]:
            elements += 1
            if elements == 1 and words[1] == "vertex":
                count = int(words[2])
        elif words[:1] == ["property"] and elements == 1:
            properties.append((words[-1], _TYPES.get(words[1], "?")))
    names = [name for name, _ in properties]
    if order == "?" or any(kind == "?" for _, kind in properties) or not {"x", "y", "z"} <= set(names):
        raise RawDataError(f"{path}: the PLY header must begin with an element 'vertex' with x, y, z")
    return order, count, properties, newline + 1


def read_ply_vertices(path: Path) -> NDArray[np.float64]:
    """Vertices [n, 3] of a PLY mesh in file order (no merging), metres, the file's frame.

    Raises:
        RawDataError: if the file is missing, not PLY, cut short, or holds non-finite coordinates.
    """
    if not path.is_file():
        raise RawDataError(f"{path}: no such file")
    content = path.read_bytes()
    order, count, properties, start = _header(path, content)
    try:
        if order:
            layout = np.dtype([(name, order + kind) for name, kind in properties])
            rows = np.frombuffer(content, dtype=layout, count=count, offset=start)
            vertices = np.stack([rows[axis].astype(np.float64) for axis in "xyz"], axis=1)
        else:
            words = content[start:].split(None, count * len(properties))[: count * len(properties)]
            table = np.array(words, dtype=np.float64).reshape(count, len(properties))
            vertices = table[:, [[name for name, _ in properties].index(axis) for axis in "xyz"]]
    except ValueError:
        raise RawDataError(f"{path}: cut short, the header promises {count} vertices; fetch it again") from None
    if not np.isfinite(vertices).all():
        raise RawDataError(f"{path}: holds NaN or infinite coordinates; fetch it again")
    return vertices


def obj_has_colors(path: Path) -> bool:
    """Whether the first vertex line of a text OBJ reads ``v x y z r g b``.

    Raises:
        RawDataError: if the file has no vertex line.
    """
    with path.open("rb") as stream:
        for line in stream:
            words = line.split()
            if words[:1] == [b"v"]:
                return len(words) >= 7
    raise RawDataError(f"{path}: no vertex in this OBJ file; fetch it again")
