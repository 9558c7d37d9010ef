"""The containers of the publishers: PLY, OBJ, pickles of Python 2 and 3, OpenCV XML, JSON, JPEG; calls return bytes."""

import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
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
    return _pickle(items, b"\x80\x02", _text_of_python_2, lambda raw: b"T" + struct.pack("<i", len(raw)) + raw)


def pickle3(items: Mapping[str, NDArray[Any]], *, protocol: int = 2) -> bytes:
    """A dict of arrays as Python 3 and numpy 1 would have pickled it (protocol 2 or 3; loads without an encoding)."""
    if protocol == 2:  # has no opcode for bytes
        return _pickle(items, b"\x80\x02", _text_of_python_3, _bytes_as_text)
    return _pickle(items, b"\x80\x03", _text_of_python_3, lambda raw: b"B" + struct.pack("<i", len(raw)) + raw)


Encode = Callable[[bytes], bytes]


def _pickle(items: Mapping[str, NDArray[Any]], start: bytes, text: Encode, raw: Encode) -> bytes:
    parts = [start, b"}("]
    for key, value in items.items():
        parts += [text(key.encode()), _array(value, text, raw)]
    return b"".join([*parts, b"u."])


def _text_of_python_2(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def _text_of_python_3(text: bytes) -> bytes:
    return b"X" + struct.pack("<i", len(text)) + text


def _bytes_as_text(raw: bytes) -> bytes:
    text = raw.decode("latin1").encode()
    return b"c_codecs\nencode\n" + _text_of_python_3(text) + _text_of_python_3(b"latin1") + b"\x86R"


def _array(value: NDArray[Any], text: Encode, raw: Encode) -> bytes:
    value = np.ascontiguousarray(value)
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in value.shape) + b"t"
    code = value.dtype.str[1:].encode()
    order = b"|" if value.dtype.str[0] == "|" else b"<"
    none_or_int = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
    kind = b"cnumpy\ndtype\n(" + text(code) + b"K\x00K\x01tR(K\x03" + text(order) + none_or_int + b"tb"
    mark = text(b"b") if text is _text_of_python_2 else raw(b"b")  # text and bytes are one thing there
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + mark + b"tR"
    return start + b"(K\x01" + shape + kind + b"\x89" + raw(value.tobytes()) + b"tb"


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
