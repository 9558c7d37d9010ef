"""Stage ``frames`` and the raw check: tables, counts, equal bytes for any number of workers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from pipelines import frames, raw_check
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.scene import SCENE_SCHEMA
from tests.readers.trees import RULES, SEQUENCE, put, write_bodies, write_prox, write_rich

NAMES = ("bodies", "frames", "scenes", "shards", "models", "predictions", "reports", "catalog")


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both raw trees (PROX: quantitative only), the bodies stage's output, and params.yaml."""
    monkeypatch.chdir(tmp_path)
    write_rich(tmp_path / "RICH")
    write_prox(tmp_path / "PROX")
    write_bodies(tmp_path / "out" / "bodies")
    write_params(tmp_path, workers=0)
    return tmp_path


def write_params(root: Path, workers: int) -> None:
    rules = {**asdict(RULES), "prox_parts": ["quantitative"]}
    params = {
        "raw": {"rich": "RICH", "prox": "PROX", "bodies": "body_models"},
        "paths": {name: f"out/{name}" for name in NAMES},
        "frames": json.loads(json.dumps(rules)),
        "parallel": {"workers": workers, "loaders": 0, "threads": 1},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def test_rich_tables_and_report(road: Path) -> None:
    frames.main(["--dataset", "rich"])
    table = read_table(road / "out/frames/rich.parquet", FRAME_SCHEMA)
    records = from_table(table, FrameRecord)
    assert [record.key for record in records] == [f"{SEQUENCE}_0_00060_5", f"{SEQUENCE}_1_00074_5"]
    assert read_table(road / "out/frames/rich_scenes.parquet", SCENE_SCHEMA).num_rows == 1
    report = json.loads((road / "out/reports/frames_rich.json").read_text())
    assert report == {
        "dataset": "rich",
        "kept": {"train": 2},
        "dropped": {
            "interval": {"train": 5}, "no_body": {"train": 1}, "uncalibrated_camera": {"train": 5},
            "warmup": {"train": 2},
        },
        "notes": {},
    }  # fmt: skip


def test_prox_notes_unknown_contact(road: Path) -> None:
    frames.main(["--dataset", "prox"])
    report = json.loads((road / "out/reports/frames_prox.json").read_text())
    assert (report["kept"], report["notes"]) == ({"test": 1}, {"contact_unknown": {"test": 1}})


@pytest.mark.filterwarnings("default")  # distributed warns of taken ports and slow starts
def test_bytes_do_not_depend_on_workers(road: Path) -> None:
    frames.main(["--dataset", "rich"])
    files = [road / "out/frames/rich.parquet", road / "out/frames/rich_scenes.parquet"]
    alone = [path.read_bytes() for path in files]
    write_params(road, workers=1)
    frames.main(["--dataset", "rich"])
    assert [path.read_bytes() for path in files] == alone


def test_an_error_in_one_body_leaves_no_table(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(road / f"RICH/bodies/train/{SEQUENCE}/00074/005.ply", b"ply")
    with pytest.raises(SystemExit):
        frames.main(["--dataset", "rich"])
    assert "00074/005.ply: not a PLY file" in capsys.readouterr().err
    assert not (road / "out/frames").exists()


def test_no_frame_at_all_is_an_error(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (road / f"RICH/bodies/train/{SEQUENCE}").rglob("*.ply"):
        path.unlink()
    with pytest.raises(SystemExit):
        frames.main(["--dataset", "rich"])
    assert "no usable frame" in capsys.readouterr().err


def test_raw_check_lists_all_trees(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (road / "RICH/scan_calibration/CapA/scan_camcoord.ply").unlink()
    (road / "PROX/quantitative/scenes/vicon.ply").unlink()
    with pytest.raises(SystemExit):
        raw_check.main([])
    told = capsys.readouterr().err
    assert all(text in told for text in ("3 problems", "body_models", "scan_camcoord.ply", "vicon.ply"))
