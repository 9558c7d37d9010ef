"""A training in two processes, killed by the system and run again, ends as one that nobody disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import imports
from tests.worlds import trainings

_PATIENCE_S = 120.0


def start(root: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(imports.ROOT)}
    command = [sys.executable, "-m", "pipelines.train_rcnet"]
    with (root / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=root, env=environment, stderr=log)


def make(root: Path) -> Path:
    trainings.write_world(root)
    trainings.write_params(root, epochs=3, batch_size=6, seed=3, processes=2)
    return root


@pytest.mark.slow
def test_killed_and_run_again_two_processes_end_as_if_undisturbed(tmp_path: Path) -> None:
    killed, calm = make(tmp_path / "killed"), make(tmp_path / "calm")
    assert start(calm).wait(_PATIENCE_S) == 0, (calm / "log").read_text()

    first = start(killed)
    until = time.monotonic() + _PATIENCE_S
    while "epoch 1/3" not in (killed / "log").read_text() and time.monotonic() < until:
        time.sleep(0.02)
    family = psutil.Process(first.pid).children(recursive=True)
    assert len(family) >= 1, (killed / "log").read_text()
    first.kill()
    first.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, "the second process outlives the first"
    assert not (killed / "models/rcnet.pt").exists()

    assert start(killed).wait(_PATIENCE_S) == 0, (killed / "log").read_text()
    assert "resumed after" in (killed / "log").read_text()
    for name in ("rcnet.pt", "rcnet_history.csv"):
        assert (killed / "models" / name).read_bytes() == (calm / "models" / name).read_bytes(), name
