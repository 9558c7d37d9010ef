"""The loader's index at ten million rows, and raw reads of samples with and without checksums. Part of ``make bench``.

The index is opened in processes of their own: once to make its mapped copy, once more as every later process opens it.
Reads are of one folder of tars, in a shuffled order by index, and by ``webdataset`` from first to last; the median of
five rounds, all in one process, per second of its processor time. Prints seconds, memory of the process alone, samples
a second and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.benchmarks.figures import record

ROWS, PIECE, SHARD, LENGTH = 10**7, 10**5, 1000, 51200
READS, ROUNDS = 2000, 5


def fabricate(folder: Path, rows: int) -> dict[str, Any]:
    """An index of so many rows in two splits, its shards (of zeros that take no room) and a store with no scene."""
    from sahmr.scenes.build import create_store
    from schemas.shard import SHARD_INDEX_SCHEMA
    from schemas.tables_write import table_writer

    create_store(folder / "scenes.zarr", "rich")
    (folder / "shards").mkdir()
    draw = np.random.default_rng(0)
    with table_writer(folder / "shards/index.parquet", SHARD_INDEX_SCHEMA) as writer:
        for start in range(0, rows, PIECE):
            numbers = np.arange(start, min(rows, start + PIECE))
            texts = draw.bytes(32 * len(numbers)).hex()
            sequences = [f"ParkingLot{number // 5000:05d}_007_overfence" for number in numbers]
            columns: dict[str, Any] = {
                "key": [f"{name}_{number:08d}_00" for name, number in zip(sequences, numbers, strict=True)],
                "split": np.where(numbers // 5000 % 10 == 0, "val", "train"),
                "sequence": sequences,
                "scene_key": [f"Scene{number // 5000 % 40}" for number in numbers],
                "shard": [f"rich-{number // SHARD:06d}.tar" for number in numbers],
                "offset": numbers % SHARD * LENGTH,
                "length": np.full(len(numbers), LENGTH),
                "sha256": [texts[64 * row : 64 * row + 64] for row in range(len(numbers))],
                "has_body": np.ones(len(numbers), bool),
                "has_contact": numbers % 2 == 0,
                "crc32c": numbers,
            }
            writer.write(pa.Table.from_pydict(columns, schema=SHARD_INDEX_SCHEMA))
    for number in range(-(-rows // SHARD)):
        with (folder / f"shards/rich-{number:06d}.tar").open("wb") as stream:
            stream.truncate(SHARD * LENGTH + 1024)
    return {"index_mb": (folder / "shards/index.parquet").stat().st_size / 1e6}


def memory_mb() -> dict[str, int]:
    """What a process has of its own, and of mapped files: pages that processes share and the system may take back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    said = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if "Rss" in name}
    return {"own_mb": said["RssAnon"] // 1024, "of_files_mb": said["RssFile"] // 1024}


def open_index(folder: Path, where: str = "") -> dict[str, Any]:
    """Open a split as a loader does, and look at a thousand rows."""
    from sahmr.batches.dataset import SampleDataset

    before, start, busy = memory_mb(), time.perf_counter(), time.process_time()
    samples = SampleDataset(folder / "shards", folder / "scenes.zarr", "train", where=where)
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    start = time.perf_counter()
    for number in np.random.default_rng(0).integers(0, len(samples), 1000).tolist():
        assert samples.entries[number].length == LENGTH
    row_us = (time.perf_counter() - start) * 1000
    after = memory_mb()
    return {
        "rows": len(samples),
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        **{name: after[name] - before[name] for name in after},
        "row_us": round(row_us, 1),
    }


def reads(folder: Path) -> dict[str, Any]:
    """Samples per second of processor time, and how many times as many as ``webdataset`` reads; medians over rounds."""
    import google_crc32c
    import webdataset as wds

    from sahmr.shards.reader import ShardReader, read_index

    plain = ShardReader(folder, is_checked=False)
    entries = [replace(entry, crc32c=google_crc32c.value(plain.read(entry))) for entry in read_index(folder)]
    order = np.random.default_rng(0).permutation(READS) % len(entries)
    tars = sorted(str(path) for path in folder.glob("*.tar"))
    ways = {
        "unchecked": (plain, False),
        "crc32c": (ShardReader(folder), False),
        "sha256": (ShardReader(folder), True),
    }
    found: dict[str, list[float]] = {name: [] for name in (*ways, "webdataset")}
    for _ in range(ROUNDS):
        for name, (reader, verify) in ways.items():
            start = time.process_time()
            for number in order:
                reader.read(entries[number], verify=verify)
            found[name].append(len(order) / (time.process_time() - start))
        start, count = time.process_time(), 0
        for _ in range(max(1, READS // len(entries))):
            count += sum(1 for _ in wds.WebDataset(tars, shardshuffle=False))
        found["webdataset"].append(count / (time.process_time() - start))
    rates = {name: round(statistics.median(values)) for name, values in found.items()}
    pairs = {name: zip(found[name], found["webdataset"], strict=True) for name in ways}
    ratios = {name: round(statistics.median(a / b for a, b in each), 2) for name, each in pairs.items()}
    return {**rates, "times_webdataset": ratios}


def _in_process(step: str, folder: Path, rows: int) -> Any:
    command = [sys.executable, "-m", "tests.benchmarks.loader", "--step", step, "--folder", folder, "--rows", str(rows)]
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """All steps, each in a process of its own; ``--step`` is one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", choices=("fabricate", "open", "filter"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--shards", type=Path, default=Path("data/shards/rich"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.step:
        where = "has_contact and scene_key == 'Scene7'" if args.step == "filter" else ""
        done = fabricate(args.folder, args.rows) if args.step == "fabricate" else open_index(args.folder, where)
        print(json.dumps(done))
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for title, step in (("fabricate", "fabricate"), ("first open", "open"), ("open", "open"), ("filter", "filter")):
            figures[title] = _in_process(step, Path(name), args.rows)
            print(f"{title:<12}{figures[title]}", flush=True)
    if args.shards.is_dir():
        figures["reads_per_s"] = reads(args.shards)
        print(f"{'reads/s':<12}{figures['reads_per_s']}")
    record(args.out, "python -m tests.benchmarks.loader", figures)


if __name__ == "__main__":
    main()
