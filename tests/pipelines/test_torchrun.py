"""``torchrun``, ``processes``, ``accumulation``, loaders: the same bytes, also of a short last validation batch."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import imports
from tests.worlds import small, trainings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "-m")
NAMES = ("rcnet.pt", "rcnet_history.csv")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three samples to validate with: a batch of two, and one of which a share has nothing."""
    root = tmp_path_factory.mktemp("torchrun") / "world"
    trainings.write_world(root, [*small.records(), *(small.record(number, split="val") for number in range(9, 12))])
    return root


def train(world: Path, root: Path, *launcher: str, loader: str, processes: int, accumulation: int) -> list[bytes]:
    shutil.copytree(world, root)
    path = trainings.write_params(root, epochs=2, batch_size=2, seed=3, processes=processes, accumulation=accumulation)
    params = yaml.safe_load(path.read_text())
    params["parallel"] |= {"loaders": int(loader != "none"), "decode_in": loader if loader != "none" else "threads"}
    path.write_text(yaml.safe_dump(params))
    environment = {**os.environ, "PYTHONPATH": str(imports.ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *launcher, "pipelines.train_rcnet"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [(root / "models" / name).read_bytes() for name in NAMES]


def test_two_shares_are_the_same_whoever_computes_them(world: Path, tmp_path: Path) -> None:
    alone = train(world, tmp_path / "alone", loader="none", processes=1, accumulation=2)
    assert train(world, tmp_path / "two", loader="threads", processes=2, accumulation=1) == alone
    torchrun = train(world, tmp_path / "torchrun", *TORCHRUN, loader="processes", processes=1, accumulation=2)
    assert torchrun == alone
    rows = list(csv.DictReader(alone[1].decode().splitlines()))
    assert len(rows) == 2 and all(float(row["val_loss"]) > 0 for row in rows)
