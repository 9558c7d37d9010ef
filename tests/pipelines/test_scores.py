"""From predictions tables to scores: the stages baseline and evaluate and the tool scores, on nine samples."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines import baseline, evaluate, scores
from sahmr.errors import ShardError, StoreError
from sahmr.scores.evaluation import Scorer
from sahmr.shards.left_out import write_left_out
from sahmr.shards.reader import ShardReader, read_index
from sahmr.shards.write import plan_shards, write_index, write_shard
from schemas.fields import SchemaError, from_table, read_table
from schemas.frame import FRAME_SCHEMA
from schemas.metric import METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, SPLIT, prediction_table
from schemas.shard import ShardEntry
from schemas.tables_write import to_table, write_table
from tests.worlds import small
from tests.worlds.networks import make_topology, write_topology

DATASETS = ("rich", "prox")
TEST_KEYS = [f"Room_test_{number:05d}" for number in range(6, 9)]
ROTATION, SHIFT = small.CAMERA_FROM_WORLD[:3, :3], small.CAMERA_FROM_WORLD[:3, 3]


def run_baseline(world: Path, split: str = "test") -> pa.Table:
    baseline.run("rich", baseline.Baseline(split=split), small.paths_of(world), small.PARALLEL)
    return read_table(world / "predictions/rich/baseline.parquet", PREDICTION_SCHEMA)


def run_evaluate(world: Path, *, split: str = "test", sheet_frames: int = 1) -> dict:
    evaluate.run(
        "rich", evaluate.Evaluate(split=split, sheet_frames=sheet_frames), small.paths_of(world), small.PARALLEL
    )
    return json.loads((world / "reports/rich_metrics.json").read_text())


def write_predictions(
    world: Path, predictor: str, keys: list[str], *, off_m: float | np.ndarray = 0.0, split: str = "test"
) -> None:
    """The truth, moved along the camera's z (all the same, or each by its own), with one contact point each."""
    rows = len(keys)
    true = [small.vertices(int(key[-5:])) @ ROTATION.T + SHIFT for key in keys]
    table = prediction_table(
        keys,
        crop_box=np.tile([60.0, 20, 260, 220], (rows, 1)),
        initial_root=np.zeros((rows, 3)),
        root=np.zeros((rows, 3)),
        vertices=np.array(true).reshape(rows, 6890, 3) + np.multiply.outer(np.broadcast_to(off_m, rows), [[0, 0, 1]]),
        contact_count=np.ones(rows, dtype=int),
        contact_points=np.ones((rows, 3)),
        contact_parts=np.ones(rows, dtype=int),
    )
    write_table(world / f"predictions/rich/{predictor}.parquet", table, extra={SPLIT: split})


@pytest.fixture
def world(small_world: Path, tmp_path: Path) -> Path:
    """Shards, scenes and bodies; no checkpoint, no params.yaml."""
    folder = tmp_path / "world"
    for name in ("shards", "scenes"):
        shutil.copytree(small_world / name, folder / name)
    write_topology(folder / "bodies")
    return folder


def test_baseline_is_the_mean_training_body_on_the_middle_ray(world: Path) -> None:
    table = run_baseline(world)
    assert table.column("key").to_pylist() == TEST_KEYS
    assert table.column("contact_count").to_pylist() == [0, 0, 0]
    pelvis = make_topology().joint_regressor[0].double().numpy()
    bodies = [small.vertices(number) @ ROTATION.T + SHIFT for number in range(6)]
    centred = np.mean([body - pelvis @ body for body in bodies], axis=0)
    roots = np.array(table.column("root").to_pylist())
    vertices = np.array(table.column("vertices").to_pylist()).reshape(3, 6890, 3)
    np.testing.assert_allclose(vertices, centred + roots[:, None], atol=1e-5)
    box = np.array(table.column("crop_box").to_pylist())
    pixels = roots[:, :2] / roots[:, 2:] * 250 + [160, 120]
    np.testing.assert_allclose(pixels, (box[:, :2] + box[:, 2:]) / 2, atol=1e-3)
    assert np.ptp(roots[:, 2] * (box[:, 2] - box[:, 0])) < 1e-2  # everybody at the mean scaled depth


