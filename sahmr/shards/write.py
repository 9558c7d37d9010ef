"""Writing shards: which sample goes into which tar, the tars themselves, and the index beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sahmr.errors import ShardError
from sahmr.shards.reader import INDEX_NAME
from schemas.fields import to_table, write_table
from schemas.frame import FrameRecord
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """One tar to write: its name and the samples that go in, in order."""

    name: str
    records: tuple[FrameRecord, ...]


def plan_shards(records: Iterable[FrameRecord], samples_per_shard: int) -> list[ShardPlan]:
    """Deal the samples of one dataset onto shards, sequence by sequence, sorted by key.

    No shard holds samples of two sequences, so a sequence that comes, goes or changes leaves all other shards alone.

    Raises:
        ShardError: if a key occurs twice or has a dot, a sequence lies in two splits, or two sequences would share
            file names.
    """
    by_name: dict[str, list[FrameRecord]] = {}
    split_of: dict[str, str] = {}
    keys: set[str] = set()
    for record in sorted(records, key=lambda r: r.key):
        if record.key in keys or "." in record.key:
            raise ShardError(f"frame table: key '{record.key}' occurs twice or has a dot; run: dvc repro frames")
        if split_of.setdefault(record.sequence, record.split) != record.split:
            raise ShardError(f"frame table: sequence {record.sequence} is in two splits; run: dvc repro frames")
        keys.add(record.key)
        name = f"{record.dataset}-{record.split}-{_NOT_IN_NAMES.sub('-', record.sequence)}"
        rows = by_name.setdefault(name, [])
        if rows and rows[0].sequence != record.sequence:
            raise ShardError(f"sequences {rows[0].sequence} and {record.sequence} would both be '{name}'; rename one")
        rows.append(record)
    return [
        ShardPlan(name=f"{name}-{number:06d}.tar", records=tuple(rows[start : start + samples_per_shard]))
        for name, rows in sorted(by_name.items())
        for number, start in enumerate(range(0, len(rows), samples_per_shard))
    ]


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
        )
        for record, start, end in zip(records, ends, ends[1:], strict=False)
    ]


def write_index(folder: Path, entries: Iterable[ShardEntry]) -> None:
    """Write the index of a folder of shards, sorted by key."""
    rows = sorted(entries, key=lambda entry: entry.key)
    write_table(folder / INDEX_NAME, to_table(rows, SHARD_INDEX_SCHEMA))
