"""The containers of the publishers: PLY, OBJ, Python 2 pickles, OpenCV XML, JSON, JPEG; each call returns bytes."""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def put(path: Path, content: bytes) -> None:
    """Write a file, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def ply(vertices: Array, faces: Index, color: NDArray[np.uint8] | None = None) -> bytes:
    """Binary little-endian PLY: float32 xyz, optional uchar red green blue (alpha 255), faces as uchar + int32."""
    fields: list[tuple[str, str]] = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    if color is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue", "alpha")]
    table = np.zeros(len(vertices), dtype=fields)
    for k, name in enumerate("xyz"):
        table[name] = vertices[:, k]
    if color is not None:
        for k, name in enumerate(("red", "green", "blue")):
            table[name] = color[:, k]
        table["alpha"] = 255
    triangles = np.zeros(len(faces), dtype=[("count", "u1"), ("index", "<i4", (3,))])
    triangles["count"], triangles["index"] = 3, faces
    kinds = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {kinds[kind]} {name}" for name, kind in fields]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + table.tobytes() + triangles.tobytes()


def obj(vertices: Array, faces_text: bytes, contact: NDArray[np.bool_] | None) -> bytes:
    """Text OBJ; contact vertices are green, others grey, and without labels there is no color at all."""
    if contact is None:
        lines = [b"v %.6f %.6f %.6f" % (x, y, z) for x, y, z in vertices.tolist()]
    else:
        paints = (b"0.400000 0.400000 0.400000", b"0.000000 1.000000 0.000000")
        lines = [
            b"v %.6f %.6f %.6f %s" % (x, y, z, paints[touch])
            for (x, y, z), touch in zip(vertices.tolist(), contact.tolist(), strict=True)
        ]
    return b"\n".join(lines) + b"\n" + faces_text


def obj_faces(faces: Index) -> bytes:
    """The face lines of an OBJ, counted from 1."""
    return b"\n".join(b"f %d %d %d" % tuple(face) for face in (faces + 1).tolist()) + b"\n"


def pickle2(items: Mapping[str, NDArray[Any]]) -> bytes:
    """A dict of arrays as Python 2 and its numpy would have pickled it (protocol 2; load with latin1)."""
    parts = [b"\x80\x02}("]
    for key, value in items.items():
        parts += [_short(key.encode()), _array(value)]
    return b"".join(parts) + b"u."


def _short(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def _array(value: NDArray[Any]) -> bytes:
    value = np.ascontiguousarray(value)
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in value.shape) + b"t"
    code = value.dtype.str[1:].encode()
    order = b"|" if value.dtype.str[0] == "|" else b"<"
    none_or_int = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
    kind = b"cnumpy\ndtype\n(" + _short(code) + b"K\x00K\x01tR(K\x03" + _short(order) + none_or_int + b"tb"
    raw = value.tobytes()
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + _short(b"b") + b"tR"
    return start + b"(K\x01" + shape + kind + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"


def calibration_xml(extrinsics: Array, intrinsics: Array) -> bytes:
    """OpenCV FileStorage: 3x4 [R t] world to camera, K, and two distortion coefficients (zero)."""
    nodes = (("CameraMatrix", extrinsics[:3]), ("Intrinsics", intrinsics), ("Distortion", np.zeros((2, 1))))
    lines = ['<?xml version="1.0"?>', "<opencv_storage>"]
    for name, matrix in nodes:
        values = " ".join(f"{v:.16e}" for v in matrix.ravel())
        lines += [
            f'<{name} type_id="opencv-matrix">',
            f"  <rows>{matrix.shape[0]}</rows>",
            f"  <cols>{matrix.shape[1]}</cols>",
            "  <dt>d</dt>",
            f"  <data>\n    {values}</data></{name}>",
        ]
    return ("\n".join([*lines, "</opencv_storage>"]) + "\n").encode()


def jpeg(picture: NDArray[np.uint8], quality: int = 90) -> bytes:
    """JPEG with 4:2:0 chroma, no metadata."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=2, optimize=False)
    return buffer.getvalue()


def png(picture: NDArray[Any]) -> bytes:
    """8- or 16-bit PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def dump_json(value: Any) -> bytes:
    """JSON with the keys in the given order."""
    return json.dumps(value, indent=1).encode()


def table(rows: Sequence[Sequence[str]]) -> bytes:
    """Tab-separated lines without a newline after the last."""
    return "\n".join("\t".join(row) for row in rows).encode()