def test_baseline_repeats(world: Path) -> None:
    run_baseline(world)
    before = (world / "predictions/rich/baseline.parquet").read_bytes()
    run_baseline(world)
    assert (world / "predictions/rich/baseline.parquet").read_bytes() == before


def test_without_a_training_split_there_is_no_baseline(world: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sahmr")
    write_index(world / "shards/rich", [row for row in read_index(world / "shards/rich") if row.split == "test"])
    assert run_baseline(world).num_rows == 0
    assert "no ground truth in split train" in caplog.text
    write_predictions(world, "sahmr", TEST_KEYS)
    assert run_evaluate(world).keys() == {"sahmr", "oracle-root", "oracle-mesh", "about"}
    assert "baseline.parquet has no rows and is left out" in caplog.text


def test_baseline_of_an_unknown_split_lists_the_known_ones(world: Path) -> None:
    with pytest.raises(ShardError, match=r"no samples of split 'val', the index has \['test', 'train'\]"):
        run_baseline(world, split="val")


def test_tables_are_scored_side_by_side(world: Path) -> None:
    run_baseline(world)
    write_predictions(world, "near", TEST_KEYS[::-1], off_m=0.1)  # rows in another order
    write_predictions(world, "sahmr", TEST_KEYS)
    summary = run_evaluate(world)
    assert list(summary) == ["sahmr", "near", "baseline", "oracle-root", "oracle-mesh", "improvement_percent", "about"]
    assert summary["sahmr"]["global_mpve_mm"] == pytest.approx(0, abs=1e-3)
    assert summary["near"]["global_mpjpe_mm"] == pytest.approx(100, abs=1e-2)
    assert summary["near"]["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert summary["near"]["edge_error_ratio"] == pytest.approx(0, abs=1e-4)
    assert summary["near"]["trunk_within_30_ratio"] == 1
    assert summary["near"]["contact_recall_ratio"] is None  # nobody here touches the room
    assert summary["baseline"]["contact_recall_ratio"] is None
    gain = 100 * (1 - 100 / summary["baseline"]["global_mpjpe_mm"])
    assert summary["improvement_percent"]["near"]["global_mpjpe_mm"] == pytest.approx(gain, abs=0.02)
    rows = from_table(read_table(world / "scores/rich.parquet", METRIC_SCHEMA), MetricRecord)
    assert [(row.key, row.predictor) for row in rows] == [
        (key, predictor)
        for key in TEST_KEYS
        for predictor in ("sahmr", "near", "baseline", "oracle-root", "oracle-mesh")
    ]
    assert len((world / "reports/rich_plot.csv").read_text().splitlines()) == 6
    breakdown = json.loads((world / "reports/rich_breakdown.json").read_text())
    assert breakdown["first"] == "sahmr"
    assert list(breakdown["differences"]) == ["near", "baseline", "oracle-root", "oracle-mesh"]
    assert breakdown["differences"]["near"]["global_mpjpe_mm"][0] == pytest.approx(100, abs=1e-2)
    assert breakdown["groups"]["camera"].keys() == {"unknown"}  # no frame table here
    with Image.open(world / "reports/rich_sheet.png") as sheet:
        assert sheet.size[0] > 800


def test_best_and_worst_are_drawn_and_nothing_else_is_decoded(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_predictions(world, "sahmr", TEST_KEYS, off_m=np.array([0.2, 0.3, 0.1]))
    decoded, decode = [], ShardReader.decode

    def note(reader: ShardReader, entry: ShardEntry):
        decoded.append(entry.key)
        return decode(reader, entry)

    monkeypatch.setattr(ShardReader, "decode", note)
    run_evaluate(world, sheet_frames=2)
    assert decoded == [TEST_KEYS[2], TEST_KEYS[1]]
    decoded.clear()
    run_evaluate(world, sheet_frames=1)
    assert decoded == [TEST_KEYS[0]]  # the median


def test_the_picture_repeats(world: Path) -> None:
    write_predictions(world, "sahmr", TEST_KEYS, off_m=0.1)
    run_evaluate(world, sheet_frames=3)
    before = (world / "reports/rich_sheet.png").read_bytes()
    run_evaluate(world, sheet_frames=3)
    assert (world / "reports/rich_sheet.png").read_bytes() == before


OUTPUTS = ("scores/rich.parquet", "scores/rich.manifest.json", *(
    f"reports/rich_{name}" for name in ("metrics.json", "breakdown.json", "plot.csv", "sheet.png")
))  # fmt: skip


def test_every_byte_repeats_whatever_the_batch(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_baseline(world)
    write_predictions(world, "sahmr", TEST_KEYS, off_m=np.array([0.2, 0.3, 0.1]))
    run_evaluate(world)
    before = {name: (world / name).read_bytes() for name in OUTPUTS}
    for size in (1, 2):
        monkeypatch.setattr(evaluate, "BATCH", size)
        run_evaluate(world)
        assert {name: (world / name).read_bytes() for name in OUTPUTS} == before


def test_scores_say_where_they_come_from(world: Path) -> None:
    write_predictions(world, "sahmr", TEST_KEYS)
    table = pq.read_table(world / "predictions/rich/sahmr.parquet")
    more = {**table.schema.metadata, b"sahmr.checkpoint_sha256": b"abc", b"sahmr.rounding": b"floor"}
    write_table(world / "predictions/rich/sahmr.parquet", table.replace_schema_metadata(more))
    counts = {"dropped": {"warmup": {"test": 4, "train": 9}, "interval": {"train": 1}}, "kept": {"test": 3}}
    (world / "reports").mkdir()
    (world / "reports/frame_counts_rich.json").write_text(json.dumps(counts))
    write_table(world / "frames/rich.parquet", to_table(map(small.record, range(3)), FRAME_SCHEMA))
    about = run_evaluate(world)["about"]
    assert about["frames"] == {"kept": 3, "dropped": {"warmup": 4}}
    assert about["predictors"]["sahmr"] | {"table_sha256": ""} == {
        "table_sha256": "", "checkpoint_sha256": "abc", "rounding": "floor", "split": "test"
    }  # fmt: skip
    assert about["oracles"] == {"oracle-root": "sahmr", "oracle-mesh": "sahmr"}
    assert {"fingerprint", "shards"} <= about["data"].keys()
    assert len(about["code"]["sha256"]) == 64
    (world / "reports/frame_counts_rich.json").write_text("[]")
    with pytest.raises(ShardError, match=r"frame_counts_rich\.json: no counts of frames .*dvc repro frames"):
        run_evaluate(world)


def test_cameras_come_from_the_frame_table(world: Path) -> None:
    write_predictions(world, "sahmr", TEST_KEYS)
    rows = [replace(small.record(number, split="test"), camera=number) for number in range(6, 9)]
    write_table(world / "frames/rich.parquet", to_table(rows, FRAME_SCHEMA))
    run_evaluate(world)
    scores = read_table(world / "scores/rich.parquet", METRIC_SCHEMA, ["predictor", "camera"]).to_pylist()
    assert [row["camera"] for row in scores if row["predictor"] == "sahmr"] == [6, 7, 8]


def test_predictions_of_another_split_are_refused(world: Path) -> None:
    write_predictions(world, "sahmr", TEST_KEYS, split="train")
    with pytest.raises(ShardError, match=r"sahmr\.parquet: predictions of split 'train', expected 'test'") as found:
        run_evaluate(world)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [(TEST_KEYS[:2], "lacks key 'Room_test_00008'"), ([*TEST_KEYS, TEST_KEYS[0]], "4 rows, but only 3 different keys")],
)
def test_missing_and_double_keys_are_refused(keys: list[str], message: str, world: Path) -> None:
    write_predictions(world, "sahmr", keys)
    with pytest.raises(ShardError, match=message):
        run_evaluate(world)


def test_tables_without_any_row_are_refused(world: Path) -> None:
    write_predictions(world, "sahmr", [])
    with pytest.raises(ShardError, match="no table has a row"):
        run_evaluate(world)


def test_frames_without_truth_are_refused_by_name(world: Path) -> None:
    write_predictions(world, "sahmr", TEST_KEYS)
    folder = world / "shards/rich"
    write_index(folder, [replace(entry, has_body=entry.key not in TEST_KEYS[1:]) for entry in read_index(folder)])
    with pytest.raises(ShardError, match=r"2 person-images have no ground truth .*Room_test_00007, Room_test_00008;"):
        run_evaluate(world)


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def spoil(world: Path, name: str, content: np.ndarray) -> None:
    """Write the shards again, the last sample with another member."""
    folder, rows, entries = world / "shards/rich", small.records(), []
    shutil.rmtree(folder)
    folder.mkdir()
    for plan in plan_shards(rows, small.SHARDS.samples_per_shard):
        spoilt = [{name: npy(content)} if row.key == TEST_KEYS[-1] else {} for row in plan.records]
        made = [(row, small.members(row) | more) for row, more in zip(plan.records, spoilt, strict=True)]
        entries += write_shard(folder, plan.name, made)
    write_index(folder, entries)
    write_left_out(folder, [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vertices.npy", np.full((6890, 3), np.nan, dtype=np.float32), "array has NaN"),
        ("contact.npy", np.zeros(1310, dtype=np.uint8), r"1310.*862"),
    ],
)
def test_broken_truth_is_found_before_anything_is_scored(
    name: str, content: np.ndarray, message: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_predictions(world, "sahmr", TEST_KEYS)
    spoil(world, name, content)
    monkeypatch.setattr(Scorer, "score", None)
    with pytest.raises(ShardError, match=rf"rich-.*sample {TEST_KEYS[-1]}: .*{message}") as found:
        run_evaluate(world)
    assert "\n" not in str(found.value)
    assert not (world / "scores").exists()


def test_a_missing_field_is_found_before_anything_is_scored(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_predictions(world, "sahmr", TEST_KEYS)
    shutil.rmtree(world / "scenes/rich.zarr/Room_scan/sdf")
    monkeypatch.setattr(Scorer, "score", None)
    with pytest.raises(StoreError, match=r"rich\.zarr: Room_scan/sdf: .*rebuild with: dvc repro scenes"):
        run_evaluate(world)


def test_table_of_all_scores_is_short(world: Path) -> None:
    run_baseline(world)
    write_predictions(world, "sahmr", TEST_KEYS, off_m=0.1)
    write_predictions(world, "a-method-with-a-very-long-name", TEST_KEYS)
    run_evaluate(world)
    lines = scores.score_lines(DATASETS, world / "reports")
    assert max(len(line) for line in lines) <= 100
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["rich", "sahmr"], ["rich", "a-method-wi"], ["rich", "baseline"],
    ]  # fmt: skip
    assert lines[2].split()[2:4] == ["3", "100.0"]
    assert [line.split()[:2] for line in lines[5:7]] == [["rich", "oracle-root"], ["rich", "oracle-mesh"]]
    assert lines[7] == "prox: no scores yet; make them with: dvc repro evaluate@prox"
    assert [line.split()[0] for line in scores.file_lines(DATASETS, world / "reports")] == [
        str(world / "reports/rich_sheet.png"), str(world / "reports/rich_breakdown.json"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["{", "[]", '{"sahmr": {"frames": 1}}', '{"sahmr": 1}'])
def test_damaged_summary_names_the_stage_that_makes_it(content: str, tmp_path: Path) -> None:
    (tmp_path / "rich_metrics.json").write_text(content)
    with pytest.raises(SchemaError, match=r"rich_metrics\.json: not a summary of scores .*dvc repro evaluate@rich"):
        scores.score_lines(["rich"], tmp_path)
