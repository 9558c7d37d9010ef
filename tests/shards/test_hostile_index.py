"""An index that leads elsewhere is refused when it is opened, and by the reader, whoever made the entry."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sahmr.batches.dataset import SampleDataset
from sahmr.errors import ShardError
from sahmr.shards.reader import ShardReader, read_index
from sahmr.shards.write import write_index
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry
from schemas.tables_write import to_table, write_table

Change = Callable[[list[ShardEntry]], list[ShardEntry]]


def first(**values: Any) -> Change:
    return lambda rows: [replace(rows[0], **values), *rows[1:]]


def named(name: str) -> tuple[Change, str]:
    return first(shard=name), "is no plain file name ending in .tar"


CASES: dict[str, tuple[Change, str]] = {
    "absolute": named("/etc/passwd"),
    "device": named("/dev/zero"),
    "above": named("../x.tar"),
    "below": named("a/b.tar"),
    "hidden": named(".x.tar"),
    "dots": named(".."),
    "backslash": named("..\\x.tar"),
    "NUL": named("a\0b.tar"),
    "newline": (first(shard="a\n.tar"), "no such shard"),
    "empty name": named(""),
    "no tar": named("index.parquet"),
    "long name": (first(shard="a" * 5000 + ".tar"), "cannot be looked at"),
    "gone": (first(shard="gone.tar"), "gone.tar: no such shard"),
    "pipe": (first(shard="pipe.tar"), "pipe.tar: is a link, a pipe, a device or a folder"),
    "link": (first(shard="link.tar"), "link.tar: is a link, a pipe, a device or a folder"),
    "folder": (first(shard="folder.tar"), "folder.tar: is a link, a pipe, a device or a folder"),
    "negative offset": (first(offset=-512), r"offset that is no multiple of 512 \(found -512\)"),
    "odd offset": (first(offset=100), r"offset that is no multiple of 512 \(found 100\)"),
    "huge offset": (first(offset=2**62), "ends behind the end of its shard"),
    "largest offset": (first(offset=2**63 - 512, length=1024), "ends behind the end of its shard"),
    "negative length": (first(length=-512), r"length that is no multiple of 512 \(found -512\)"),
    "no length": (first(length=0), r"length that is no multiple of 512 \(found 0\)"),
    "odd length": (first(length=513), r"length that is no multiple of 512 \(found 513\)"),
    "huge length": (first(length=2**62), "ends behind the end of its shard"),
    "overlap": (lambda rows: [rows[0], replace(rows[1], offset=rows[0].offset), *rows[2:]], "overlaps the sample"),
    "same key": (lambda rows: [rows[0], *rows], "keys must be unique and sorted"),
    "not sorted": (lambda rows: [rows[1], rows[0], *rows[2:]], "keys must be unique and sorted"),
}


@pytest.fixture
def folder(small_world: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "rich"
    shutil.copytree(small_world / "shards/rich", copy)
    os.mkfifo(copy / "pipe.tar")
    (copy / "folder.tar").mkdir()
    (copy / "link.tar").symlink_to(next(copy.glob("rich-train*.tar")).name)
    return copy


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_index_is_one_error(name: str, folder: Path) -> None:
    change, message = CASES[name]
    rows = change(list(read_index(folder)))
    write_table(folder / "index.parquet", to_table(rows, SHARD_INDEX_SCHEMA))
    with pytest.raises(ShardError, match=rf"{message}.*rebuild with: dvc repro shards$"):
        read_index(folder)


READER = {name: case for name, case in CASES.items() if not {"same key", "not sorted", "overlap", "no length"} & {name}}


@pytest.mark.parametrize("name", READER)
def test_the_reader_believes_no_entry_either(name: str, folder: Path) -> None:
    entry = READER[name][0](list(read_index(folder)))[0]
    with pytest.raises(ShardError, match="rebuild with: dvc repro shards"):
        ShardReader(folder).read(entry, verify=True)


def test_an_index_stays_columns(folder: Path) -> None:
    index = read_index(folder)
    entries = list(index)
    assert index[0] == entries[0] and index[-1] == entries[-1] and list(index[1:3]) == entries[1:3]
    assert len(index) == len(entries) == 9
    with pytest.raises(IndexError):
        index[9]
    write_index(folder, entries)
    assert list(read_index(folder)) == entries


def test_a_dataset_travels_small_and_notices_another_index(small_world: Path, folder: Path) -> None:
    samples = SampleDataset(folder, small_world / "scenes/rich.zarr", "train")
    sent = pickle.dumps(samples)
    assert len(sent) < 1000
    assert list(pickle.loads(sent).entries) == list(samples.entries)
    write_index(folder, list(read_index(folder))[1:])
    with pytest.raises(ShardError, match="the index changed while it was in use"):
        pickle.loads(sent)
