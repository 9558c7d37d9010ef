"""Weights after a few steps of both trainings; ``python -m tests.training.golden_steps`` records them.

Measured in a process of its own with the variables below, which choose code that every processor of an architecture
has: with other kernels sums are added in another order, and the last bits differ.
"""

from __future__ import annotations

import pipelines.environment  # noqa: F401  # before numpy loads

# isort: split
import csv
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from pipelines import train_rcnet, train_sahmr
from pipelines.conversion.receipts import LIBRARIES
from pipelines.conversion.work_store import library_versions
from sahmr.training import build
from sahmr.training.checkpoint import read_checkpoint
from tests.worlds import trainings
from tests.worlds.networks import TINY

GOLDEN = Path(__file__).with_suffix(".json")
PINNED = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
}
_OUTPUTS = {"train_rcnet": ("rcnet", train_rcnet.VERSION), "train_sahmr": ("sahmr", train_sahmr.VERSION)}


def weights_sha256(state: dict[str, torch.Tensor]) -> str:
    """Over names, types and bits of all entries."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} ".encode() + state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def norms(state: dict[str, torch.Tensor]) -> dict[str, float]:
    """Euclidean norm of each part of the network."""
    squares: dict[str, float] = {}
    for name, value in state.items():
        part = ".".join(name.split(".")[:2])
        squares[part] = squares.get(part, 0.0) + float(value.double().square().sum())
    return {part: round(total**0.5, 9) for part, total in sorted(squares.items())}


def fingerprint() -> dict[str, Any]:
    """What the bits may depend on besides our code: libraries, architecture, make of the processor."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    make = re.findall(r"^(?:vendor_id|cpu family|model|CPU part)\s*: (.*)$", text, re.MULTILINE)
    return {**library_versions(LIBRARIES), "machine": platform.machine(), "processor": " ".join(make[:3])}


def measure() -> dict[str, Any]:
    """Version, weights and losses per stage, and the fingerprint of what they were made with."""
    build.SIZES["demo"] = TINY
    found: dict[str, Any] = {"fingerprint": fingerprint()}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        trainings.write_world(root)
        params = trainings.write_params(root, epochs=2, batch_size=2, warmup_steps=2)  # of six samples: six steps
        for stage, (output, version) in _OUTPUTS.items():
            trainings.run(stage, params)
            state = read_checkpoint(root / f"models/{output}.pt").network
            with (root / f"models/{output}_history.csv").open() as lines:
                history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
            sha256 = weights_sha256(state)
            found[stage] = {"history": history, "norms": norms(state), "sha256": sha256, "version": version}
    return found


if __name__ == "__main__":
    if not PINNED.items() <= os.environ.items():  # too late here: torch is loaded
        command = [sys.executable, "-m", "tests.training.golden_steps", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **PINNED})
    result = json.dumps(measure(), indent=2, sort_keys=True) + "\n"
    if sys.argv[1:] == ["--print"]:
        print(result)
    else:
        GOLDEN.write_text(result)
