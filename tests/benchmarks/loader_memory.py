"""Memory of a loader over epochs and with a larger data set, and how mixed its batches are. Part of ``make bench``.

After ``make repro``. Each measurement is a process of its own that loads RICH-demo's training samples: memory of the
process alone (not what it shares with others) after the second epoch, when every scene and camera was seen, and after
the last; then with an index that names every sample twenty times, over as many samples. Distinct sequences of a
batch are counted from the order alone, and divided by what independent draws would give.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.batches.order import Steps
from sahmr.shards.reader import INDEX_NAME
from schemas.fields import read_table
from schemas.shard import SHARD_INDEX_SCHEMA
from schemas.tables_write import write_table
from tests.benchmarks.figures import record
from tests.benchmarks.loader import memory_mb
from tests.imports import ROOT

DATA = Path("data")
EPOCHS, TIMES, BATCH = 20, 20, 16


def enlarge(folder: Path, times: int) -> None:
    """Shards of the demo, linked so many times under other names, and their index."""
    index, parts = read_table(DATA / "shards/rich" / INDEX_NAME, SHARD_INDEX_SCHEMA), []
    for copy in range(times):
        columns = {name: index.column(name).to_pylist() for name in index.column_names}
        columns["key"] = [f"{copy:02d}_{key}" for key in columns["key"]]
        columns["shard"] = [f"{copy:02d}-{shard}" for shard in columns["shard"]]
        parts.append(pa.Table.from_pydict(columns, schema=SHARD_INDEX_SCHEMA))
        for path in (DATA / "shards/rich").glob("*.tar"):
            (folder / f"{copy:02d}-{path.name}").hardlink_to(path)
    write_table(folder / INDEX_NAME, pa.concat_tables(parts))


def load(shards: Path, epochs: int, per_epoch: int) -> dict[str, int]:
    """Megabytes after the second epoch of so many samples and after the last."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    samples = SampleDataset(shards, DATA / "scenes/rich.zarr", "train", is_training=True, seed=66)
    loader = make_loader(samples, batch_size=BATCH, seed=66, steps_per_epoch=per_epoch // BATCH)
    found = {}
    for epoch in range(epochs):
        for _ in loader.epoch(epoch):
            pass
        found["first" if epoch < 2 else "last"] = memory_mb()["own_mb"]
    return {"samples": len(samples), **found}


def distinct_sequences(shards: Path, batches: int = 2000, size: int = 64) -> dict[str, float]:
    """Mean number of sequences in a batch, expected number of independent draws, and their ratio."""
    samples = SampleDataset(shards, DATA / "scenes/rich.zarr", "train", is_training=True, seed=66)
    codes = np.unique(samples.entries.column("sequence").cast(pa.string()).to_numpy(), return_inverse=True)[1]
    steps = Steps(samples.order(66), size, short="drop")
    counts = [len(np.unique(codes[[number for _, number in steps.batch(step)]])) for step in range(batches)]
    shares = np.bincount(codes) / len(codes)
    expected = float((1 - (1 - shares) ** size).sum())
    return {"mean": round(float(np.mean(counts)), 2), "expected": round(expected, 2),
            "ratio": round(float(np.mean(counts)) / expected, 4)}  # fmt: skip


def _in_process(shards: Path, epochs: int, per_epoch: int) -> dict[str, int]:
    step = json.dumps([str(shards), epochs, per_epoch])
    command = [sys.executable, "-m", "tests.benchmarks.loader_memory", "--step", step]
    found: dict[str, int] = json.loads(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    )
    return found


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--step", help="one measurement: shards, epochs, samples of an epoch, as JSON")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.step:
        shards, epochs, per_epoch = json.loads(args.step)
        print(json.dumps(load(Path(shards), epochs, per_epoch)))
        return
    if not (DATA / "shards/rich").is_dir():
        print("nothing to measure before make repro")
        return
    figures: dict[str, Any] = {"distinct_sequences": distinct_sequences(DATA / "shards/rich")}
    with tempfile.TemporaryDirectory(dir=DATA.resolve().parent, prefix=".bench-") as name:
        enlarge(Path(name), args.times)
        per_epoch = len(SampleDataset(DATA / "shards/rich", DATA / "scenes/rich.zarr", "train"))
        figures["demo"] = _in_process(DATA / "shards/rich", args.epochs, per_epoch)
        figures["larger"] = _in_process(Path(name), args.epochs, per_epoch)
    figures["last_to_first"] = round(figures["demo"]["last"] / figures["demo"]["first"], 3)
    figures["larger_to_demo"] = round(figures["larger"]["last"] / figures["demo"]["last"], 3)
    print(figures)
    record(args.out, "python -m tests.benchmarks.loader_memory", figures)


if __name__ == "__main__":
    main()
