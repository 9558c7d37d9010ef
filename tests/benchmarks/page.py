"""The catalog's page of 100 000 fabricated frames: size, and how soon it answers in Chromium. Part of ``make bench``.

Every frame lies in a shard and a quarter of them is scored by two methods and two oracles. Ready is when the table is
unpacked, filtered and drawn, counted by the browser from the start of the load; the others are times of one script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.benchmarks.figures import record
from tests.benchmarks.tables import PIECE, frames_of, texts
from tests.imports import ROOT
from tests.worlds.browser import Browser, find_chromium

FRAMES, CAMERAS, RUNS = 100_000, 7, 5
PREDICTORS = ("sahmr", "baseline", "oracle-root", "oracle-mesh")
SCRIPTS = {
    "filter_ms": "e = document.querySelector('[name=split]'); e.value = e.options[1].value; "
    "e.dispatchEvent(new Event('input', {bubbles: true}))",
    "sort_ms": "document.querySelector('#head button').click()",
    "scroll_ms": "document.querySelector('#rows').scrollTop = 5e5; void document.querySelector('#space').offsetHeight",
    "lineage_ms": "document.querySelector('#rows .row').click()",
}


def frames(start: int) -> pa.Table:
    """A sequence of :func:`frames_of` with boxes, cameras, subjects and splits as they are in RICH."""
    found, draw = frames_of(start, PIECE), np.random.default_rng(start)
    number = start // PIECE
    box = draw.uniform(0, 2000, (PIECE, 2))
    box = np.concatenate([box, box + draw.uniform(100, 1500, (PIECE, 2))], axis=1)
    values = {
        "split": ["train", "train", "val", "test"][number % 4],
        "subject": f"{number % 22:03d}",
        "scene_key": f"scan_{number % 8}",
    }
    columns: dict[str, pa.Array] = {name: pa.array([text] * PIECE) for name, text in values.items()}
    columns["camera"] = pa.array([row % CAMERAS for row in range(PIECE)], pa.int32())
    columns["person_box"] = pa.FixedSizeListArray.from_arrays(
        pa.array(box.ravel()), type=found.schema.field("person_box").type
    )
    for name, column in columns.items():
        found = found.set_column(found.schema.get_field_index(name), found.schema.field(name), column)
    return found


def index_of(table: pa.Table) -> pa.Table:
    """Each sequence is one shard."""
    from schemas.shard import SHARD_INDEX_SCHEMA

    rows = len(table)
    columns = {name: table.column(name) for name in ("key", "split", "sequence", "scene_key")} | {
        "shard": pa.array([f"rich-{table.column('sequence')[0]}.tar"] * rows),
        "offset": pa.array([102400 * row for row in range(rows)]),
        "length": pa.array(np.random.default_rng(1).integers(150, 200, rows) * 512),
        "sha256": pa.array(texts(np.random.default_rng(2), rows)),
        "has_body": pa.array([True] * rows),
        "has_contact": pa.array([True] * rows),
        "crc32c": pa.array(np.random.default_rng(3).integers(0, 2**32, rows)),
    }
    return pa.Table.from_pydict(columns, schema=SHARD_INDEX_SCHEMA)


def scores_of(table: pa.Table) -> pa.Table:
    from schemas.metric import METRIC_SCHEMA

    every = pa.concat_tables([table] * len(PREDICTORS))
    rows, draw = len(every), np.random.default_rng(3)
    columns: dict[str, Any] = {"key": every.column("key"), "sequence": every.column("sequence")}
    columns["predictor"] = pa.array([name for name in PREDICTORS for _ in range(len(table))])
    for field in METRIC_SCHEMA:
        if field.name not in columns:
            texts_of = pa.array(["standing"] * rows) if field.type == pa.string() else None
            columns[field.name] = texts_of if texts_of is not None else pa.array(draw.gamma(3, 60, rows)).cast(
                field.type, safe=False
            )  # fmt: skip
    return pa.Table.from_pydict(columns, schema=METRIC_SCHEMA)


def write_world(root: Path, count: int = FRAMES) -> None:
    """A repository with tables alone."""
    from schemas.tables_write import write_table

    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root)
    table = pa.concat_tables([frames(start) for start in range(0, count, PIECE)])
    write_table(root / "data/frames/rich.parquet", table)
    parts = [table.slice(start, PIECE) for start in range(0, count, PIECE)]
    write_table(root / "data/shards/rich/index.parquet", pa.concat_tables([index_of(part) for part in parts]))
    write_table(root / "data/scores/rich.parquet", scores_of(table.slice(0, count // 4)))


def look(page: Path) -> dict[str, float]:
    """Median milliseconds of several loads."""
    found: dict[str, list[float]] = {name: [] for name in ("ready_ms", *SCRIPTS)}
    with Browser() as browser:
        for _ in range(RUNS):
            browser.open(page)
            browser.wait_for("!!document.documentElement.dataset.ready")
            found["ready_ms"].append(float(browser.run("document.documentElement.dataset.ready")))
            for name, script in SCRIPTS.items():
                took = browser.run(
                    f"(() => {{ let e; const t = performance.now(); {script}; return performance.now() - t }})()"
                )
                found[name].append(took)
        assert not browser.complaints, browser.complaints
    return {name: round(statistics.median(times), 1) for name, times in found.items()}


def main() -> None:
    """Measure everything."""
    from catalog.graph import read_graph
    from catalog.lock import Lock
    from catalog.page import write_page
    from catalog.source import Source

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_world(root)
        start = time.perf_counter()
        write_page(read_graph(Source(root=root)), Lock({}), root, root / "page.html", has_pictures=False)
        figures = {
            "write_s": round(time.perf_counter() - start, 2),
            "megabytes": round((root / "page.html").stat().st_size / 1e6, 2),
        }
        if find_chromium():
            figures |= look(root / "page.html")
    record(args.out, "python -m tests.benchmarks.page", figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
