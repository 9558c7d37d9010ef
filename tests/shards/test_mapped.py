"""A large index is mapped from a copy that is made once; whatever happens to the copy, the rows stay the index's."""

import os
import shutil
from pathlib import Path

import pytest

from sahmr.batches.dataset import SampleDataset
from sahmr.errors import ShardError
from sahmr.shards import mapped, reader
from sahmr.shards.reader import read_index
from sahmr.shards.write import write_index


@pytest.fixture
def shards(small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(small_world / "shards/rich", tmp_path / "rich")
    monkeypatch.setattr(reader, "MAPPED_BYTES", 0)
    return tmp_path / "rich"


def copies() -> list[Path]:
    return sorted(mapped.cache_folder().glob("*"))


def test_rows_are_those_of_the_index(shards: Path, small_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = list(read_index(shards)), list(read_index(shards))
    (copy,) = copies()
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    checked: list[object] = []
    monkeypatch.setattr(reader, "check_index", lambda *args: checked.append(args))
    samples = SampleDataset(shards, small_world / "scenes/rich.zarr", "train", where="has_contact")
    assert not checked  # it was, when the copy was made
    monkeypatch.undo()
    plain = read_index(small_world / "shards/rich")
    assert first == second == list(plain)
    assert list(samples.entries) == [row for row in plain if row.split == "train" and row.has_contact]
    assert samples.entries[1:3][1] == samples.entries[2]
    assert samples.entries.table.num_rows == len(samples.entries) == 5


def test_a_damaged_copy_is_made_again(shards: Path) -> None:
    rows = list(read_index(shards))
    for damage in (b"", b"ARROW1\0\0 and more", copies()[0].read_bytes()[:-100]):
        copies()[0].write_bytes(damage)
        assert list(read_index(shards)) == rows
        assert copies()[0].stat().st_size > 1000


def test_another_index_has_another_copy(shards: Path) -> None:
    rows = list(read_index(shards))
    write_index(shards, rows[:-1])
    assert list(read_index(shards)) == rows[:-1]
    assert len(copies()) == 2
    for number in range(mapped._KEPT + 2):
        write_index(shards, rows[: 1 + number % 5])
        read_index(shards)
    assert len(copies()) == mapped._KEPT


def test_shards_are_looked_at_every_time(shards: Path) -> None:
    entry = read_index(shards)[0]
    content = (shards / entry.shard).read_bytes()
    (shards / entry.shard).write_bytes(content[:1000])
    with pytest.raises(ShardError, match=r"has 1000 bytes, its samples end at.*dvc repro shards"):
        read_index(shards)
    (shards / entry.shard).unlink()
    with pytest.raises(ShardError, match="no such shard, but the index names it"):
        read_index(shards)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_told(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(ShardError, match="set XDG_CACHE_HOME"):
        read_index(shards)


def test_a_cache_that_is_a_file_is_told(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ShardError, match="set XDG_CACHE_HOME"):
        read_index(shards)
