"""``make bench``: every benchmark in a process of its own, one after the other.

``--record`` also writes the figures into ``tests/benchmarks/figures/``, one file per part.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.benchmarks.figures import FOLDER
from tests.imports import ROOT

# Minutes on two cores, roughly: 2, 9, 4, 3, 2, 2, 2, 5, 6, 5, 3, 1, 1, 1, 1, 3, 1, 1, 1; the GPU's part measures
# nothing where there is none, those of share, trainings, fit, evaluation, report, photo and detect before make repro.
PARTS = (
    *("network", "training", "loader", "loader_samples", "loader_memory", "share", "images", "scenes", "conversion"),
    *("listing", "tables", "catalog", "page", "fit", "scoring", "evaluation", "report", "photo", "detect", "gpu"),
)


def main() -> int:
    """Run them; the exit status is that of the last that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--record", action="store_true", help="write tests/benchmarks/figures/*.json")
    args = parser.parse_args()
    status = 0
    for part in args.only:
        print(f"== {part}", flush=True)
        command = [sys.executable, "-m", f"tests.benchmarks.{part}"]
        if args.record:
            command += ["--out", str(FOLDER / f"{part}.json")]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode or status
    return status


if __name__ == "__main__":
    sys.exit(main())
