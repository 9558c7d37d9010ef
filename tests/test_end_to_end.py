"""The whole road in one command, on a small demo: from raw trees to scores and catalog; a second one runs nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.artifacts import CATALOG_SCHEMA, CatalogEntry
from schemas.fields import from_table, read_table
from tests.soak.processes import kill_family
from tests.soak.road import ROOT
from tests.soak.sandbox import Sandbox
from tests.worlds.find_pickles import find_pickles

pytestmark = pytest.mark.timeout(900)  # most of its time sixteen processes start, which a busy machine makes long


def shorten(folder: Path) -> dict[str, Any]:
    """Settings with which every stage takes seconds: one epoch, one process."""
    params: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
    params["parallel"] = {"workers": 0, "loaders": 0, "threads": 1}
    for name in ("train_rcnet", "train_sahmr"):
        params[name] |= {"epochs": 1, "batch_size": 4, "warmup_steps": 0, "processes": 1}
    params["evaluate"]["sheet_frames"] = 2
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return params


def repro(box: Sandbox, log: Path) -> str:
    process = box.repro("--quiet", log=log)
    try:
        assert process.wait(600) == 0, log.read_text()[-3000:]
    finally:
        kill_family([process])
    return (box.folder / "dvc.lock").read_text()


def cached_outs(stage: dict[str, Any], item: str, params: dict[str, Any]) -> set[str]:
    """What DVC keeps of a stage, its templates filled in: not metrics, plots and reports."""

    def value(found: re.Match[str]) -> str:
        section, _, key = found[1].partition(".")
        return str(params[section][key]) if section in params else item

    templates = [out for out in stage.get("do", stage).get("outs", []) if isinstance(out, str)]
    return {re.sub(r"\$\{(.*?)\}", value, template) for template in templates}


@pytest.fixture(scope="module")
def box(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    made = Sandbox(tmp_path_factory.mktemp("road") / "repository", demo_root)
    shutil.copytree(ROOT / "catalog", made.folder / "catalog", ignore=shutil.ignore_patterns("__pycache__"))
    return made


def test_one_command_makes_everything_and_the_catalog_lists_it(box: Sandbox, tmp_path: Path) -> None:
    params = shorten(box.folder)
    stages = yaml.safe_load((box.folder / "dvc.yaml").read_text())["stages"]
    locked = yaml.safe_load(repro(box, tmp_path / "first.log"))["stages"]
    assert {name.partition("@")[0] for name in locked} == set(stages)
    kept: set[str] = set()
    for name, facts in locked.items():
        stage, _, item = name.partition("@")
        outs = {out["path"] for out in facts.get("outs", [])}  # some stages are names only
        assert all((box.folder / path).exists() for path in outs), name
        expected = cached_outs(stages[stage], item, params)
        assert outs >= expected, name
        kept |= expected
    catalog = params["paths"]["catalog"]
    entries = from_table(read_table(box.folder / catalog / "catalog.parquet", CATALOG_SCHEMA), CatalogEntry)
    artifacts = {path for path in kept if not path.endswith(".manifest.json")}
    assert {entry.path for entry in entries} == artifacts - {catalog}
    assert all(entry.rows for entry in entries if entry.kind in ("table", "shards", "zarr"))
    for name in ("bodies", "frames", "scenes", "shards", "predictions", "scores", "catalog"):
        assert find_pickles(box.folder / params["paths"][name]) == []  # models are torch's own files, read as weights


def test_a_second_command_runs_nothing(box: Sandbox, tmp_path: Path) -> None:
    """DVC compares what each stage declares; whoever writes into another stage's output is found here."""
    before = (box.folder / "dvc.lock").read_text()
    written = {path: path.stat().st_mtime_ns for path in box.folder.glob("data/[!r]*/**/*") if path.is_file()}
    assert written
    assert repro(box, tmp_path / "second.log") == before
    assert all(path.stat().st_mtime_ns == at for path, at in written.items())
