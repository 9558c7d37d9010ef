"""A place stands in params.yaml alone: moved there, it moves for DVC, for the code and for the catalog."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.graph import read_graph
from catalog.scan import list_artifacts
from catalog.source import Source
from pipelines import raw_check
from pipelines.conversion import receipts
from pipelines.demo import __main__ as demo
from sahmr.datasets import CARDS
from sahmr.errors import SettingsError
from sahmr.settings import Paths, load_section
from tests import imports
from tests.worlds.small import paths_of

ROOT = imports.ROOT
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
DEMO_OUTS = yaml.safe_load((ROOT / "pipelines/demo/dvc.yaml").read_text())["stages"]["demo"]["outs"]
RESOLVE = """
import json
from dvc.repo import Repo
stages = {stage.addressing: stage for stage in Repo(".").index.stages}
print(json.dumps({name: [[str(dep) for dep in s.deps], [str(out) for out in s.outs]] for name, s in stages.items()}))
"""


def resolved(folder: Path, params: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Deps and outs of every stage as DVC itself works them out, in a process of its own."""
    (folder / ".dvc").mkdir(exist_ok=True)
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, "-c", RESOLVE]
    made = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    found: dict[str, list[list[str]]] = yaml.safe_load(made.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", [name for name in PARAMS["paths"] if name != "work"])
def test_nothing_of_dvc_yaml_names_a_place_itself(name: str) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert f"${{paths.{name}}}" in text
    assert not re.search(rf"^\s*- {re.escape(PARAMS['paths'][name])}(/|$)", text, re.MULTILINE)


def test_moved_models_move_for_every_stage(tmp_path: Path) -> None:
    """Only ``paths.models`` is changed."""
    params = PARAMS | {"paths": PARAMS["paths"] | {"models": "elsewhere/models"}}
    found = resolved(tmp_path, params)
    assert not [path for deps, outs in found.values() for path in (*deps, *outs) if "data/models" in path]
    assert "elsewhere/models/rcnet.pt" in found["train_rcnet"][1]
    assert "elsewhere/models/rcnet.pt" in found["train_sahmr"][0]
    assert "elsewhere/models/sahmr.pt" in found["train_sahmr"][1]
    for dataset in PARAMS["raw"]:
        assert "elsewhere/models/sahmr.pt" in found[f"predict@{dataset}"][0]
    assert "elsewhere/models/sahmr.pt" in found["catalog"][0]


def test_all_places_moved_leave_nothing_behind(tmp_path: Path) -> None:
    """Every place and checkpoint is changed; what DVC still sees of the old ones would be said twice."""
    params = PARAMS | {"paths": {name: f"moved/{name}" for name in PARAMS["paths"]}}
    params["raw"] = {name: f"raw/{name}" for name in PARAMS["raw"]}
    params["bodies"] = PARAMS["bodies"] | {"raw": "raw/bodies"}
    params["predict"] = PARAMS["predict"] | {"checkpoint": "released/x.pt"}
    found = resolved(tmp_path, params)
    everything = [path for deps, outs in found.values() for path in (*deps, *outs)]
    assert not [path for path in everything if path.startswith(("data/", "reports"))]
    assert "moved/models/released/x.pt" in found["predict@rich"][0]


def test_the_code_reads_what_dvc_watches(tmp_path: Path) -> None:
    paths = paths_of(tmp_path)
    assert paths.model(Path(PARAMS["predict"]["checkpoint"]), "predict.checkpoint") == tmp_path / "models/sahmr.pt"
    assert paths.model(Path("released/x.pt"), "predict.checkpoint") == tmp_path / "models/released/x.pt"
    with pytest.raises(SettingsError, match=r"predict\.checkpoint: found .*, allowed a path from paths\.models"):
        load_section("paths", Paths, ROOT / "params.yaml").model(Path("data/models/sahmr.pt"), "predict.checkpoint")


def test_names_of_checkpoints_agree() -> None:
    """What a training writes, what dvc.yaml declares, what the next stage reads by default, what the catalog lists."""
    for stage, reader in (("train_rcnet", "train_sahmr.rcnet_checkpoint"), ("train_sahmr", "predict.checkpoint")):
        text = imports.modules()[f"pipelines.{stage}"].read_text()
        output = re.search(rf'plan_training\("{stage}", VERSION, "(\w+)"', text).group(1)
        section, key = reader.split(".")
        assert PARAMS[section][key] == f"{output}.pt"
        declared = [f"${{paths.models}}/{output}.pt", f"${{paths.models}}/{output}_history.csv"]
        assert [STAGES[stage]["outs"][0], next(iter(STAGES[stage]["plots"][0]))] == declared
        listed = {item.path.name: item.stage for item in list_artifacts(read_graph(Source(root=ROOT)), ROOT, "catalog")}
        assert listed[f"{output}.pt"] == stage
    assert 'f"{training.output}.pt", f"{training.output}_history.csv"' in Path(receipts.__file__).read_text()


def test_the_demo_lies_where_params_and_raw_check_look() -> None:
    named = {PARAMS["raw"]["rich"], PARAMS["raw"]["prox"], PARAMS["bodies"]["raw"]}
    written = {path.as_posix() for path in (demo.TREES.rich, demo.TREES.prox, demo.TREES.bodies)}
    assert named == written == set(DEMO_OUTS)
    assert demo.HOME == raw_check.DEMO_HOME


def test_every_card_has_its_name_for_the_whole_road() -> None:
    for name in set(CARDS) - {"own"}:
        stage = STAGES[f"evaluate_{name}"]
        assert stage["cmd"].endswith(f"--dataset {name}") and f"${{paths.reports}}/{name}_metrics.json" in stage["deps"]
    assert {name for name in STAGES if name.startswith("evaluate_")} == {
        f"evaluate_{name}" for name in set(CARDS) - {"own"}
    }
