"""Files that claim time, memory or other files: how each is made, which reader meets it, and what it says."""

from __future__ import annotations

import base64
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

from tests.untrusted.hostile_pickles import PICKLES, Case


def npy(shape: str, content: bytes, descr: str = "'<f8'", version: int = 1, order: bool = False) -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + length + head + content


def npz(*members: tuple[str, bytes], claim: int | None = None, flags: int = 0) -> Callable[[], bytes]:
    """An archive; ``claim``: size its directory gives; ``flags``: set there."""

    def make() -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        made = bytearray(stream.getvalue())
        at = made.index(b"PK\x01\x02")
        made[at + 8] |= flags
        if claim is not None:
            made[at + 24 : at + 28] = struct.pack("<I", claim)
        return bytes(made)

    return make


BOMB = npy("(12500000,)", bytes(10**8))
ARRAYS = (
    Case(
        "2**40 numbers",
        "npy",
        lambda: npy("(1099511627776,)", bytes(8)),
        "8 bytes of data, its header promises 1099511627776",
    ),
    Case(
        "2**40 texts of no length",
        "npy",
        lambda: npy("(1099511627776,)", b"", "'|S0'"),
        "its header promises 1099511627776 of",
    ),
    Case("65 sides", "npy", lambda: npy("(" + "1," * 65 + ")", bytes(8)), "a shape that is a tuple of 65 sides"),
    Case("a wide side", "npy", lambda: npy(f"({10**400}, 0)", b""), "a shape with the side 1000"),
    Case("a negative side", "npy", lambda: npy("(-1,)", bytes(8)), "a shape with the side -1"),
    Case("a subarray of 2**27", "npy", lambda: npy("(1,)", bytes(8), "('<f8', (134217728,))"), "8 bytes of data"),
    Case("a header of 1 MB", "npy", lambda: npy("(" + " " * 10**6 + "1,)", bytes(8), version=2), "Header info length"),
    Case("a deep header", "npy", lambda: npy("(" * 4_000 + ")" * 4_000, bytes(8)), "not a readable .npy"),
    Case("version 3, Fortran's order", "npy", lambda: npy("(2, 2)", bytes(32), version=3, order=True), None),
    Case("a structured array", "npy", lambda: npy("(1,)", bytes(16), "[('a', '<f8'), ('b', '<i8')]"), None),
    Case("a structured array of objects", "npy", lambda: npy("(1,)", pickle.dumps(1), "[('a', '|O')]"), "does not fit"),
    Case(
        "a shape of objects",
        "npy",
        lambda: npy("(1099511627776,)", pickle.dumps([1]), "'|O'"),
        "does not fit its header",
    ),
    Case(
        "a member of 4 GB", "npz", npz(("a.npy", npy("(1,)", bytes(8))), claim=2**32 - 2), "claims 4,294,967,294 bytes"
    ),
    Case("a member larger than it claims", "npz", npz(("a.npy", BOMB), claim=1_000), "key 'a' is damaged"),
    Case("a member smaller than it claims", "npz", npz(("a.npy", npy("(1,)", bytes(8))), claim=10**8), "key 'a'"),
    Case("an encrypted member", "npz", npz(("a.npy", b"x"), flags=1), "'a.npy' is encrypted"),
    Case("an archive in an archive", "npz", npz(("a.npy", npz(("b.npy", b"x"))())), "not a readable .npy"),
    Case("an archive of other files", "npz", npz(("../a", b"x")), "allowed are .npy files only"),
)


def ply(body: bytes, count: str = "3", faces: str = "1", extra: str = "") -> bytes:
    head = (
        f"ply\nformat ascii 1.0\n{extra}element vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
    )
    return head.encode() + f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n".encode() + body


