"""Kill trainings at random steps: ``python -m tests.soak.training --rounds 20 --seed 1``.

Every round trains in a small world with a checkpoint after each step, ends it at a random step by SIGTERM or SIGKILL,
once or more often, and runs the same command until it is done. Weights and history must equal those of an undisturbed
training, byte for byte. Starts differ in processes and accumulation, of which only the product may matter, and in
loaders, which may not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import yaml

from tests import imports
from tests.worlds import trainings

_PATIENCE_S = 300.0
_SIZES = ((2, 1), (1, 2))  # processes, accumulation
_LOADERS = ((1, "threads"), (1, "processes"), (0, "threads"))


def make(root: Path, processes: int, accumulation: int, loaders: tuple[int, str]) -> Path:
    """A world with settings of its own."""
    path = trainings.write_params(
        root, epochs=3, batch_size=2, seed=3, processes=processes, accumulation=accumulation, average_decay=0.9
    )
    params = yaml.safe_load(path.read_text())
    params["parallel"] |= {"checkpoint_steps": 1, "loaders": loaders[0], "decode_in": loaders[1]}
    path.write_text(yaml.safe_dump(params))
    return root


def start(root: Path) -> subprocess.Popen[bytes]:
    """The stage, as a user starts it."""
    environment = {**os.environ, "PYTHONPATH": str(imports.ROOT), "OMP_NUM_THREADS": "1"}
    with (root / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "pipelines.train_rcnet"], cwd=root, env=environment, stderr=log)


def disturb(process: subprocess.Popen[bytes], file: Path, drawn: random.Random) -> bool:
    """Let it make some steps, then end it; whether it was still there."""
    seen, wanted, until = set[int](), drawn.randrange(1, 6), time.monotonic() + _PATIENCE_S
    while len(seen) < wanted and process.poll() is None and time.monotonic() < until:
        if file.exists():
            seen.add(file.stat().st_mtime_ns)
        time.sleep(0.002)
    time.sleep(drawn.random() * 0.1)
    if process.poll() is not None:
        return False
    process.send_signal(drawn.choice([signal.SIGTERM, signal.SIGKILL]))
    process.wait(_PATIENCE_S)
    return True


def results(root: Path) -> list[bytes]:
    """Bytes that must not depend on what happened."""
    return [(root / "models" / name).read_bytes() for name in ("rcnet.pt", "rcnet_history.csv")]


def main() -> None:
    """Run the rounds; exit 1 if one of them ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    drawn, kills, problems = random.Random(args.seed), 0, list[str]()
    loaders = cycle(_LOADERS)
    with tempfile.TemporaryDirectory(prefix="sahmr-soak-") as folder:
        world = Path(folder).resolve() / "world"
        trainings.write_world(world)
        calm = Path(shutil.copytree(world, world.with_name("calm")))
        if start(make(calm, *_SIZES[0], _LOADERS[-1])).wait(_PATIENCE_S) != 0:
            sys.exit((calm / "log").read_text())
        for number in range(args.rounds):
            root = Path(shutil.copytree(world, world.with_name(f"round-{number}")))
            for _ in range(drawn.randrange(1, 4)):
                make(root, *drawn.choice(_SIZES), next(loaders))
                kills += disturb(start(root), root / "models/.train_rcnet.resume.pt", drawn)
            code = start(root).wait(_PATIENCE_S)
            if code != 0 or results(root) != results(calm):
                problems.append(f"round {number}: exit {code}: {(root / 'log').read_text()[-500:]}")
            shutil.rmtree(root)
    print(f"{args.rounds} rounds, {kills} kills, {len(problems)} problems")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
