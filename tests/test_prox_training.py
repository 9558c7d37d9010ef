"""Trainings on PROX alone, and on RICH and PROX by weight, from raw trees to scores of PROX's test split; slow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sahmr.training.checkpoint import read_checkpoint
from tests.soak.processes import kill_family
from tests.soak.sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def box(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("prox") / "repository", demo_root)


def repro(box: Sandbox, log: Path, **datasets: float) -> dict[str, Any]:
    """Train on these data sets by weight and score PROX; the stages that DVC has then."""
    params: dict[str, Any] = yaml.safe_load((box.folder / "params.yaml").read_text())
    params["parallel"] = {"workers": 0, "loaders": 0, "threads": 1}
    for name in ("train_rcnet", "train_sahmr"):
        made = {dataset: {"weight": weight} for dataset, weight in datasets.items()}
        params[name] |= {"datasets": made, "epochs": 1, "batch_size": 4, "warmup_steps": 0, "processes": 1}
    params["evaluate"]["sheet_frames"] = 2
    (box.folder / "params.yaml").write_text(yaml.safe_dump(params))
    process = box.repro("--quiet", "evaluate_prox", log=log)
    try:
        assert process.wait(1200) == 0, log.read_text()[-3000:]
    finally:
        kill_family([process])
    found: dict[str, Any] = yaml.safe_load((box.folder / "dvc.lock").read_text())["stages"]
    return found


def test_prox_alone_needs_no_rich_and_both_need_both(box: Sandbox, tmp_path: Path) -> None:
    stages = repro(box, tmp_path / "prox.log", prox=1.0)
    assert {name for name in stages if name.endswith("@rich")} == set()
    assert {"train_rcnet_data@prox", "train_sahmr_data@prox", "evaluate@prox"} <= set(stages)
    alone = read_checkpoint(box.folder / "data/models/sahmr.pt")
    scores = json.loads((box.folder / "reports/prox_headline.json").read_text())["prox"]["sahmr"]
    stages = repro(box, tmp_path / "both.log", rich=3.0, prox=1.0)
    assert {"shards@rich", "train_rcnet_data@rich", "train_sahmr_data@rich"} <= set(stages)
    both = read_checkpoint(box.folder / "data/models/sahmr.pt")
    assert any(not value.equal(both.network[name]) for name, value in alone.network.items())
    assert json.loads((box.folder / "reports/prox_headline.json").read_text())["prox"]["sahmr"] != scores
    again = repro(box, tmp_path / "again.log", prox=1.0)  # found in the work store, or in DVC's cache
    assert again["train_sahmr"]["outs"] != stages["train_sahmr"]["outs"]
    assert json.loads((box.folder / "reports/prox_headline.json").read_text())["prox"]["sahmr"] == scores
