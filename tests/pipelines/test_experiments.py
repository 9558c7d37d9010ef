"""Experiments and artifacts of ``dvc.yaml``: few columns, few stages run again, names that lead to outputs."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.graph import read_graph
from catalog.source import Source
from sahmr.scores.summary import HEADLINE, headline
from tests.imports import ROOT

PAGE = (ROOT / "docs/numbers.md").read_text()
STUB = """import hashlib, json, pathlib, sys
text = hashlib.sha256(pathlib.Path("params.yaml").read_bytes()).hexdigest()
for name in sys.argv[1:]:
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("_headline.json"):
        dataset = path.name.partition("_")[0]
        path.write_text(json.dumps({dataset: {"sahmr": {name: int(text[:4], 16) / 100 for name in HEADLINE}}}))
    elif path.suffix in ("", ".zarr"):
        path.mkdir(exist_ok=True)
        for asked in ("topology.npz", "SMPL_NEUTRAL.npz"):  # files in a folder that a stage asks for by name
            (path / asked).write_text(text)
    elif path.suffix == ".csv":
        path.write_text("epoch,train_loss\\n1,1\\n")
    else:
        path.write_text(text)
"""


def metrics(stage: dict[str, Any]) -> list[str]:
    return [item if isinstance(item, str) else next(iter(item)) for item in stage.get("do", stage).get("metrics", ())]


def test_only_the_scores_that_matter_are_metrics() -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    assert "metrics" not in pipeline  # a training's live values would be columns, too, and an error where none ran
    stages = pipeline["stages"]
    named = [path for stage in stages.values() for path in metrics(stage)]
    assert named == [
        "${paths.reports}/${key}_headline.json"
    ]  # cached: git has no reports, and exp show asks git or DVC
    summary: dict[str, dict[str, object]] = {
        name: dict.fromkeys((*HEADLINE, "contact_m"), 1.5) for name in ("sahmr", "baseline")
    }
    assert headline("rich", summary) == {"rich": {"sahmr": dict.fromkeys(HEADLINE, 1.5)}}


def test_artifacts_are_outputs_of_every_dataset_and_model() -> None:
    found = yaml.safe_load((ROOT / "dvc.yaml").read_text())["artifacts"]
    graph = read_graph(Source(root=ROOT))
    paths = {name: fill(graph, one["path"]) for name, one in found.items()}
    outputs = {output.path: output for output in graph.outputs if output.is_cached}
    assert set(paths.values()) <= set(outputs)
    assert {name for name, path in paths.items() if outputs[path].kind == "model"} == {"rcnet", "sahmr"}
    assert all((found[name]["type"] == "model") == (outputs[path].kind == "model") for name, path in paths.items())
    for dataset in graph.datasets:
        assert {f"{dataset}-frames", f"{dataset}-scenes", f"{dataset}-shards"} <= set(found)
    assert all(one["desc"] for one in found.values())


def fill(graph: Any, path: str) -> str:
    key, _, rest = path.removeprefix("${").partition("}")
    return f"{graph.param(key)}{rest}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our dvc.yaml and params.yaml; every stage writes a digest of params.yaml instead of its outputs."""
    root = tmp_path_factory.mktemp("experiments") / "repository"
    for name in ("pipelines", "sahmr", "schemas", "catalog", ".dvc"):
        ignored = shutil.ignore_patterns("__pycache__", "tmp", "cache", "*.local", "demo")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copytree(ROOT / "sahmr/demo/pretraining", root / "sahmr/demo/pretraining")
    for name in (".dvcignore", ".gitignore", "params.yaml"):
        shutil.copy(ROOT / name, root / name)
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    for stage in pipeline["stages"].values():
        body = stage.get("do", stage)
        groups = [body.get(group, ()) for group in ("outs", "metrics", "plots")]
        outs = [item if isinstance(item, str) else next(iter(item)) for group in groups for item in group]
        body["cmd"] = " ".join([sys.executable, "stub.py", *outs])
    (root / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    (root / "stub.py").write_text(STUB.replace("HEADLINE", repr(HEADLINE)))
    for name in ("RICH", "PROX", "body_models"):
        (root / "data/demo" / name).mkdir(parents=True)
        (root / "data/demo" / name / "file").write_text(name)
    run(root, "git init -q && dvc repro -q && git add --all && git commit -q -m first")
    return root


def run(root: Path, command: str) -> str:
    env = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root.parent / "site"),
        "HOME": str(root.parent),
    }
    env |= {f"GIT_{role}_{what}": "team@host" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run(["bash", "-c", command], cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_experiment_runs_what_it_changes_and_its_table_is_narrow(repository: Path) -> None:
    command = "dvc exp run -S train_sahmr.canonical_lr=1.0e-3"
    assert command in PAGE
    said = run(repository, f"{command} --name slower")
    ran = {line.partition("'")[2].partition("'")[0] for line in said.splitlines() if line.startswith("Running stage")}
    assert {one.partition("@")[0] for one in ran} == {
        *("train_sahmr", "predict", "evaluate", "evaluate_rich", "evaluate_prox", "report", "catalog"),
    }  # fmt: skip
    shown = [line.strip() for line in PAGE.splitlines() if line.startswith("    dvc exp show")]
    assert len(shown) == 1
    rows = list(csv.DictReader(run(repository, f"{shown[0]} --csv").splitlines()))
    wanted = {f"{dataset}.sahmr.{name}" for dataset in ("rich", "prox") for name in HEADLINE}
    assert set(rows[0]) == {"Experiment", "rev", "typ", "Created", "train_sahmr.canonical_lr", *wanted}
    found = {row["Experiment"] or row["rev"]: row for row in rows}
    (first,) = (row for row in rows if row["Created"] and not row["Experiment"])  # git's commit: git has no reports
    assert found["slower"]["train_sahmr.canonical_lr"] == "0.001"
    name = "rich.sahmr.global_mpjpe_mm"
    assert first[name] and found["slower"][name] not in ("", first[name])
    metric = json.loads(run(repository, "dvc metrics show --json"))
    assert set(metric[""]["data"]) == {"reports/rich_headline.json", "reports/prox_headline.json"}
