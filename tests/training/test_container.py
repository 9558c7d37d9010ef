"""Hostile checkpoints: one error each, whatever they claim, before torch allocates, hashes or calls anything."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sahmr.errors import CheckpointError
from sahmr.training.checkpoint import read_checkpoint, save_atomically
from tests.training.test_checkpoint import checkpoint

TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    b"X\x03\x00\x00\x00cpu\x8a\x08%stQK\x00\x8a\x08%s\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
)


def container(description: bytes, storage: bytes = bytes(16)) -> bytes:
    """A checkpoint as torch writes it, around any pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in {
            "data.pkl": description,
            "byteorder": b"little",
            "data/0": storage,
            "version": b"3",
        }.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return stream.getvalue()


def entry(value: bytes, key: bytes = b"X\x01\x00\x00\x00a") -> bytes:
    return b"\x80\x02}" + key + value + b"s."


def tensor(count: int, side: int) -> bytes:
    return TENSOR % (struct.pack("<q", count), struct.pack("<q", side))


def nested(depth: int, *, times: int = 1) -> bytes:
    """A tuple in a tuple in a tuple ...; with ``times`` 2 each holds the one before twice."""
    again = b"q\x00h\x00" if times == 2 else b""
    close = b"\x86" if times == 2 else b"\x85"
    return b")" + (again + close) * depth


def two_of_one_name(content: bytes) -> bytes:
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(zipfile.ZipInfo("archive/DATA/0"), bytes(16))  # torch finds either
    return stream.getvalue()


