"""Columns as few bytes, which a page unpacks by itself: 100 000 frames in some megabytes of text."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WIDTHS = (("u8", "<u1"), ("u16", "<u2"), ("u32", "<u4"))
_ALIGNED = 4  # bytes: a browser views numbers only where they stand on multiples of their size
_DIGITS = 12  # of a digest: what people compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A column.

    Attributes:
        name: for the page's script.
        kind: u8 | u16 | u32: whole numbers, one more than the value, 0: unknown; text: each ends in a zero byte, empty:
            unknown; hex: six bytes each, zeros: unknown.
        data: its values.
        about: what else the script must know: ``names`` that the numbers stand for, or the ``step`` that they count.
    """

    name: str
    kind: str
    data: bytes
    about: Mapping[str, Any] = field(default_factory=dict)


def numbers(name: str, column: pa.ChunkedArray, *, step: float = 1) -> Packed:
    """Numbers from 0 on as whole multiples of a step; those below 0 count as 0.

    Raises:
        ValueError: if one needs more than 32 bits; take a larger step.
    """
    values = pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy()
    whole = np.where(np.isfinite(values), np.maximum(np.rint(values / step), 0) + 1, 0)
    return _narrowest(name, whole, {"step": step})


def named(name: str, column: pa.ChunkedArray) -> Packed:
    """Texts of which there are few, as numbers; null is unknown."""
    coded = pc.dictionary_encode(column).combine_chunks()
    codes = pc.fill_null(pc.cast(coded.indices, pa.float64()), -1).to_numpy(zero_copy_only=False)
    return _narrowest(name, codes + 1, {"names": coded.dictionary.to_pylist()})


def texts(name: str, column: pa.ChunkedArray) -> Packed:
    """Texts of which each is another; null is empty."""
    return Packed(name=name, kind="text", data="".join(f"{text or ''}\0" for text in column.to_pylist()).encode())


def digests(name: str, column: pa.ChunkedArray) -> Packed:
    """The first digits of hexadecimal digests."""
    short = pc.utf8_slice_codeunits(pc.fill_null(column, "0" * _DIGITS), 0, _DIGITS)
    return Packed(name=name, kind="hex", data=bytes.fromhex("".join(short.to_pylist())))


def pack(tables: Mapping[str, tuple[int, Sequence[Packed]]]) -> str:
    """Tables by name, each with its number of rows, as text: base64 of gzip of a JSON header and all columns.

    The header says where each column begins, counted from the header's end. Arrow's own zlib compresses: its version,
    and so the bytes, are those of requirements.lock.
    """
    header: dict[str, Any] = {}
    body = bytearray()
    for table, (rows, columns) in tables.items():
        header[table] = {"rows": rows, "columns": {}}
        for column in columns:
            about = {"kind": column.kind, "at": len(body), "bytes": len(column.data), **column.about}
            header[table]["columns"][column.name] = about
            body += column.data + bytes(-len(column.data) % _ALIGNED)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    packed = pa.Codec("gzip", compression_level=9).compress(
        len(text).to_bytes(_ALIGNED, "little") + text + body, asbytes=True
    )
    return base64.b64encode(packed).decode()


def _narrowest(name: str, whole: np.ndarray[Any, np.dtype[np.float64]], about: Mapping[str, Any]) -> Packed:
    most = int(whole.max(initial=0))
    for kind, width in _WIDTHS:
        if most <= np.iinfo(width).max:
            return Packed(name=name, kind=kind, data=whole.astype(width).tobytes(), about=about)
    raise ValueError(f"{name}: found {most} steps, allowed at most {2**32 - 1}; give it a larger step")