PLY = b"0 0 0 1 0 0 0 1 0 3 0 1 2"
MESHES = (
    Case("a mesh by hand", "ply", lambda: ply(PLY), None),
    Case("a count of 5 000 digits", "ply", lambda: ply(PLY, count="9" * 5000), "makes no sense"),
    Case("a million header lines", "ply", lambda: ply(PLY, extra="comment\n" * 10**6), "not a PLY file"),
    Case("100 000 elements", "ply", lambda: ply(PLY, extra="element a 0\n" * 80_000), "names over 1000 properties"),
    Case("an element twice", "ply", lambda: ply(PLY, extra="element face 0\n"), r"names the elements \['face'\] twice"),
    Case("10**30 rows of nothing", "ply", lambda: ply(PLY, extra=f"element a {10**30}\n"), "the header promises"),
    Case("a comment with a form feed", "ply", lambda: ply(PLY, extra="comment \x0celement vertex 9\n"), None),
    Case("a face of a million corners", "ply", lambda: ply(PLY[:-7] + b"1000000" + b" 1" * 10**6), None),
    Case("a face of -3 corners", "ply", lambda: ply(PLY.replace(b"3 0", b"-3 0")), "the header promises"),
    Case("a face of 2**40 corners", "ply", lambda: ply(PLY.replace(b"3 0", b"1099511627776 0")), "the header promises"),
    Case("a word of 10**7 digits", "ply", lambda: ply(PLY + b" " + b"1" * 10**7), "a word of more than 400 characters"),
    Case("a hexadecimal word", "ply", lambda: ply(PLY.replace(b"1 2", b"0x1 2")), "could not convert"),
    Case("an underscore", "ply", lambda: ply(PLY.replace(b"1 2", b"0_1 2")), "an underscore"),
    Case("a zero byte", "ply", lambda: ply(PLY.replace(b"1 2", b"1\0 2")), "could not convert"),
    Case("a coordinate of 1e400", "ply", lambda: ply(b"1e400" + PLY[1:]), "NaN or infinite"),
    Case("an endless OBJ line", "obj", lambda: b"v" * 10**7, "a line of 65,536 bytes or more"),
    Case("a mesh with a texture", "ply", lambda: ply(PLY, extra="comment TextureFile /dev/zero\n"), None),
    Case("an OBJ with a material", "obj", lambda: b"mtllib /dev/zero\nusemtl a\nv 1 2 3\n", None),
)

LAUGHS = "".join(f'<!ENTITY a{k + 1} "{f"&a{k};" * 10}">' for k in range(9))
TEXTS = (
    Case("an OBJ of faces without end", "mesh_obj", lambda: b"v 0 0 0\nf" + b" 1" * 10**6, "a line of 2,0"),
    Case("an OBJ of wide words", "mesh_obj", lambda: (b"v 0 0 0\nf 1 1 " + b"9" * 60_000 + b"\n") * 200, "no whole"),
    Case("an OBJ of empty lines", "mesh_obj", lambda: b"\n" * (4 << 20), "no vertex"),
    Case("an STL of 2**32 triangles", "stl", lambda: bytes(80) + b"\xff" * 4, "has 214,748,364,834 bytes"),
    Case("an OFF of 10**11 vertices", "off", lambda: b"OFF\n99999999999 0 0\n", "and has 0 lines"),
    Case("a glTF of 2**39 rows", "gltf", lambda: gltf(count=1 << 39), "reads over 67,108,864 rows"),
    Case("a glTF of rows that are not there", "gltf", lambda: gltf(count=60_000_000), "leads out of its buffer"),
    Case("a glTF with a texture", "gltf", lambda: gltf(count=1), None),
    Case("a calibration of one long word", "yml", lambda: b"a" * 10**6, "no matrix of the names"),
    Case("a calibration of a million numbers", "yml", lambda: yml(b"1, " * 300_000), "is 'a matrix of 300001 numbers'"),
    Case("JSON 100 000 deep", "json", lambda: b"[" * 100_000, "nested too deeply"),
    Case("JSON of 1e999", "json", lambda: b'{"a": 1e999}', "the number 1e999 is too large"),
    Case("JSON of NaN", "json", lambda: b"[NaN]", "NaN is no number of JSON"),
    Case("JSON of 10**5 digits", "json", lambda: b"9" * 10**5, "a whole number of 100000 digits"),
    Case("JSON with a key twice", "json", lambda: b'{"a": 1, "a": 2}', "key 'a' is given twice"),
    Case("JSON that is no UTF-8", "json", lambda: '{"a": "é"}'.encode("latin1"), "not a JSON file .'utf-8' codec"),
    Case("JSON of 2 MB", "json", lambda: json.dumps([[]] * 700_000).encode(), "such a file has at most 1,048,576"),
    Case(
        "XML that laughs",
        "xml",
        lambda: f'<!DOCTYPE a [<!ENTITY a0 "ha">{LAUGHS}]><a>&a9;</a>'.encode(),
        "a document type",
    ),
    Case(
        "XML of another file",
        "xml",
        lambda: b'<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]><a>&b;</a>',
        "a document type",
    ),
    Case("XML of a DTD elsewhere", "xml", lambda: b'<!DOCTYPE a SYSTEM "http://localhost:9/"><a/>', "a document type"),
    Case("XML 10**5 deep", "xml", lambda: b"<a>" * 10**5, "nested deeper than 32"),
    Case("XML with a wide attribute", "xml", lambda: b"<a b='" + b"x" * 10**6 + b"'/>", None),
    Case("XML of 4 MB", "xml", lambda: b"<a>" + bytes(4 << 20), "such a file has at most 1,048,576"),
    Case("XML in an unknown encoding", "xml", lambda: b"<?xml version='1.0' encoding='nope'?><a/>", "not an XML file"),
    Case("XML without an end", "xml", lambda: b"<a>", "not an XML file"),
    Case("a table of one line of 17 MB", "table", lambda: b"x" * (17 << 20), "such a file has at most 16,777,216"),
    Case("a table with zero bytes", "table", lambda: b"a\tb\0\n", "zero bytes"),
    Case("a table that is no UTF-8", "table", lambda: b"\xff\xfe\x00", "not a text file"),
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, side: int = 1) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")
    )