def packed(content: bytes) -> bytes:
    """The same members, compressed: a gigabyte of zeros would be a megabyte."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    return stream.getvalue()


def legacy(content: bytes) -> bytes:
    """The container of torch before 1.6: magic number, protocol and machine, then the content."""
    heads = [pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    content = content.replace(b"tQ", b"NtQ")  # a storage is described by one value more
    return b"".join([*heads, content, pickle.dumps(["0"], protocol=2), struct.pack("<q", 4), bytes(16)])


SOUND = entry(tensor(4, 4))
CASES = {
    "storage of 2**40 numbers": (container(entry(tensor(2**40, 4))), "claims 4398046511104 bytes, found 16"),
    "storage of -1 numbers": (container(entry(tensor(-1, 4))), "claim -1 makes no sense"),
    "tensor beyond its storage": (container(entry(tensor(4, 2**40))), "out of bounds|not a readable"),
    "storage that is not there": (container(SOUND.replace(b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x009")), "found none"),
    "legacy storage of 2**40 numbers": (legacy(entry(tensor(2**40, 4))), "tensors claim 4398046511104 bytes"),
    "tuple 20 000 deep as a key": (container(entry(b"N", nested(20_000))), "a key of type tuple"),
    "tuple doubled 40 times as a key": (container(entry(b"N", nested(40, times=2))), "a key of type tuple"),
    "legacy tuple as a key": (legacy(entry(b"N", nested(20_000))), "a key of type tuple"),
    "a huge number as a key": (container(entry(b"N", b"\x8a\x08" + struct.pack("<q", 2**61 - 1))), "a key of type int"),
    "a tuple in a set": (container(b"\x80\x04\x8f(" + nested(20_000) + b"\x90."), "a set"),
    "value 20 000 deep": (container(entry(nested(20_000))), "lacks what every checkpoint has"),
    "value of 2**60 items": (container(entry(nested(60, times=2), b"X\x05\x00\x00\x00stage")), "lacks"),
    "a description of 5 MB": (container(b"\x80\x02}(" + b"K\x01N" * 1_700_000 + b"u."), "more than 4,194,304 bytes"),
    "a bytearray of 100 GB": (
        container(entry(b"c__builtin__\nbytearray\n\x8a\x08" + struct.pack("<q", 10**11) + b"\x85R")),
        r"it wants to call '__builtin__\.bytearray'",
    ),
    "a quantized tensor": (container(entry(b"ctorch._utils\n_rebuild_qtensor\n)R")), "'a' is no ordinary tensor"),
    "a memo at 2**28": (container(b"\x80\x02Nr\x00\x00\x00\x10."), "holds a NoneType"),
    "a text of 2**40 letters": (container(b"\x80\x04\x8d" + struct.pack("<q", 2**40) + b"."), "not a readable"),
    "compressed": (packed(container(SOUND)), "compressed"),
    "two members of one name": (two_of_one_name(container(SOUND)), "5 members, some of one name"),
    "tensors of other bytes than described": (container(SOUND, bytes(12)), "claims 16 bytes, found 12"),
    "no description": (container(SOUND).replace(b"data.pkl", b"data.pkx"), "not a readable"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_one_error_and_little_memory(name: str, tmp_path: Path) -> None:
    content, says = CASES[name]
    (tmp_path / "x.pth").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=rf"x\.pth: .*{says}") as told:
            read_checkpoint(tmp_path / "x.pth")
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert len(str(told.value)) < 600


def test_the_case_maker_makes_sound_files(tmp_path: Path) -> None:
    for content in (container(SOUND), legacy(SOUND)):
        (tmp_path / "x.pth").write_bytes(content)
        assert torch.equal(torch.load(tmp_path / "x.pth")["a"], torch.zeros(4))
        with pytest.raises(CheckpointError, match="found 1 entries: a"):
            read_checkpoint(tmp_path / "x.pth")


def flipped(content: bytes) -> bytes:
    return content.replace(b"train_rcnet", b"train_rcmet")


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-9], flipped])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [("rcnet.pt", "rebuild with: dvc repro train_rcnet"), ("sahmr.pt", "rebuild with: dvc repro train_sahmr"),
     ("sahmr_rich_e30.pth", "fetch it again")],
)  # fmt: skip
def test_what_to_do_depends_on_whose_it_is(
    name: str, remedy: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    save_atomically(tmp_path / "whole.pt", {"stage": "train_rcnet", "network": checkpoint().network})
    (tmp_path / name).write_bytes(damage((tmp_path / "whole.pt").read_bytes()))
    with pytest.raises(CheckpointError, match=rf"{name}: not a readable checkpoint: .*; {remedy}$"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epoch": -1}, "'epoch' is -1"),
        ({"epoch": 10**400}, "'epoch' is a int"),
        ({"epoch": True}, "'epoch' is True"),
        ({"stage": ["a"] * 100}, "'stage' is a list"),
        ({"dropped": (1,)}, "'dropped' holds something else"),
        ({"behaviour": ["x"] * 1000}, "behaviour has a list"),
        ({"network": [torch.ones(1)]}, "'network' is a list"),
        ({"network": {"a": "b"}}, "'a' is no ordinary tensor but str"),
    ],
)
def test_values_out_of_range(change: dict[str, object], says: str, tmp_path: Path) -> None:
    whole = {"stage": "s", "epoch": 1, "size": "demo", "behaviour": {}, "network": {}}
    save_atomically(tmp_path / "x.pt", whole | change)
    with pytest.raises(CheckpointError, match=says) as told:
        read_checkpoint(tmp_path / "x.pt")
    assert len(str(told.value)) < 400


def test_a_behaviour_of_tensors(tmp_path: Path) -> None:
    save_atomically(tmp_path / "x.pt", {"stage": "s", "epoch": 1, "size": "demo", "network": {}, "behaviour": {
        "rounding": torch.ones(2), "vote": "softmax_sigmoid", "part_position_shift": True, "contact_sampling": "x",
        "anchor_spacing": float("nan"), "roi_radius": 1.0,
    }})  # fmt: skip
    with pytest.raises(CheckpointError, match="behaviour has rounding a Tensor, allowed are"):
        read_checkpoint(tmp_path / "x.pt")
