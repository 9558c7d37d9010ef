"""Arrays of a stranger's glTF: views of its buffers, none of them longer than the buffer is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError

_KINDS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3}
_LARGEST = 1 << 40
_MOST_ROWS = 1 << 26


def whole(path: Path, content: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """A whole number that is not negative; ``default``, if there is one, where the key is absent."""
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST:
        raise RawDataError(f"{path}: '{key}' is {str(value)[:40]}; allowed: a whole number; export it again")
    return value


def item(path: Path, content: Mapping[str, Any], key: str, number: Any) -> dict[str, Any]:
    """An object of one of the description's lists."""
    things = content.get(key)
    if isinstance(things, list) and type(number) is int and 0 <= number < len(things):
        found = things[number]
        if isinstance(found, dict):
            return found
    raise RawDataError(f"{path}: names {key}[{str(number)[:20]}], which is not there; export it again")


class Accessors:
    """Reads accessors of one file."""

    def __init__(self, path: Path, content: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        self._path, self._content, self._buffers, self._rows = path, content, buffers, 0
        self._known = dict[tuple[int, str], NDArray[np.float64]]()

    def read(self, number: int, kind: str) -> NDArray[np.float64]:
        """As :meth:`_read`, once for each accessor."""
        if (number, kind) not in self._known:
            self._known[number, kind] = self._read(number, kind)
        return self._known[number, kind]

    def _read(self, number: int, kind: str) -> NDArray[np.float64]:
        """Rows of an accessor as doubles, [count, width]; normalised whole numbers as shares of their largest.

        Raises:
            RawDataError: if it is of another type, sparse, without a view, or leads out of its buffer.
        """
        accessor = item(self._path, self._content, "accessors", number)
        component = _KINDS.get(whole(self._path, accessor, "componentType"))
        if accessor.get("type") != kind or component is None:
            raise RawDataError(f"{self._path}: accessor {number} is no {kind} of known numbers; export it again")
        if "sparse" in accessor or "bufferView" not in accessor:
            raise RawDataError(
                f"{self._path}: accessor {number} is sparse or empty, which is not read; export it plainly"
            )
        count, width, dtype = whole(self._path, accessor, "count"), _WIDTHS[kind], np.dtype(component)
        self._rows += count  # a few bytes of description may name the same rows a million times
        if self._rows > _MOST_ROWS:
            raise RawDataError(f"{self._path}: reads over {_MOST_ROWS:,} rows; export only the room")
        data, stride = self._view(accessor, number)
        step = stride or dtype.itemsize * width
        if step < dtype.itemsize * width or (count and (count - 1) * step + dtype.itemsize * width > len(data)):
            raise RawDataError(
                f"{self._path}: accessor {number} of {count:,} rows leads out of its buffer; export it again"
            )
        rows = (
            np.ndarray((count, width), dtype, data, 0, (step, dtype.itemsize)) if count else np.zeros((0, width), dtype)
        )
        values = rows.astype(np.float64)
        if accessor.get("normalized") is True and dtype.kind in "iu":
            values = np.maximum(values / np.iinfo(dtype).max, -1.0)
        return values

    def _view(self, accessor: Mapping[str, Any], number: int) -> tuple[memoryview, int]:
        """Bytes from the accessor's first on, and the step between rows; 0 where they lie close."""
        view = item(self._path, self._content, "bufferViews", whole(self._path, accessor, "bufferView"))
        buffer = whole(self._path, view, "buffer")
        if buffer >= len(self._buffers):
            raise RawDataError(
                f"{self._path}: accessor {number} names buffer {buffer}, which is not there; export it again"
            )
        start = whole(self._path, view, "byteOffset", 0)
        end = start + whole(self._path, view, "byteLength")
        if end > len(self._buffers[buffer]):
            raise RawDataError(f"{self._path}: a view leads out of buffer {buffer}; cut short: export it again")
        offset = start + whole(self._path, accessor, "byteOffset", 0)
        return memoryview(self._buffers[buffer])[min(offset, end) : end], whole(self._path, view, "byteStride", 0)
