"""The five stages from shards to scores, on nine made-up samples."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipelines import baseline, evaluate, predict, train_rcnet, train_sahmr
from sahmr.settings import load_section
from sahmr.training import build
from sahmr.training.checkpoint import read_checkpoint
from schemas.fields import from_table, read_table
from schemas.metric import METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA
from tests.worlds import small, trainings
from tests.worlds.networks import TINY, write_topology


def write_params(folder: Path) -> None:
    trainings.write_params(folder, epochs=1, batch_size=4)
    edit_params(folder, "evaluate", sheet_frames=2)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Everything up to scores, made by the stages in their order."""
    folder = tmp_path_factory.mktemp("stages") / "world"
    small.write_world(folder)
    write_topology(folder / "bodies")
    write_params(folder)
    patch.chdir(folder)
    patch.setitem(build.SIZES, "demo", TINY)
    threads = torch.get_num_threads()
    train_rcnet.main([])
    train_sahmr.main([])
    predict.main(["--dataset", "rich"])
    baseline.main(["--dataset", "rich"])
    evaluate.main(["--dataset", "rich"])
    yield folder
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def test_checkpoints_and_histories(world: Path) -> None:
    first, both = (read_checkpoint(world / f"models/{name}.pt") for name in ("rcnet", "sahmr"))
    assert all(torch.equal(value, both.network[name]) for name, value in first.network.items())  # frozen to the bit
    lines = (world / "models/sahmr_history.csv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch,lr,train_loss,")
    assert sorted(path.name for path in (world / "models").iterdir()) == [
        "rcnet.pt", "rcnet_best.pt", "rcnet_history.csv", "rcnet_last.pt",
        "sahmr.pt", "sahmr_best.pt", "sahmr_history.csv", "sahmr_last.pt",
    ]  # fmt: skip


def test_predictions_cover_the_split_and_repeat(world: Path) -> None:
    path = world / "predictions/rich/sahmr.parquet"
    table = read_table(path, PREDICTION_SCHEMA)
    assert table.column("key").to_pylist() == [f"Room_test_{number:05d}" for number in range(6, 9)]
    before = path.read_bytes()
    predict.main(["--dataset", "rich"])
    assert path.read_bytes() == before


def test_scores_and_their_summary(world: Path) -> None:
    rows = from_table(read_table(world / "scores/rich.parquet", METRIC_SCHEMA), MetricRecord)
    assert [row.predictor for row in rows] == ["sahmr", "baseline", "oracle-root", "oracle-mesh"] * 3
    summary = json.loads((world / "reports/rich_metrics.json").read_text())
    mean = np.mean([row.mpve_mm for row in rows if row.predictor == "baseline"])
    assert summary["baseline"]["mpve_mm"] == pytest.approx(mean, abs=1e-3)
    gain = 100 * (1 - summary["sahmr"]["mpve_mm"] / summary["baseline"]["mpve_mm"])
    assert summary["improvement_percent"]["sahmr"]["mpve_mm"] == pytest.approx(gain, abs=0.01)
    assert (world / "reports/rich_plot.csv").read_text().startswith('"predictor","sequence","frames","global_mpjpe_mm"')
    with Image.open(world / "reports/rich_sheet.png") as sheet:
        assert sheet.size[0] > 1000


def edit_params(folder: Path, section: str, **changes: object) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params[section] |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def test_switches_go_from_params_into_every_checkpoint(world: Path, tmp_path: Path) -> None:
    """``train_sahmr`` goes by what its first network was trained with, not by the params of the day."""
    copy = tmp_path / "world"
    shutil.copytree(world, copy)
    write_params(copy)
    with pytest.MonkeyPatch.context() as there:
        there.chdir(copy)
        edit_params(copy, "network", rounding="trunc", size_head=False)
        train_rcnet.main([])
        edit_params(copy, "network", rounding="floor", size_head=True)
        train_sahmr.main([])
    before, after = (read_checkpoint(folder / "models/rcnet.pt") for folder in (world, copy))
    assert (before.behaviour.rounding, after.behaviour.rounding) == ("floor", "trunc")
    assert (before.behaviour.size_head, after.behaviour.size_head) == (True, False)
    with_head, without = (read_checkpoint(folder / "models/sahmr.pt") for folder in (world, copy))
    assert (without.behaviour.rounding, without.behaviour.size_head) == ("trunc", False)
    names = {"metro_enhanced.size_head.linear.weight", "metro_enhanced.size_head.linear.bias"}
    assert set(with_head.network) - set(without.network) == names
    assert all(bool(with_head.network[name].any()) for name in names)  # they were trained


def test_prediction_in_bfloat16_says_so(world: Path, tmp_path: Path) -> None:
    copy = tmp_path / "world"
    shutil.copytree(world, copy)
    write_params(copy)
    edit_params(copy, "predict", precision="bfloat16")
    with pytest.MonkeyPatch.context() as there:
        there.chdir(copy)
        predict.main(["--dataset", "rich"])
    tables = [read_table(folder / "predictions/rich/sahmr.parquet", PREDICTION_SCHEMA) for folder in (world, copy)]
    assert [table.schema.metadata[b"sahmr.precision"] for table in tables] == [b"float32", b"bfloat16"]
    said = {name.decode(): value.decode() for name, value in tables[0].schema.metadata.items()}
    assert (said["sahmr.checkpoint"], said["sahmr.checkpoint_stage"]) == ("sahmr.pt", "train_sahmr")
    assert (said["sahmr.rounding"], said["sahmr.contact_sampling"]) == ("floor", "seeded_without")
    fine, coarse = (np.array(table.column("vertices").to_pylist()) for table in tables)
    assert 0 < np.abs(fine - coarse).max() < 0.05


def test_ground_truth_cannot_change_a_prediction(world: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    small.write_world(own, [small.record(number, split="test", has_body=False) for number in range(6, 9)])
    section = load_section("predict", predict.Predict, world / "params.yaml")
    paths = replace(small.paths_of(own), bodies=world / "bodies", models=world / "models")
    predict.run("rich", section, paths, small.PARALLEL)
    made, before = (folder / "predictions/rich/sahmr.parquet" for folder in (own, world))
    assert made.read_bytes() == before.read_bytes()
