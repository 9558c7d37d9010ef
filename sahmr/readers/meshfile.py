"""Vertices of PLY meshes, exactly as stored, and whether an OBJ file carries colours."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Element:
    """A block of a PLY file: its name, rows, and properties as (name, type) or, a list, (name, length, type)."""

    name: str
    count: int
    properties: list[tuple[str, ...]]

    def least(self, *, is_text: bool) -> int:
        """Bytes, or words of a text file, that its rows need at least; a face has three corners or more."""
        corners = 3 if self.name == "face" else 0
        sizes = [[1 if is_text else np.dtype(kind).itemsize for kind in kinds] for _, *kinds in self.properties]
        return self.count * sum(size[0] + (corners * size[1] if len(size) > 1 else 0) for size in sizes)


def _header(path: Path, content: bytes) -> tuple[str, list[_Element], int]:
    """Byte order, the elements, the first of them vertices with x, y, z, and where the data start."""
    end = content.find(b"end_header")
    newline = content.find(b"\n", end)
    if not content.startswith(b"ply") or end < 0 or newline < 0:
        raise RawDataError(f"{path}: not a PLY file; fetch it again")
    order, elements, line = "?", list[_Element](), ""
    try:
        for line in content[:end].decode("latin1").splitlines():
            match line.split():
                case ["format", name, *_]:
                    order = _ORDERS[name]
                case ["element", name, count] if count.isdecimal():
                    elements.append(_Element(name, int(count), []))
                case ["property", "list", length, kind, name]:
                    elements[-1].properties.append((name, _TYPES[length], _TYPES[kind]))
                case ["property", kind, name]:
                    elements[-1].properties.append((name, _TYPES[kind]))
                case ["format" | "element" | "property", *_]:
                    raise ValueError
    except (IndexError, KeyError, ValueError):
        raise RawDataError(f"{path}: PLY header line {line[:80]!r} makes no sense; fetch it again") from None
    scalars = [name for name, *kinds in elements[0].properties if len(kinds) == 1] if elements else []
    if order == "?" or elements[0].name != "vertex" or not {"x", "y", "z"} <= set(scalars):
        raise RawDataError(f"{path}: the PLY header must begin with an element 'vertex' with x, y, z")
    if len({*scalars}) != len(elements[0].properties):
        raise RawDataError(f"{path}: a vertex must have plain properties, each once; found {elements[0].properties}")
    return order, elements, newline + 1


def read_ply_vertices(path: Path) -> NDArray[np.float64]:
    """Vertices [n, 3] of a PLY mesh in file order (no merging), metres, the file's frame.

    Raises:
        RawDataError: if the file is missing, not PLY, cut short anywhere, or holds non-finite coordinates.
    """
    if not path.is_file():
        raise RawDataError(f"{path}: no such file")
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise RawDataError(f"{path}: cannot be read ({problem.strerror}); allow it, or fetch it again") from None
    order, elements, start = _header(path, content)
    count, names = elements[0].count, [name for name, *_ in elements[0].properties]
    words = content[start:].split() if not order else []
    found, least = len(words) if not order else len(content) - start, sum(e.least(is_text=not order) for e in elements)
    if found < least:
        unit = "bytes" if order else "words"
        raise RawDataError(
            f"{path}: cut short, the header promises {count} vertices, in all at least {least} {unit}, found {found}; "
            "fetch it again"
        )
    try:
        if order:
            layout = np.dtype([(name, order + kind) for name, kind in elements[0].properties])
            rows = np.frombuffer(content, dtype=layout, count=count, offset=start)
            with np.errstate(invalid="ignore"):  # a NaN may be a signalling one; told below
                vertices = np.stack([rows[axis].astype(np.float64) for axis in "xyz"], axis=1)
        else:
            table = np.array(words[: count * len(names)], dtype=np.float64).reshape(count, len(names))
            vertices = table[:, [names.index(axis) for axis in "xyz"]]
    except ValueError as problem:
        raise RawDataError(f"{path}: holds something that is not a number ({problem}); fetch it again") from None
    if not np.isfinite(vertices).all():
        raise RawDataError(f"{path}: holds NaN or infinite coordinates; fetch it again")
    return vertices


def obj_has_colors(path: Path) -> bool:
    """Whether the first vertex line of a text OBJ reads ``v x y z r g b``.

    Raises:
        RawDataError: if the file has no vertex line.
    """
    try:
        with path.open("rb") as stream:
            for line in stream:
                words = line.split()
                if words[:1] == [b"v"]:
                    return len(words) >= 7
    except OSError as problem:
        raise RawDataError(f"{path}: cannot be read ({problem.strerror}); allow it, or fetch it again") from None
    raise RawDataError(f"{path}: no vertex in this OBJ file; fetch it again")
