"""Ways to make two sources of a demo tree contradict each other: each takes a sound file's content and gives another's.

Nothing here damages a file: each result is one that a careful user might hand over.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

Change = Callable[[bytes], bytes]
_END = b"end_header\n"


def field(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Another distance field; ``change`` gets it as [x][y][z]."""

    def changed(content: bytes) -> bytes:
        values = np.load(io.BytesIO(content))
        side = round(values.size ** (1 / 3))
        stream = io.BytesIO()
        np.save(stream, change(values.reshape(side, side, side)).astype(np.float32).ravel())
        return stream.getvalue()

    return changed


def extent(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Another ``min`` and ``max`` of a field."""

    def changed(content: bytes) -> bytes:
        told = json.loads(content)
        return json.dumps({**told, **{key: change(np.array(told[key])).tolist() for key in ("min", "max")}}).encode()

    return changed


def matrix(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Another 4x4 transform in a JSON file."""
    return lambda content: json.dumps(change(np.array(json.loads(content))).tolist()).encode()


def moved(transform: np.ndarray, scale: float) -> np.ndarray:
    """The same rotation, its translation in another unit."""
    other = transform.copy()
    other[:3, 3] *= scale
    return other


def vertices(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """A PLY mesh with other vertices, in doubles; ``change`` gets [vertices, 3]. All other columns are kept."""

    def changed(content: bytes) -> bytes:
        start = content.index(_END) + len(_END)
        header = content[:start].decode()
        count = int(header.split("element vertex ")[1].split()[0])
        rows = header.split("element vertex")[1].split("element face")[0]
        extra = rows.count("uchar")
        kind = np.dtype([("xyz", "<f4", 3), ("rest", "u1", extra)])
        old = np.frombuffer(content[start : start + count * kind.itemsize], kind)
        new = np.empty(count, np.dtype([("xyz", "<f8", 3), ("rest", "u1", extra)]))
        new["xyz"], new["rest"] = change(old["xyz"].astype(np.float64)), old["rest"]
        head = header.replace("property float ", "property double ")
        return head.encode() + new.tobytes() + content[start + count * kind.itemsize :]

    return changed


def inside_out(content: bytes) -> bytes:
    """A PLY mesh whose triangles all have their front at the back."""
    start = content.index(_END) + len(_END)
    count = int(content[:start].decode().split("element face ")[1].split()[0])
    faces = np.frombuffer(content[-13 * count :], np.dtype([("n", "u1"), ("corners", "<i4", 3)])).copy()
    faces["corners"] = faces["corners"][:, ::-1]
    return content[: -13 * count] + faces.tobytes()


def labels(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Other contact labels."""

    def changed(content: bytes) -> bytes:
        told = pickle.loads(content, encoding="latin1")
        return pickle.dumps({**told, "contact": change(np.array(told["contact"]))}, protocol=2)

    return changed


def fit(**changes: Any) -> Change:
    """A fit with other parameters; None takes one away."""

    def changed(content: bytes) -> bytes:
        told = {**pickle.loads(content, encoding="latin1"), **changes}
        return pickle.dumps({key: value for key, value in told.items() if value is not None}, protocol=2)

    return changed
