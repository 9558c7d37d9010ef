"""Seconds of the catalog's commands: start-up, checks against sha256sum, a query and a lineage. Part of ``make bench``.

Checks and the first lineage run over the demo's data and measure nothing before ``make repro``. The query and the
second lineage run over a frame table of 10^6 fabricated rows. Commands are timed as a user waits for them, start
included; a lineage from the end of the imports on, in a fresh process. Of several runs: the median, the least, and the
least processor time, which says more where others use the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import record
from tests.benchmarks.tables import PIECE, ROWS, frames_of
from tests.imports import ROOT

RUNS = 5
QUERY = "SELECT split, count(*), avg(person_box[4] - person_box[2]) FROM frame GROUP BY split"
_LINEAGE = """
import sys, time
from pathlib import Path
from catalog.graph import read_graph
from catalog.lineage import find_lineage
from catalog.lock import read_lock
from catalog.source import Source
from catalog.tables import known_schemas
known_schemas()
start, busy, source = time.perf_counter(), time.process_time(), Source(root=Path(sys.argv[1]))
find_lineage(read_graph(source), read_lock(source), source.root, sys.argv[2])
print(time.perf_counter() - start, time.process_time() - busy)
"""

Times = tuple[float, float]  # elapsed, and of the processor


def seconds(work: Callable[[], object]) -> Times:
    """How long it takes, once, with the processes it starts."""
    start, busy = time.perf_counter(), _busy()
    work()
    return time.perf_counter() - start, _busy() - busy


def _busy() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def command(*words: str, root: Path = ROOT) -> None:
    """One of the catalog's, quietly."""
    done = [sys.executable, "-m", "catalog", "--repo", str(root), *words]
    subprocess.run(done, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def summary(name: str, times: list[Times]) -> dict[str, float]:
    """Median and least, printed."""
    elapsed = [one for one, _ in times]
    found = {
        "median_s": round(statistics.median(elapsed), 4),
        "least_s": round(min(elapsed), 4),
        "processor_s": round(min(busy for _, busy in times), 4),
    }
    print(f"{name:>34}: {', '.join(f'{key} {value:.3f}' for key, value in found.items())}", flush=True)
    return found


def checks(root: Path) -> dict[str, Any]:
    """``verify`` and ``sha256sum`` over the same files, in turns."""
    from catalog.graph import read_graph
    from catalog.lock import read_lock
    from catalog.source import Source
    from catalog.verify import verify

    source = Source(root=root)
    graph, lock = read_graph(source), read_lock(source)
    places = [root / out.path for out in graph.outputs if out.stage != "demo" and (root / out.path).exists()]
    files = [
        str(file) for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()
    ]
    ours, theirs = [], []
    for _ in range(RUNS):
        ours.append(seconds(lambda: verify(graph, lock, root)))
        theirs.append(seconds(lambda: subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)))
    ratio = round(statistics.median(one / other for (one, _), (other, _) in zip(ours, theirs, strict=True)), 3)
    print(f"{'verify / sha256sum':>34}: {ratio}", flush=True)
    return {"verify": summary("verify", ours), "sha256sum": summary("sha256sum", theirs), "ratio": ratio}


def lineage(root: Path, key: str) -> list[Times]:
    """After the imports, each in a process of its own."""
    words = [sys.executable, "-c", _LINEAGE, str(root), key]
    done = (subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True) for _ in range(RUNS))
    return [(elapsed, busy) for elapsed, busy in (map(float, one.stdout.split()) for one in done)]


def write_large(root: Path) -> str:
    """A repository whose frame table has 10^6 rows; returns one of its keys."""
    from schemas.frame import FRAME_SCHEMA
    from schemas.tables_write import table_writer

    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root)
    with table_writer(root / "data/frames/rich.parquet", FRAME_SCHEMA) as writer:
        for start in range(0, ROWS, PIECE):
            table = frames_of(start, PIECE)
            writer.write(table)
    return str(table.column("key")[0].as_py())


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    figures: dict[str, Any] = {"start": summary("--help", [seconds(lambda: command("--help")) for _ in range(RUNS)])}
    if (ROOT / "data/frames/rich.parquet").is_file():
        import pyarrow.parquet as pq

        key = pq.read_table(ROOT / "data/frames/rich.parquet", columns=["key"]).column(0)[0].as_py()
        figures |= {"checks": checks(ROOT), "lineage": summary("lineage, demo", lineage(ROOT, key))}
    with tempfile.TemporaryDirectory() as folder:
        key = write_large(Path(folder))
        times = [seconds(lambda: command("query", QUERY, root=Path(folder))) for _ in range(RUNS)]
        figures["query"] = summary("query, 10^6 rows, whole command", times)
        figures["lineage_large"] = summary("lineage, 10^6 rows", lineage(Path(folder), key))
    record(args.out, "python -m tests.benchmarks.catalog", figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
