"""From the authors' prepared folders and a trained file to scores: nothing is trained, and the raw road agrees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import evaluate, frames, predict, scenes, shards
from sahmr.readers.prox import ProxRules
from sahmr.readers.rich_listing import RichRules
from sahmr.scenes.build import Scenes
from tests.soak.processes import kill_family
from tests.soak.road import ROOT
from tests.soak.sandbox import Sandbox
from tests.worlds.prepared import SHARDS, Roads, write_roads
from tests.worlds.small import PARALLEL, paths_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # make prepared: a dozen processes start

PITCH_M = 0.02  # the authors'
RELEASED = {"rich": "sahmr_rich_e30.pth", "prox": "sahmr_prox_e30.pth"}
WEIGHTS = ROOT / "sahmr/demo/pretraining/start.pt"  # of the demo's size, and good enough to be scored
# Both roads see the same people in the same scenes, whose points lie half a voxel apart along each axis, 17 mm. They
# vote for the root, so G-MPJPE moves by some such steps, most where pictures are as few and small as here; over the
# demo's 90 and 24 images it moves by 2 and 10 mm. What is measured from the root hardly moves.
TOLERANCES = {
    "global_mpjpe_mm": 50.0,
    "global_mpve_mm": 50.0,
    "mpjpe_mm": 8.0,
    "mpve_mm": 8.0,
    "pa_mpjpe_mm": 3.0,
    "contact_precision_ratio": 0.1,
    "contact_recall_ratio": 0.1,
}
OF_DATASET = ("frames", "scenes", "shards", "predict", "baseline", "evaluate", "report")


@pytest.fixture(scope="module")
def fine_roads(tmp_path_factory: pytest.TempPathFactory, demo_root: Path) -> Roads:
    """Both roads with voxels of the published size."""
    return write_roads(tmp_path_factory.mktemp("fine_roads"), demo_root, pitch_m=PITCH_M, side=96)


def set_up(folder: Path, **predict_values: Any) -> None:
    """What docs/weights.md asks of a user."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["frames"]["rich"]["splits"] = ["test"]
    params["frames"]["prox"]["parts"] = ["quantitative"]
    params["predict"] |= predict_values
    params["evaluate"]["sheet_frames"] = 2
    params["parallel"] = {"workers": 0, "loaders": 0, "threads": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def repro(box: Sandbox, target: str, log: Path) -> set[str]:
    """The stages that DVC knows of afterwards."""
    process = box.repro(target, log=log)
    try:
        assert process.wait(600) == 0, log.read_text()[-3000:]
    finally:
        kill_family([process])
    return set(yaml.safe_load((box.folder / "dvc.lock").read_text())["stages"])


@pytest.fixture(scope="module")
def scores(fine_roads: Roads, demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Means of the prepared road, by ``dvc repro`` in a clone that has the two downloads and no more."""
    folder = tmp_path_factory.mktemp("released")
    downloads = folder / "downloads"
    for name in ("RICH", "PROX/quantitative"):
        shutil.copytree(fine_roads.folder / "prepared" / name / "sahmr_support", downloads / name / "sahmr_support")
    box = Sandbox(folder / "repository", downloads)
    params = yaml.safe_load((box.folder / "params.yaml").read_text())
    params["bodies"]["raw"] = str(demo_root / "body_models")
    (box.folder / "params.yaml").write_text(yaml.safe_dump(params))
    known, found = {"bodies"}, {}
    for dataset, file in RELEASED.items():
        (box.folder / "data/models").mkdir(exist_ok=True)
        shutil.copy(WEIGHTS, box.folder / "data/models" / file)
        set_up(box.folder, checkpoint=file)
        known |= {f"evaluate_{dataset}", *(f"{stage}@{dataset}" for stage in OF_DATASET)}
        assert repro(box, f"evaluate_{dataset}", folder / f"{dataset}.log") == known
        found[dataset] = json.loads((box.folder / f"reports/{dataset}_metrics.json").read_text())
    return found


@pytest.fixture(scope="module")
def raw_scores(fine_roads: Roads) -> Iterator[dict[str, Any]]:
    """Means of the raw road."""
    paths, found = paths_of(fine_roads.folder), {}
    rules = {"rich": RichRules(splits=("test",)), "prox": ProxRules(parts=("quantitative",))}
    section = predict.Predict(
        checkpoint=Path("start.pt"), split="test", batch_size=8, sparse_backend="native", precision="float32",
        fit_smpl=False,
    )  # fmt: skip
    paths.models.mkdir()
    shutil.copy(WEIGHTS, paths.models / "start.pt")
    for dataset in RELEASED:
        raw = fine_roads.folder / "raw" / dataset.upper()
        frames.run(dataset, rules[dataset], paths, PARALLEL, raw=raw)
        scenes.run(dataset, Scenes(voxel_pitch_m=PITCH_M, sdf_spacing_m=0.1, sdf_margin_m=0.5, sdf_max_samples=10**6),
                   paths, PARALLEL, raw=raw)  # fmt: skip
        shards.run(dataset, SHARDS, paths, PARALLEL, raw=raw)
        predict.run(dataset, section, paths, PARALLEL)
        evaluate.run(dataset, evaluate.Evaluate(split="test", sheet_frames=1), paths, PARALLEL)
        found[dataset] = json.loads((paths.reports / f"{dataset}_metrics.json").read_text())
    yield found


@pytest.mark.parametrize("dataset", list(RELEASED))
def test_both_roads_give_the_same_scores(scores: dict[str, Any], raw_scores: dict[str, Any], dataset: str) -> None:
    ours, raw = scores[dataset]["sahmr"], raw_scores[dataset]["sahmr"]
    assert ours["frames"] == raw["frames"] > 0
    off = {name: abs(ours[name] - raw[name]) for name in TOLERANCES}
    assert all(off[name] <= limit for name, limit in TOLERANCES.items()), off
    assert "sahmr" in scores[dataset]
    assert "baseline" not in scores[dataset]  # it comes from split train, which nobody has here
