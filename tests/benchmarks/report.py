"""The report of RICH's 3116 test images: seconds, memory and bytes. Reads what ``make repro`` left of RICH-demo.

Its 90 test images stand in, each many times under other keys and sequences: shards are linked, the tables of
predictions and scores repeated. Everything the stage reads and draws has the size of the real split, but the scene
fields, which are the demo's.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.conversion.parallel import Parallel
from pipelines.report import ReportPage, run
from sahmr.settings import Paths, load_section
from sahmr.shards.reader import read_index
from sahmr.shards.write import write_index
from schemas.fields import read_table
from schemas.metric import METRIC_SCHEMA
from schemas.prediction import PREDICTION_SCHEMA, ROWS_PER_GROUP, SPLIT
from schemas.tables_write import table_writer
from tests.benchmarks.figures import record

SPLIT_SIZE, FRAMES = 3116, 12
DATASET, PREDICTOR = "rich", "sahmr"


def fabricate(ours: Paths, theirs: Paths) -> None:
    """A split of 3116 images below ``theirs``."""
    entries = [entry for entry in read_index(ours.shards / DATASET) if entry.split == "test"]
    (theirs.shards / DATASET).mkdir(parents=True)
    rows = []
    for turn in range(-(-SPLIT_SIZE // len(entries))):
        for name in {entry.shard for entry in entries}:
            os.link(ours.shards / DATASET / name, theirs.shards / DATASET / f"{turn:02d}-{name}")
        rows += [replace(entry, key=key(turn, entry.key), shard=f"{turn:02d}-{entry.shard}") for entry in entries]
    rows = sorted(rows, key=lambda row: row.key)[:SPLIT_SIZE]
    write_index(theirs.shards / DATASET, rows)
    repeat_predictions(ours, theirs, len(entries))
    repeat_scores(ours, theirs, len(entries))
    for name in ("metrics", "breakdown"):
        (theirs.reports / f"{DATASET}_{name}.json").write_bytes((ours.reports / f"{DATASET}_{name}.json").read_bytes())


def key(turn: int, name: str) -> str:
    return f"{turn:02d}_{name}"


def repeat_predictions(ours: Paths, theirs: Paths, images: int) -> None:
    table = read_table(ours.predictions / DATASET / f"{PREDICTOR}.parquet", PREDICTION_SCHEMA)
    path = theirs.predictions / DATASET / f"{PREDICTOR}.parquet"
    with table_writer(path, PREDICTION_SCHEMA, extra={SPLIT: "test"}, rows_per_group=ROWS_PER_GROUP) as writer:
        for turn in range(-(-SPLIT_SIZE // images)):
            some = table.slice(0, SPLIT_SIZE - turn * images)
            writer.write(renamed(some, turn))


def repeat_scores(ours: Paths, theirs: Paths, images: int) -> None:
    """Errors change places between the images, so that the best, median and worst are not copies of each other."""
    table = read_table(ours.scores / f"{DATASET}.parquet", METRIC_SCHEMA)
    methods = len(table) // images
    errors = table.column("global_mpjpe_mm").to_numpy().reshape(images, methods)
    theirs.reports.mkdir(parents=True)
    with table_writer(theirs.scores / f"{DATASET}.parquet", METRIC_SCHEMA) as writer:
        for turn in range(-(-SPLIT_SIZE // images)):
            new = {
                "sequence": [f"{name}_{turn // 2:02d}" for name in table.column("sequence").to_pylist()],
                "global_mpjpe_mm": np.random.default_rng(turn).permutation(errors).ravel(),
            }
            some = renamed(table, turn)
            for name, values in new.items():
                some = some.set_column(some.column_names.index(name), METRIC_SCHEMA.field(name), pa.array(values))
            writer.write(some.slice(0, (SPLIT_SIZE - turn * images) * methods))


def renamed(table: pa.Table, turn: int) -> pa.Table:
    keys = pa.array([key(turn, name) for name in table.column("key").to_pylist()])
    return table.set_column(table.schema.get_field_index("key"), table.schema.field("key"), keys)


def main() -> None:
    """Make the split, then the page; says so where there is no demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="where the page is copied to, to be looked at")
    args = parser.parse_args()
    ours = load_section("paths", Paths)
    if not (ours.reports / f"{DATASET}_breakdown.json").is_file():
        print("nothing to measure: no scores of the demo; make them with: make repro")
        return
    with tempfile.TemporaryDirectory(dir=ours.work.parent) as folder:
        moved = {name: Path(folder) / name for name in ("shards", "frames", "predictions", "scores", "reports")}
        theirs = replace(ours, **moved)
        fabricate(ours, theirs)
        start, processor = time.perf_counter(), time.process_time()
        run(DATASET, ReportPage(frames=FRAMES), theirs, Parallel(workers=0, loaders=0, threads=1))
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        size = (theirs.reports / DATASET / "index.html").stat().st_size / 1e6
        if args.keep:
            shutil.copy(theirs.reports / DATASET / "index.html", args.keep)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"report of {SPLIT_SIZE} images: {seconds:.0f} s, {processor:.0f} s of the processor; ", end="")
    print(f"{size:.1f} MB of HTML, {peak:.2f} GB of memory")
    figures = {"seconds": round(seconds, 1), "processor_s": round(processor, 1), "html_mb": round(size, 2)}
    record(args.out, "python -m tests.benchmarks.report", figures | {"peak_gb": round(peak, 2)})


if __name__ == "__main__":
    main()
