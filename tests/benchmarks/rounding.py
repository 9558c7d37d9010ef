"""Does it matter how the sparse network halves voxel indices? Stage A, trained with either rounding and several seeds.

Needs the outputs of ``bodies``, ``scenes@rich`` and ``shards@rich`` (``make repro`` makes them). Seeds take turns with
roundings, so that nothing but the rounding differs within a pair. Not part of ``make bench``: a quarter of an hour.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

import yaml

from sahmr.network.size import Rounding
from tests.benchmarks.figures import record
from tests.imports import ROOT

_SCORES = ("val_root_mm", "val_voxel_part", "val_voxel_offset")  # the refined root, and the losses over voxels


def train(folder: Path, rounding: Rounding, seed: int, epochs: int) -> dict[str, float]:
    """Run the stage on the repository's data; its last epoch's validation."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["paths"] = {name: str(ROOT / path) for name, path in params["paths"].items()} | {"models": str(folder)}
    params["network"]["rounding"] = rounding
    params["train_rcnet"] |= {"seed": seed, "epochs": epochs}
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "pipelines.train_rcnet"], cwd=folder, env=environment, check=True)
    with (folder / "rcnet_history.csv").open() as stream:
        last = list(csv.DictReader(stream))[-1]
    return {name: float(value) for name, value in last.items() if name.startswith("val_")}


def main() -> None:
    """Train, print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[66, 67, 68])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in get_args(Rounding)}
    with tempfile.TemporaryDirectory() as work:
        for seed in args.seeds:
            for rounding in rows:
                rows[rounding].append(train(Path(work) / f"{rounding}{seed}", rounding, seed, args.epochs))
    names = sorted(rows["floor"][0])
    print(f"{'validation, mean over seeds':<34}" + "".join(f"{name:>12}" for name in rows))
    for name in names:
        means = [statistics.fmean(row[name] for row in found) for found in rows.values()]
        print(f"{name:<34}" + "".join(f"{mean:>12.4g}" for mean in means))
    for name in _SCORES:
        pairs = [(floor[name], trunc[name]) for floor, trunc in zip(rows["floor"], rows["trunc"], strict=True)]
        print(f"{name}: floor, trunc by seed: " + "; ".join(f"{floor:.4g}, {trunc:.4g}" for floor, trunc in pairs))
    command = f"python -m tests.benchmarks.rounding --epochs {args.epochs} --seeds {' '.join(map(str, args.seeds))}"
    record(args.out, command, {"seeds": args.seeds, "validation": rows})


if __name__ == "__main__":
    main()