def jpeg_of(width: int, height: int) -> bytes:
    return (
        b"\xff\xd8\xff\xc0\x00\x11\x08"
        + struct.pack(">HH", height, width)
        + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xd9"
    )


def bmp_of(height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIIIII", 58, 0, 0, 54, 40, 1, height, 1, 24, 0, 4, 0, 0, 0, 0) + bytes(4)


SQUEEZED = zlib.compress(bytes(10**8), 9)
IMAGES = (
    Case("a picture by hand", "image", lambda: png(), None),
    Case("a profile of 100 MB", "image", lambda: png(chunk(b"iCCP", b"a\0\0" + SQUEEZED)), "damaged image|None"),
    Case("a text of 100 MB", "image", lambda: png(chunk(b"zTXt", b"a\0\0" + SQUEEZED)), "damaged image .*too large"),
    Case(
        "an international text of 100 MB",
        "image",
        lambda: png(chunk(b"iTXt", b"a\0\1\0\0\0" + SQUEEZED)),
        "damaged image",
    ),
    Case(
        "many texts", "image", lambda: png(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6), 9))] * 99), "damaged"
    ),
    Case("a JPEG of 65500 x 65500", "image", lambda: jpeg_of(65500, 65500), "4290250000 pixels"),
    Case("a BMP 2**31 high", "image", lambda: bmp_of(-(2**31)), "damaged image|not a readable image"),
    Case("a BMP of 2**31 - 1", "image", lambda: bmp_of(2**31 - 1), "2147483647 pixels"),
    Case(
        "a chunk of 4 GB", "image", lambda: png()[:33] + b"\xff\xff\xff\xffzTXt", "damaged image|not a readable image"
    ),
)


def gltf(count: int) -> bytes:
    """One triangle's buffer, of which an accessor claims ``count`` rows; a picture that nobody may open."""
    data = "data:;base64," + base64.b64encode(bytes(36)).decode()
    content = {
        "asset": {}, "nodes": [{"mesh": 0}], "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}], "buffers": [{"uri": data}], "images": [{"uri": "/dev/zero"}],
    }  # fmt: skip
    return json.dumps(content).encode()


def yml(data: bytes) -> bytes:
    return b"camera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: [ " + data + b"1 ]\n"


CASES: tuple[Case, ...] = (*PICKLES, *ARRAYS, *MESHES, *TEXTS, *IMAGES)
