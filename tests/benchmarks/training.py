"""Seconds per image of both trainings at demo size: processes and threads, in interleaved rounds.

Trains two epochs of the demo's RICH split (``data/``, as ``make repro`` leaves it) in folders of its own, from random
weights, and takes the time from the end of the first epoch to the end of the second, validation included. With
``fixed_crops`` it trains all epochs and takes the time of all, what the frozen network is asked before them included.
``--against`` names other checkouts of this repository, e.g. of an earlier commit, that take part in every round; one
with ``data`` of its own trains on that, as its formats may be older. ``--as-shipped`` takes every checkout with batch
size, processes, threads and start weights of its own ``params.yaml``, as its ``make repro`` does, and the others
besides with one process and two threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import record
from tests.imports import ROOT

ROUNDS = 3
# Processes and threads; the first is what every training was before there were processes.
VARIANTS = ((1, 2), (1, 1), (2, 1))
SHIPPED = ((0, 0),)
WORKER = r"""
import sys, logging, time
from dataclasses import replace
from pathlib import Path
from pipelines import train_rcnet, train_sahmr
from pipelines.conversion.parallel import Parallel
from sahmr.settings import Paths, load_section
from sahmr.training.build import Network

def main():
    stage, home, processes, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    as_shipped = processes == 0
    module, kind = {"train_rcnet": (train_rcnet, train_rcnet.TrainRcnet),
                    "train_sahmr": (train_sahmr, train_sahmr.TrainSahmr)}[stage]
    section, network = load_section(stage, kind), load_section("network", Network)
    if as_shipped:
        changes, parallel = {}, load_section("parallel", Parallel)
    else:
        changes = {"batch_size": 8, "warmup_steps": 5}
        parallel = Parallel(workers=0, loaders=1, threads=threads)
    if not getattr(section, "fixed_crops", False):
        changes["epochs"] = 2
    if hasattr(section, "processes") and not as_shipped:
        changes["processes"] = processes
    if hasattr(network, "initial_checkpoint") and not as_shipped:
        network = replace(network, initial_checkpoint=None)
    class Ends(logging.Handler):
        def emit(self, entry):
            if ": epoch " in entry.getMessage():
                print("END", time.perf_counter(), flush=True)
            if "frozen network" in entry.getMessage():
                print("END", time.perf_counter() - float(entry.args[-1]), flush=True)
    logging.getLogger("sahmr").addHandler(Ends())
    logging.getLogger("sahmr").setLevel(logging.INFO)
    paths = Paths(**{name: home / name for name in Paths.__dataclass_fields__})
    module.run(replace(section, **changes), network, paths, parallel)

if __name__ == "__main__":
    main()
"""


def measure(code: Path, data: Path, kept: Path, stage: str, processes: int, threads: int) -> float:
    """Seconds of an epoch per image that it trained on or validated with; 0 processes: as shipped."""
    with tempfile.TemporaryDirectory(prefix="sahmr-bench-") as folder:
        home = Path(folder)
        for name in ("bodies", "shards", "scenes"):
            (home / name).symlink_to((data / name).resolve())
        (home / "models").mkdir()
        script = home / "worker.py"
        script.write_text(WORKER)
        rcnet = kept / f"{code.stat().st_ino}.pt"  # what stage B needs of stage A
        if stage == "train_sahmr":
            (home / "models/rcnet.pt").symlink_to(rcnet.resolve())
        command = [sys.executable, str(script), stage, str(home), str(processes), str(threads)]
        environment = {**os.environ, "PYTHONPATH": str(code)}
        done = subprocess.run(command, cwd=code, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        ends = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("END")]
        if stage == "train_rcnet" and not rcnet.exists():
            rcnet.write_bytes((home / "models/rcnet.pt").read_bytes())
    return (ends[-1] - ends[0]) / (len(ends) - 1) / _images(data)


def _data_of(code: Path, data: Path) -> Path:
    own = code.resolve() / "data"
    return own if code != ROOT and (own / "shards/rich").is_dir() else data


def _images(data: Path) -> int:
    import pyarrow.compute as pc

    from sahmr.shards.reader import read_index

    splits = read_index(data / "shards/rich").table.column("split")
    return sum(pc.sum(pc.equal(splits, split)).as_py() for split in ("train", "val"))


def main() -> None:
    """Print medians, and ratios to the first variant of the first checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--against", type=Path, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--as-shipped", action="store_true", help="with the settings of every checkout's params.yaml")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not (args.data / "shards/rich").is_dir():
        print(f"{args.data / 'shards/rich'} is not there: run make repro first; nothing measured")
        return
    checkouts = [*args.against, ROOT]
    found: dict[tuple[str, str, int, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="sahmr-bench-") as kept:
        for _ in range(args.rounds):
            for stage in ("train_rcnet", "train_sahmr"):
                for code in checkouts:
                    # An earlier checkout knows no processes: they would all be one.
                    known = VARIANTS if code == ROOT else VARIANTS[:2]
                    if args.as_shipped:
                        known = SHIPPED if code == ROOT else (*VARIANTS[:1], *SHIPPED)
                    for processes, threads in known:
                        key = (stage, code.resolve().name if code != ROOT else "here", processes, threads)
                        found.setdefault(key, []).append(
                            measure(code.resolve(), _data_of(code, args.data), Path(kept), stage, processes, threads)
                        )
                        print(*key, f"{1e3 * found[key][-1]:.1f} ms", flush=True)
    figures: list[dict[str, Any]] = []
    for key, values in found.items():
        stage, code_name, processes, threads = key
        base = statistics.median(next(v for k, v in found.items() if k[0] == stage))
        middle = statistics.median(values)
        how = f"{processes} x {threads}" if processes else "as shipped"
        print(f"{stage:12} {code_name:10} {how}: {1e3 * middle:6.1f} ms/image, {middle / base:.2f}")
        figures.append(
            {
                "stage": stage, "code": code_name, "processes": processes, "threads": threads,
                "ms_per_image": round(1e3 * middle, 2), "ratio": round(middle / base, 3),
            }
        )  # fmt: skip
    record(args.out, "python -m tests.benchmarks.training", figures)


if __name__ == "__main__":
    main()
