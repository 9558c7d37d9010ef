"""Samples that strangers share: one ShardError each, bounded by the bytes at hand."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sahmr.errors import ShardError
from sahmr.shards.decode import decode_geometry, decode_sample
from tests.worlds import small

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def sound() -> Members:
    return small.members(small.record(0))


def packed(members: Members, change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"a.{name}")
            info.size = len(content)
            change(info)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def expect(data: bytes, says: str) -> None:
    tracemalloc.start()
    try:
        for decode in (decode_sample, decode_geometry):
            with pytest.raises(ShardError, match=rf"^here: (damaged \()?.*({says}).*; rebuild with: dvc repro shards$"):
                decode(data, place="here")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def rotated(by: float) -> list[float]:
    return [by, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


NAN, INF = float("nan"), float("inf")
META: dict[str, tuple[dict[str, Any], str]] = {
    "region without end": ({"stored_region": [0, 0, INF, 10]}, "stored_region has inf"),
    "region of width 0": ({"stored_region": [10, 0, 10, 300]}, "smaller than stored_size"),
    "region inside out": ({"stored_region": [300, 0, 10, 300]}, "smaller than stored_size"),
    "region of 10**18": ({"stored_region": [0, 0, 10**18, 300]}, "expected whole numbers from -1048576 to 1048576"),
    "region of 10**4000": ({"stored_region": [0, 0, 10**4000, 300]}, "a huge number"),
    "region of fractions": ({"stored_region": [0.5, 0, 300, 300]}, "stored_region has 0.5"),
    "region of three": ({"stored_region": [0, 0, 300]}, "expected 4 whole numbers"),
    "region of words": ({"stored_region": "abcd"}, "stored_region is 'abcd'"),
    "region of truth": ({"stored_region": [False, False, True, True]}, "stored_region has False"),
    "no size": ({"image_size": [0, 100]}, "image_size has 0, expected whole numbers from 1"),
    "size of one": ({"image_size": 7}, "image_size is 7"),
    "intrinsics of NaN": ({"intrinsics": [NAN] * 9}, "intrinsics has nan"),
    "intrinsics of zeros": ({"intrinsics": [0] * 9}, "expected focal lengths above 0"),
    "intrinsics turned": ({"intrinsics": [1, 0, 0, 0, 1, 0, 5, 5, 1]}, "0 0 1 below"),
    "intrinsics behind": ({"intrinsics": [-9, 0, 0, 0, 9, 0, 0, 0, 1]}, "focal lengths above 0"),
    "intrinsics nested": ({"intrinsics": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "expected 9 numbers"),
    "intrinsics of 10**400": ({"intrinsics": [10**400, 0, 0, 0, 1, 0, 0, 0, 1]}, "intrinsics has a huge number"),
    "camera scaled": ({"camera_from_world": rotated(1.1)}, "camera_from_world is not rigid"),
    "camera mirrored": ({"camera_from_world": rotated(-1.0)}, "camera_from_world is not rigid"),
    "camera of infinity": ({"camera_from_world": rotated(INF)}, "camera_from_world has inf"),
    "camera of zeros": ({"camera_from_world": [0] * 16}, "camera_from_world is not rigid"),
    "camera turned": ({"camera_from_world": [*rotated(1)[:12], 0, 0, 5, 1]}, "0 0 0 1 below"),
    "box of NaN": ({"person_box": [NAN] * 4}, "person_box has nan"),
    "box inside out": ({"person_box": [9, 9, 1, 1]}, "left < right"),
    "key that is a list": ({"key": ["a"]}, "key is a list, expected a text"),
    "key without end": ({"key": "a" * 5000}, "key is 'aaa"),
    "scene that is a number": ({"scene_key": 5}, "scene_key is 5"),
    "has_body that is a word": ({"has_body": "yes"}, "has_body is 'yes', expected true or false"),
    "contact of null": ({"has_contact": None}, "has_contact is None"),
    "version that is a dict": ({"member_version": {"a": 1}}, "has version"),
}  # fmt: skip


@pytest.mark.parametrize("name", META)
def test_a_description_out_of_range(name: str, sound: Members) -> None:
    change, says = META[name]
    text = json.dumps({**json.loads(sound["json"]), **change}).encode()
    expect(packed({**sound, "json": text}), says)


def npy(header: bytes, content: bytes = bytes(64)) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def shaped(shape: str, kind: str = "<f4", order: str = "False") -> bytes:
    return npy(f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode())


def jpeg(sound: bytes, width: int, height: int) -> bytes:
    place = sound.index(b"\xff\xc0")
    return sound[: place + 5] + struct.pack(">HH", height, width) + sound[place + 9 :]


BYTES: dict[str, tuple[str, bytes, str]] = {
    "json nested 100 000 deep": ("json", b"[" * 100_000 + b"]" * 100_000, "recursion"),
    "json of 2 MB": ("json", b" " * (2 << 20), "allowed are 1048576"),
    "json with a name twice": ("json", b'{"key": 1, "key": 2}', "a name twice"),
    "json of a list": ("json", b"[]", "json is a list"),
    "json of null": ("json", b"null", "json is a NoneType"),
    "json of 5 000 digits": ("json", b"9" * 5000, "digits"),
    "json in other letters": ("json", b"\xff\xfe\x00\xd8", "Expecting value|codec"),
    "array of 2**40 numbers": ("vertices.npy", shaped("(1099511627776, 3)"), r"array is \(1099511627776, 3\)"),
    "array of 2**4000 numbers": ("vertices.npy", shaped(f"({2**4000}, 3)"), "array is"),
    "array of other order": ("vertices.npy", shaped("(6890, 3)", order="True"), "array is"),
    "array of objects": ("vertices.npy", shaped("(6890, 3)", "|O"), "array is"),
    "array with nothing behind": ("vertices.npy", shaped("(6890, 3)"), "array has 64 bytes, expected 82680"),
    "array of a formula": ("vertices.npy", npy(b"__import__('os').system('ls')\n"), "no header that makes sense"),
    "array nested deep": ("vertices.npy", npy(b"(" * 9000 + b"\n"), "array has no header that makes sense"),
    "array of version 3": ("vertices.npy", b"\x93NUMPY\x03\x00" + bytes(100), "npy version"),
    "labels of 2**40 bytes": ("contact.npy", shaped("(1099511627776,)", "|u1"), r"expected \(862,\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BYTES)
def test_a_member_that_is_not_what_it_says(name: str, sound: Members) -> None:
    member, content, says = BYTES[name]
    expect(packed({**sound, member: content}), says)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_vertices_out_of_this_world(value: float, sound: Members) -> None:
    stream = io.BytesIO()
    np.save(stream, np.full((6890, 3), value, "<f4"))
    expect(packed({**sound, "vertices.npy": stream.getvalue()}), "array has NaN, or coordinates beyond")


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (lambda jpg: jpeg(jpg, 65500, 65500), r"decode to the stored size .* but to \[65500, 65500\]"),
        (lambda jpg: b"\x89PNG\r\n\x1a\n" + bytes(100), "jpg is no JPEG"),
        (lambda jpg: jpg[:300], "index out of range|decode"),
        (lambda jpg: b"\xff\xd8\xff\xe0\x00\x00" * 100, "no header|index"),
        (lambda jpg: b"\xff\xd8", "index out of range"),
    ],
)
def test_a_picture_is_looked_at_before_it_is_decoded(
    picture: Callable[[bytes], bytes], says: str, sound: Members
) -> None:
    with pytest.raises(ShardError, match=says):
        decode_sample(packed({**sound, "jpg": picture(sound["jpg"])}))


def test_a_picture_cannot_claim_more_than_its_bytes_hold(sound: Members) -> None:
    meta = json.loads(sound["json"])
    meta |= {"stored_size": [8000, 8000], "stored_region": [0, 0, 8000, 8000]}
    with pytest.raises(ShardError, match="jpg claims 8000 x 8000 pixels in"):
        decode_sample(packed({**sound, "json": json.dumps(meta).encode(), "jpg": jpeg(sound["jpg"], 8000, 8000)}))


def of_type(kind: bytes, link: str = "a.json") -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "a.json":
            info.type, info.linkname = kind, link

    return change


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_file(kind: bytes, sound: Members) -> None:
    """Among them one that links to itself, and one that links to a file of this machine."""
    for link in ("a.json", "/etc/passwd"):
        expect(packed(sound, of_type(kind, link)), "is not a file, but of tar's type")


def header(name: str, kind: bytes, size: int, **sparse: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, 0
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    if sparse:
        block[386:] = sparse["fields"] + bytes(512 - 386 - len(sparse["fields"]))
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


TERA = tarfile.itn(10**12, 12, tarfile.GNU_FORMAT)
HEADERS = {
    "sparse of 1 TB": header("a.json", tarfile.GNUTYPE_SPARSE, 0, fields=bytes(96) + b"\0" + TERA),
    "plain of 1 TB": header("a.json", tarfile.REGTYPE, 10**12),
    "plain of -1": header("a.json", tarfile.REGTYPE, -1),
    "pax of 1 TB": header("x", tarfile.XHDTYPE, 10**12) + b"20 size=999999999\n",
    "pax that claims 1 TB": header("x", tarfile.XHDTYPE, 22) + b"22 size=1000000000000\n".ljust(512, b"\0")
    + header("a.json", tarfile.REGTYPE, 5),
    "pax without end": header("x", tarfile.XHDTYPE, 512) + b"9" * 512 + header("a.json", tarfile.REGTYPE, 5),
    "pax that is sparse": header("x", tarfile.XHDTYPE, 512)
    + b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n36 GNU.sparse.realsize=1000000000000\n".ljust(512, b"\0")
    + header("a.json", tarfile.REGTYPE, 5) + bytes(512),
    "3 000 long names": header("x", tarfile.GNUTYPE_LONGNAME, 0) * 3000 + header("a.json", tarfile.REGTYPE, 5),
    "noise": bytes(range(256)) * 4,
    "nothing": b"",
    "zeros": bytes(1024),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_tar_header_that_lies(name: str) -> None:
    expect(HEADERS[name], "")


def test_two_members_of_one_name() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a.json"))
    expect(stream.getvalue(), "'a.json' is there twice")


def test_two_hundred_mutations_are_noticed_or_harmless(sound: Members) -> None:
    """A sample has no check sum of its own (the index has): a changed number may pass, a crash may not."""
    data, drawn, refused = packed(sound), random.Random(1), 0
    for _ in range(200):
        content = bytearray(data)
        for _ in range(drawn.choice([1, 4])):
            place = drawn.randrange(len(content)) if drawn.random() < 0.3 else drawn.randrange(9000)
            content[place] = drawn.randrange(256)
        try:
            decode_sample(bytes(content))
        except ShardError:
            refused += 1
    assert refused > 20
