"""The fast way through tar headers says the same as ``tarfile``, or nothing."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sahmr.errors import ShardError
from sahmr.shards.members import plain_members
from sahmr.shards.reader import ShardReader, read_index
from tests.worlds import small


def by_tarfile(data: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return [(info.name, info.offset_data, info.size) for info in tar]


def test_samples_are_plain(small_world: Path) -> None:
    reader = ShardReader(small_world / "shards/rich")
    for entry in read_index(reader.folder):
        data = reader.read(entry)
        assert plain_members(data) == by_tarfile(data)
        assert plain_members(data + bytes(1024)) == by_tarfile(data)


def test_damaged_headers_are_left_to_tarfile(small_world: Path) -> None:
    reader, draw, known = ShardReader(small_world / "shards/rich"), np.random.default_rng(5), 0
    data = reader.read(read_index(reader.folder)[0])
    headers = [start - 512 for _, start, _ in by_tarfile(data)]
    for _ in range(300):
        wrong = bytearray(data)
        wrong[int(draw.choice(headers)) + int(draw.integers(0, 512))] ^= int(draw.integers(1, 256))
        assert plain_members(bytes(wrong)) is None
        cut = data[: int(draw.integers(0, len(data)))]
        if found := plain_members(cut):
            known += 1
            assert found == by_tarfile(cut)
    assert known < 10


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE])
def test_what_is_no_file_is_left_to_tarfile(kind: bytes) -> None:
    info = tarfile.TarInfo("a.json")
    info.type, info.linkname = kind, "b.json"
    assert plain_members(info.tobuf()) is None
    info.type, info.linkname = tarfile.REGTYPE, ""
    assert plain_members(info.tobuf()) == [("a.json", 512, 0)]
    assert plain_members(info.tobuf() * 2) is None  # there twice
    info.name = "long/" * 30 + "a.json"
    assert plain_members(info.tobuf(tarfile.USTAR_FORMAT)) is None


def test_a_shard_cut_off_while_open_is_an_error(tmp_path: Path) -> None:
    small.write_world(tmp_path)
    reader = ShardReader(tmp_path / "shards/rich")
    last = max(read_index(reader.folder), key=lambda entry: entry.offset)
    reader.read(last)
    os.truncate(reader.folder / last.shard, last.offset + 100)
    with pytest.raises(ShardError, match=f"sample {last.key}: found 100 of {last.length} bytes; rebuild with"):
        reader.read(last)
