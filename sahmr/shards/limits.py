"""What the members of a sample may claim, compared with the bytes that are there; refuses, and changes nothing."""

from __future__ import annotations

import io
import json
import math
import tarfile
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy import ndarray

from sahmr.dimensions import CROP_SIZE
from sahmr.shards.crop import READY

_MOST_JSON = 1 << 20  # bytes; ours have 2 kB
_MOST_TEXT = 1000
_MOST_PIXELS = 1 << 26  # of a stored picture, 8192 x 8192
_PIXELS_PER_BYTE = 128  # a JPEG block of 64 pixels takes 2 bits per channel at least: 85
_PNG = b"\x89PNG\r\n\x1a\n"
_FARTHEST = 1 << 20  # pixels
_FAR_M = 1e6
_SKEW = 1e-2  # of a rotation's products with itself; calibrations have 1e-6


def require_member(info: tarfile.TarInfo, available: int, *, is_new: bool) -> None:
    """Insist on a plain file that lies within the bytes at hand: no links, no sparse files.

    Raises:
        ValueError: saying what it is.
    """
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.sparse is not None:
        raise ValueError(f"member {info.name[:80]!r} is not a file, but of tar's type {info.type!r}")
    if not 0 <= info.size <= available - info.offset_data:
        raise ValueError(f"member {info.name[:80]!r} claims {info.size} bytes, the sample has {available}")
    if not is_new:
        raise ValueError(f"member {info.name[:80]!r} is there twice")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("json has a name twice")
    return made


def read_meta(content: bytes) -> dict[str, Any]:
    """The JSON member.

    Raises:
        ValueError: if it is no object, too long, or has a name twice.
        RecursionError: if it is nested too deep.
    """
    if len(content) > _MOST_JSON:
        raise ValueError(f"json has {len(content)} bytes, allowed are {_MOST_JSON}")
    meta = json.loads(content, object_pairs_hook=_once)
    if not isinstance(meta, dict):
        raise ValueError(f"json is a {type(meta).__name__}, expected an object")
    return meta


def require_meta(meta: dict[str, Any], texts: tuple[str, ...]) -> None:
    """Insist on types and ranges of what a sample is described with.

    Raises:
        KeyError: for the first name that is missing.
        ValueError: for the first value that cannot be, with what it must be.
    """
    for name in texts:
        if not isinstance(meta[name], str) or len(meta[name]) > _MOST_TEXT:
            raise ValueError(f"{name} is {_brief(meta[name])}, expected a text")
    for name in ("has_body", "has_contact"):
        if not isinstance(meta[name], bool):
            raise ValueError(f"{name} is {_brief(meta[name])}, expected true or false")
    left, top, right, bottom = _whole_numbers(meta, "stored_region", 4, -_FARTHEST)
    width, height = _whole_numbers(meta, "stored_size", 2, 1)
    _whole_numbers(meta, "image_size", 2, 1)
    if meta["box_source"] == READY:
        if [width, height] != [CROP_SIZE, CROP_SIZE]:
            raise ValueError(f"stored_size is {meta['stored_size']}, a ready-made crop has {CROP_SIZE} x {CROP_SIZE}")
    elif not (width <= right - left and height <= bottom - top):
        raise ValueError(f"stored_region {meta['stored_region']} is smaller than stored_size {meta['stored_size']}")
    sides = _numbers(meta, "person_box", 4, _FARTHEST)
    if not (sides[0] < sides[2] and sides[1] < sides[3]):
        raise ValueError(f"person_box is {meta['person_box']}, expected left < right and top < bottom")
    k = _numbers(meta, "intrinsics", 9, _FARTHEST)
    if not (k[0] > 0 and k[4] > 0 and k[3] == 0 and k[6:] == [0, 0, 1]):
        raise ValueError(f"intrinsics are {k}, expected focal lengths above 0, and 0 0 1 below")
    _require_rigid(_numbers(meta, "camera_from_world", 16, _FAR_M))


def _require_rigid(c: list[float]) -> None:
    x, y, z = c[0:3], c[4:7], c[8:11]
    products = (_dot(x, x) - 1, _dot(y, y) - 1, _dot(z, z) - 1, _dot(x, y), _dot(y, z), _dot(z, x))
    cross = (x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0])
    if max(map(abs, products)) > _SKEW or _dot(cross, z) < 0 or c[12:] != [0, 0, 0, 1]:
        raise ValueError("camera_from_world is not rigid: expected a rotation, a shift, and 0 0 0 1 below")


