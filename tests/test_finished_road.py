"""What ``make repro`` left in this folder: all that the stages declare, listed by the catalog, and no work to do again.

Read-only. ``make finished`` runs it; before ``make repro`` it fails, and says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.artifacts import CATALOG_SCHEMA, CatalogEntry
from schemas.fields import from_table, read_table
from tests.imports import ROOT
from tests.worlds.find_pickles import find_pickles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def locked() -> dict[str, Any]:
    path = ROOT / "dvc.lock"
    assert path.exists(), "nothing is made here yet: run make repro"
    stages: dict[str, Any] = yaml.safe_load(path.read_text())["stages"]
    return stages


def read_yaml(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def cached_outs(stage: dict[str, Any], item: str, params: dict[str, Any]) -> set[str]:
    """What DVC keeps of a stage, its templates filled in: not metrics, plots and reports."""

    def value(found: re.Match[str]) -> str:
        section, _, key = found[1].partition(".")
        return str(params[section][key]) if section in params else item

    templates = [out for out in stage.get("do", stage).get("outs", []) if isinstance(out, str)]
    return {re.sub(r"\$\{(.*?)\}", value, template) for template in templates}


def test_every_stage_made_what_it_declares_and_the_catalog_lists_it(locked: dict[str, Any]) -> None:
    params, stages = read_yaml(ROOT / "params.yaml"), read_yaml(ROOT / "dvc.yaml")["stages"]
    assert {name.partition("@")[0] for name in locked} == set(stages)
    kept: set[str] = set()
    for name, facts in locked.items():
        stage, _, item = name.partition("@")
        outs = {out["path"] for out in facts.get("outs", [])}  # some stages are names only
        assert all((ROOT / path).exists() for path in outs), name
        expected = cached_outs(stages[stage], item, params)
        assert outs >= expected, name
        kept |= expected
    catalog = params["paths"]["catalog"]
    entries = from_table(read_table(ROOT / catalog / "catalog.parquet", CATALOG_SCHEMA), CatalogEntry)
    artifacts = {path for path in kept if not path.endswith(".manifest.json")}
    assert {entry.path for entry in entries} == artifacts - {catalog}
    assert all(entry.rows for entry in entries if entry.kind in ("table", "shards", "zarr"))


def test_nothing_is_to_be_done_again(locked: dict[str, Any]) -> None:
    """DVC compares what each stage declares; whoever writes into another stage's output is found here."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "dvc.yaml"]  # not those of own scenes
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    assert json.loads(done.stdout) == {}


def test_no_output_holds_a_pickle(locked: dict[str, Any]) -> None:
    paths = read_yaml(ROOT / "params.yaml")["paths"]
    for name in ("bodies", "frames", "scenes", "shards", "predictions", "scores", "catalog"):
        assert find_pickles(ROOT / paths[name]) == []  # models are torch's own files, read as weights
