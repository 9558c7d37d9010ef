"""Shards: which sample goes into which tar, the tars themselves, and the index beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import webdataset

from sahmr.errors import ShardError
from schemas.fields import from_table, read_table, to_table, write_table
from schemas.frame import FrameRecord
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry

INDEX_NAME = "index.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """One tar to write: its name and the samples that go in, in order."""

    name: str
    records: tuple[FrameRecord, ...]


def plan_shards(records: Iterable[FrameRecord], samples_per_shard: int) -> list[ShardPlan]:
    """Deal the samples of one dataset onto shards: by split, sorted by key.

    Raises:
        ShardError: if a key occurs twice or has a dot, or a sequence lies in two splits.
    """
    by_split: dict[str, list[FrameRecord]] = {}
    split_of: dict[str, str] = {}
    keys: set[str] = set()
    for record in sorted(records, key=lambda r: r.key):
        if record.key in keys or "." in record.key:
            raise ShardError(f"frame table: key '{record.key}' occurs twice or has a dot; run: dvc repro frames")
        if split_of.setdefault(record.sequence, record.split) != record.split:
            raise ShardError(f"frame table: sequence {record.sequence} is in two splits; run: dvc repro frames")
        keys.add(record.key)
        by_split.setdefault(record.split, []).append(record)
    plans = []
    for split, rows in sorted(by_split.items()):
        for number, start in enumerate(range(0, len(rows), samples_per_shard)):
            name = f"{rows[0].dataset}-{split}-{number:06d}.tar"
            plans.append(ShardPlan(name=name, records=tuple(rows[start : start + samples_per_shard])))
    return plans


def write_shard(folder: Path, plan: ShardPlan, samples: Iterable[Mapping[str, bytes]]) -> list[ShardEntry]:
    """Write one tar, complete or not at all, and say where each sample lies in it.

    Args:
        folder: where the tar goes.
        plan: its name and records.
        samples: the members of each record, in the same order, as from :func:`sahmr.data.shards.encode_sample`.

    Raises:
        ShardError: if there are fewer or more samples than records.
    """
    final, partial = folder / plan.name, folder / f".{plan.name}.{os.getpid()}.partial"
    ends: list[int] = []
    waiting = iter(samples)
    try:
        with partial.open("wb") as stream:
            with webdataset.TarWriter(stream, mtime=0, encoder=False) as writer:
                for record, members in zip(plan.records, waiting, strict=False):
                    writer.write({"__key__": record.key, **members})
                    ends.append(int(writer.tarstream.offset))
            stream.flush()
            os.fsync(stream.fileno())
        if len(ends) != len(plan.records) or next(waiting, None) is not None:
            raise ShardError(
                f"{plan.name}: planned {len(plan.records)} samples, wrote {len(ends)}; run: dvc repro shards"
            )
        data = partial.read_bytes()
        partial.rename(final)
    finally:
        partial.unlink(missing_ok=True)
    return [
        ShardEntry(
            key=record.key,
            split=record.split,
            sequence=record.sequence,
            scene_key=record.scene_key,
            shard=plan.name,
            offset=start,
            length=end - start,
            sha256=hashlib.sha256(data[start:end]).hexdigest(),
        )
        for record, start, end in zip(plan.records, [0, *ends[:-1]], ends, strict=True)
    ]


def write_index(folder: Path, entries: Iterable[ShardEntry]) -> None:
    """Write the index of a folder of shards, sorted by key."""
    rows = sorted(entries, key=lambda entry: entry.key)
    write_table(folder / INDEX_NAME, to_table(rows, SHARD_INDEX_SCHEMA))


def read_index(folder: Path) -> list[ShardEntry]:
    """Rows of a shard folder's index, sorted by key.

    Raises:
        ShardError: if there is no index.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise ShardError(f"{path}: no shard index; make it with: dvc repro shards")
    return from_table(read_table(path, SHARD_INDEX_SCHEMA), ShardEntry)
