"""Writing shards: which sample goes into which tar, the tars themselves, and the index beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from numpy import ndarray

from sahmr.errors import ShardError
from sahmr.shards.reader import INDEX_NAME
from schemas.frame import FrameRecord
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry
from schemas.tables_write import to_table, write_table

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_GROUP_COLUMNS = ("dataset", "split", "sequence")
PLAN_COLUMNS = ("key", *_GROUP_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """One tar to write: its name and the samples that go in, in order."""

    name: str
    records: Sequence[FrameRecord]


def plan_shards(records: Iterable[FrameRecord], samples_per_shard: int) -> list[ShardPlan]:
    """Deal records onto shards; see :func:`deal`."""
    records = list(records)
    columns = {name: pa.array([getattr(record, name) for record in records], pa.string()) for name in PLAN_COLUMNS}
    return [
        ShardPlan(name=name, records=tuple(records[row] for row in rows))
        for name, rows in deal(pa.table(columns), samples_per_shard)
    ]


def deal(frames: pa.Table, samples_per_shard: int) -> list[tuple[str, Int[ndarray, " rows"]]]:
    """Deal the samples of one dataset onto shards, sequence by sequence, sorted by key: names and rows of each.

    No shard holds samples of two sequences, so a sequence that comes, goes or changes leaves all other shards alone.

    Args:
        frames: ``PLAN_COLUMNS`` of the frame table.
        samples_per_shard: at most this many lie in a shard.

    Raises:
        ShardError: if a key occurs twice or has a dot, a sequence lies in two splits, or two sequences would share
            file names.
    """
    order = pc.sort_indices(frames, sort_keys=[("key", "ascending")]).to_numpy().astype(np.int64)
    keys = frames.column("key").take(pa.array(order))
    wrong = pc.match_substring(keys, ".").to_numpy().copy()
    wrong[1:] |= pc.equal(keys.slice(1), keys.slice(0, max(0, len(keys) - 1))).to_numpy()
    if wrong.any():
        key = keys[int(np.argmax(wrong))]
        raise ShardError(f"frame table: key '{key}' occurs twice or has a dot; run: dvc repro frames")
    groups = pc.binary_join_element_wise(*(frames.column(name) for name in _GROUP_COLUMNS), "\0")
    groups = groups.combine_chunks().dictionary_encode()
    parts = [text.split("\0") for text in groups.dictionary.to_pylist()]
    names = [f"{dataset}-{split}-{_NOT_IN_NAMES.sub('-', sequence)}" for dataset, split, sequence in parts]
    _check_groups(parts, names)
    codes = groups.indices.to_numpy(zero_copy_only=False)[order]
    rows = np.split(order[np.argsort(codes, kind="stable")], np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    return [
        (f"{name}-{number:06d}.tar", run[start : start + samples_per_shard])
        for name, run in sorted(zip(names, rows, strict=True), key=lambda pair: pair[0])
        for number, start in enumerate(range(0, len(run), samples_per_shard))
    ]


def _check_groups(groups: list[list[str]], names: list[str]) -> None:
    """Whether each sequence has one split, and a name of its own."""
    splits: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for (_, split, sequence), name in zip(groups, names, strict=True):
        if splits.setdefault(sequence, split) != split:
            raise ShardError(f"frame table: sequence {sequence} is in two splits; run: dvc repro frames")
        if by_name.setdefault(name, sequence) != sequence:
            raise ShardError(f"sequences {by_name[name]} and {sequence} would both be '{name}'; rename one")


def write_shard(
    folder: Path, name: str, samples: Iterable[tuple[FrameRecord, Mapping[str, bytes]]]
) -> list[ShardEntry]:
    """Write one tar and say where each sample lies in it.

    Args:
        folder: where the tar goes; it gets its final name at once, so this must be a folder still to be published.
        name: file name.
        samples: records and their members, as from :func:`sahmr.shards.encode.encode_sample`.
    """
    import webdataset  # not earlier: it loads torch, seconds that only the process that writes has to wait

    path = folder / name
    records: list[FrameRecord] = []
    ends = [0]
    with path.open("wb") as stream, webdataset.TarWriter(stream, mtime=0, encoder=False) as writer:
        for record, members in samples:
            writer.write({"__key__": record.key, **members})
            records.append(record)
            ends.append(int(writer.tarstream.offset))
    data = path.read_bytes()
    return [
        ShardEntry(
            key=record.key,
            split=record.split,
            sequence=record.sequence,
            scene_key=record.scene_key,
            shard=name,
            offset=start,
            length=end - start,
            sha256=hashlib.sha256(data[start:end]).hexdigest(),
            has_body=record.body_file is not None,
            has_contact=record.contact_file is not None,
            crc32c=google_crc32c.value(data[start:end]),
        )
        for record, start, end in zip(records, ends, ends[1:], strict=False)
    ]


def write_index(folder: Path, entries: Iterable[ShardEntry]) -> None:
    """Write the index of a folder of shards, sorted by key."""
    rows = sorted(entries, key=lambda entry: entry.key)
    write_table(folder / INDEX_NAME, to_table(rows, SHARD_INDEX_SCHEMA))
