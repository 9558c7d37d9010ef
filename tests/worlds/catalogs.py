"""A repository whose stages have run on the small world: dvc.yaml, dvc.lock, params.yaml and data."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import yaml

from catalog.graph import Stage, read_graph
from catalog.source import Source
from sahmr.files import write_manifest
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, prediction_table
from schemas.tables_write import to_table, write_table
from tests.imports import ROOT
from tests.worlds import small

KEY = "Room_test_00006"


def write_repository(root: Path, world: Path) -> None:
    """The small world as dataset rich, with predictions and scores of its test split."""
    root.mkdir()
    shutil.copytree(world, root / "data")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["raw"], params["bodies"]["raw"] = {"rich": "data/raw"}, "body_models"
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    keys = [row.key for row in small.records() if row.split == "test"]
    write_predictions(root / "data/predictions/rich/sahmr.parquet", keys)
    write_scores(root, keys)
    write_lock(root)


def write_predictions(path: Path, keys: list[str]) -> None:
    """Bodies near the camera's axis, with one contact point each."""
    n = len(keys)
    table = prediction_table(
        keys,
        crop_box=np.tile([60.0, 20, 260, 220], (n, 1)),
        initial_root=np.zeros((n, 3)),
        root=np.tile([0.1, 0, 2.2], (n, 1)),
        vertices=np.tile(small.vertices() + np.array([0.1, 0.05, 1.2]), (n, 1, 1)),
        contact_count=np.ones(n, dtype=int),
        contact_points=np.tile([0.1, 0.9, 2.2], (n, 1)),
        contact_parts=np.ones(n, dtype=int),
    )
    write_table(path, table.cast(PREDICTION_SCHEMA))
    write_manifest(path.with_name("sahmr.manifest.json"), [path.name], stage="predict", dataset="rich")


def write_scores(root: Path, keys: list[str], value: float = 50.0) -> None:
    """One predictor; every score has the same value."""
    numbers = dict.fromkeys(METRIC_NAMES, value)
    place = {"sequence": "Room_test", "scene": "Room", "camera": 0, "posture": "standing"}
    facts = {"distance_m": 2.2, "occluded_ratio": 0.0}
    rows = [MetricRecord(key=key, predictor="sahmr", **place, **facts, **numbers) for key in keys]
    write_table(root / "data/scores/rich.parquet", to_table(rows, METRIC_SCHEMA))
    write_manifest(root / "data/scores/rich.manifest.json", ["rich.parquet"], stage="evaluate", dataset="rich")


def write_lock(root: Path) -> None:
    """``dvc.lock`` of all stages whose outputs are there, as DVC writes it."""
    stages = read_graph(Source(root=root)).stages
    made = [stage for stage in stages if stage.outputs and (root / stage.outputs[0].path).exists()]
    (root / "dvc.lock").write_text(
        yaml.safe_dump(
            {"schema": "2.0", "stages": {one.full_name: _locked(root, one) for one in made}}, sort_keys=False
        )
    )


def _locked(root: Path, stage: Stage) -> dict[str, object]:
    params = yaml.safe_load((root / "params.yaml").read_text())
    tracked = {key: params[key.split(".")[0]] for key in stage.params}
    for key in stage.params:
        for part in key.split(".")[1:]:
            tracked[key] = tracked[key][part]
    outs = [_state(root, output.path) for output in stage.outputs if (root / output.path).exists()]
    deps = [{"path": path, "hash": "md5", "md5": "0" * 32, "size": 1} for path in stage.code]
    deps += [_state(root, path) for path in stage.data]
    return {"cmd": stage.command, "deps": deps, "params": {"params.yaml": tracked}, "outs": outs}


def _state(root: Path, path: str) -> dict[str, object]:
    place = root / path
    if not place.exists():
        return {"path": path, "hash": "md5", "md5": "0" * 32, "size": 1}
    if place.is_file():
        return {"path": path, "hash": "md5", "md5": _md5(place), "size": place.stat().st_size}
    files = sorted(file for file in place.rglob("*") if file.is_file())
    names = sorted(file.relative_to(place).as_posix() for file in files)
    listing = json.dumps([{"md5": _md5(place / name), "relpath": name} for name in names])
    digest = hashlib.md5(listing.encode()).hexdigest()
    size = sum(file.stat().st_size for file in files)
    return {"path": path, "hash": "md5", "md5": f"{digest}.dir", "size": size, "nfiles": len(files)}


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