def _dot(a: list[float] | tuple[float, ...], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _numbers(meta: dict[str, Any], name: str, count: int, most: float) -> list[float]:
    """Finite numbers, flat or in rows."""
    values = meta[name]
    if isinstance(values, list) and len(values) == count:
        for value in values:
            if type(value) not in (int, float) or not -most <= value <= most:  # NaN is neither
                raise ValueError(f"{name} has {_brief(value)}, expected numbers between -{most:g} and {most:g}")
        return values
    raise ValueError(f"{name} is {_brief(values)}, expected {count} numbers")


def _whole_numbers(meta: dict[str, Any], name: str, count: int, least: int) -> list[int]:
    values = meta[name]
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"{name} is {_brief(values)}, expected {count} whole numbers")
    for value in values:
        if type(value) is not int or not least <= value <= _FARTHEST:
            raise ValueError(f"{name} has {_brief(value)}, expected whole numbers from {least} to {_FARTHEST}")
    return values


def _brief(value: object) -> str:
    if isinstance(value, int) and abs(value) > 10**20:
        return "a huge number"
    return repr(value)[:60] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def require_picture(content: bytes, size: list[int]) -> None:
    """Insist that a JPEG's header says what the sample says, and no more than its bytes can hold.

    Raises:
        ValueError: with what it says.
        IndexError: if it is cut.
    """
    place = 2
    if content[:2] != b"\xff\xd8":
        raise ValueError("jpg is no JPEG")
    while content[place + 1] not in (0xC0, 0xC1, 0xC2):  # the frame's header
        if content[place] != 0xFF or content[place + 1] in (0xD9, 0xDA):
            raise ValueError("jpg has no header")
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    height, width = (int.from_bytes(content[place + start : place + start + 2]) for start in (5, 7))
    if [width, height] != size:
        raise ValueError(f"jpg does not decode to the stored size {size}, but to {[width, height]}")
    if width * height > min(_MOST_PIXELS, _PIXELS_PER_BYTE * len(content)):
        raise ValueError(f"jpg claims {width} x {height} pixels in {len(content)} bytes")


def require_png(content: bytes, size: list[int]) -> None:
    """Insist that a PNG is as :mod:`sahmr.shards.encode` writes it: RGB of 8 bits, of this size, its sums right.

    Raises:
        ValueError: with what it says.
    """
    place, head = len(_PNG), content[len(_PNG) : len(_PNG) + 21]
    if content[:place] != _PNG or head[4:8] != b"IHDR" or len(head) < 21:
        raise ValueError("png is no PNG")
    width, height = (int.from_bytes(head[start : start + 4]) for start in (8, 12))
    if [width, height] != size or head[16:21] != bytes((8, 2, 0, 0, 0)):
        raise ValueError(f"png is not RGB of the stored size {size}, but {[width, height]}, {head[16:21].hex()}")
    while place < len(content):  # OpenCV takes what it can of a damaged one
        end = place + 8 + int.from_bytes(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if kind not in (b"IHDR", b"IDAT", b"IEND") or zlib.crc32(content[place + 4 : end]) != int.from_bytes(
            content[end : end + 4]
        ):
            raise ValueError(f"png has a damaged or unknown part {kind!r}")
        place = end + 4
    if kind != b"IEND" or place != len(content):
        raise ValueError("png is cut")


def require_array(content: bytes, shape: tuple[int, ...], kind: str) -> int:
    """Insist on the header of an ``.npy`` file, and on as many bytes behind it as it says; returns where they start.

    Raises:
        ValueError: with what was found.
    """
    usual = _usual_header(shape, kind)
    if content.startswith(usual) and len(content) - len(usual) == math.prod(shape) * np.dtype(kind).itemsize:
        return len(usual)
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"array is of npy version {version}, expected (1, 0)")
    try:
        found, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception as problem:  # it is Python's own text for values, parsed
        raise ValueError(f"array has no header that makes sense ({type(problem).__name__})") from None
    if found != shape or dtype != np.dtype(kind) or is_fortran:
        raise ValueError(f"array is {str(found)[:40]} {dtype.str}, expected {shape} {kind}")
    start = stream.tell()
    wanted = math.prod(shape) * dtype.itemsize
    if len(content) - start != wanted:
        raise ValueError(f"array has {len(content) - start} bytes, expected {wanted}")
    return start


@lru_cache(maxsize=8)
def _usual_header(shape: tuple[int, ...], kind: str) -> bytes:
    """What ``np.save`` writes before such an array; to parse a header takes longer than to read the rest."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def require_finite(values: ndarray) -> ndarray:
    """The same array.

    Raises:
        ValueError: if it holds NaN or a coordinate that is out of this world.
    """
    if values.dtype.kind == "f" and not (np.abs(values) < _FAR_M).all():
        raise ValueError(f"array has NaN, or coordinates beyond {_FAR_M:g} m")
    return values
