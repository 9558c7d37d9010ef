"""Stage ``frames`` and the raw check: tables, counts, equal bytes for any number of workers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines import frames, raw_check
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from schemas.scene import SCENE_SCHEMA
from tests import imports
from tests.worlds.raw_trees import RULES, SEQUENCE, put, write_bodies, write_prox, write_rich

NAMES = ("bodies", "frames", "scenes", "shards", "models", "predictions", "scores", "reports", "catalog", "work")


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both raw trees (PROX: quantitative only), the bodies stage's output, and params.yaml."""
    monkeypatch.chdir(tmp_path)
    write_rich(tmp_path / "RICH")
    write_prox(tmp_path / "PROX")
    write_bodies(tmp_path / "out" / "bodies")
    write_params(tmp_path, workers=0)
    return tmp_path


def write_params(root: Path, workers: int, max_quarantined: int = 0) -> None:
    rules = {"rich": asdict(RULES), "prox": {"parts": ["quantitative"]}}
    rules["rich"]["max_quarantined"] = max_quarantined
    params = yaml.safe_load((imports.ROOT / "params.yaml").read_text()) | {
        "raw": {"rich": "RICH", "prox": "PROX"},
        "bodies": {"raw": "body_models", "num_betas": 10},
        "paths": {name: f"out/{name}" for name in NAMES},
        "frames": json.loads(json.dumps(rules)),
        "parallel": {"workers": workers, "loaders": 0, "threads": 1},
    }
    params["network"]["initial_checkpoint"] = None
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def test_rich_tables_and_report(road: Path) -> None:
    frames.main(["--dataset", "rich"])
    table = read_table(road / "out/frames/rich.parquet", FRAME_SCHEMA)
    records = from_table(table, FrameRecord)
    assert [record.key for record in records] == [f"{SEQUENCE}_0_00060_5", f"{SEQUENCE}_1_00074_5"]
    assert read_table(road / "out/frames/rich_scenes.parquet", SCENE_SCHEMA).num_rows == 1
    report = json.loads((road / "out/reports/frame_counts_rich.json").read_text())
    assert report == {
        "dataset": "rich",
        "kept": {"train": 2},
        "dropped": {
            "interval": {"train": 5}, "no_body": {"train": 1}, "uncalibrated_camera": {"train": 5},
            "warmup": {"train": 2},
        },
        "notes": {},
        "absent": {"absent_table": {"test": 1, "val": 1}},
        "ignored": {},
    }  # fmt: skip


def test_prox_notes_unknown_contact(road: Path) -> None:
    frames.main(["--dataset", "prox"])
    report = json.loads((road / "out/reports/frame_counts_prox.json").read_text())
    assert (report["kept"], report["notes"]) == ({"test": 1}, {"contact_unknown": {"test": 1}})


@pytest.mark.filterwarnings("default")  # distributed warns of taken ports and slow starts
def test_bytes_do_not_depend_on_workers(road: Path) -> None:
    frames.main(["--dataset", "rich"])
    files = [road / "out/frames/rich.parquet", road / "out/frames/rich_scenes.parquet"]
    alone = [path.read_bytes() for path in files]
    write_params(road, workers=1)
    frames.main(["--dataset", "rich"])
    assert [path.read_bytes() for path in files] == alone


def test_a_damaged_body_is_told_at_the_end_and_leaves_no_table(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(road / f"RICH/bodies/train/{SEQUENCE}/00074/005.ply", b"ply")
    with pytest.raises(SystemExit):
        frames.main(["--dataset", "rich"])
    told = capsys.readouterr().err
    assert "1 damaged raw files, frames.rich.max_quarantined allows 0" in told
    assert "00074/005.ply: not a PLY file" in told
    assert not (road / "out/frames").exists()
    table = read_table(road / "out/reports/quarantine_frames_rich.parquet", QUARANTINE_SCHEMA)
    (row,) = from_table(table, Quarantined)
    assert (row.item, row.split, row.rule) == (f"{SEQUENCE}_1_00074_5", "train", "body")
    assert row.file == f"bodies/train/{SEQUENCE}/00074/005.ply"


def test_an_accepted_damaged_body_is_counted(road: Path) -> None:
    put(road / f"RICH/bodies/train/{SEQUENCE}/00074/005.ply", b"ply")
    write_params(road, workers=0, max_quarantined=1)
    frames.main(["--dataset", "rich"])
    report = json.loads((road / "out/reports/frame_counts_rich.json").read_text())
    assert (report["kept"], report["dropped"]["quarantined"]) == ({"train": 1}, {"train": 1})


def test_only_a_changed_sequence_is_measured_again(road: Path) -> None:
    frames.main(["--dataset", "rich"])
    before = (road / "out/frames/rich.parquet").read_bytes()
    frames.main(["--dataset", "rich"])
    assert counts(road) == (1, 0, 1, 0)
    image = next((road / f"RICH/images/train/{SEQUENCE}").rglob("00060_00.*"))
    image.write_bytes(image.read_bytes())  # same content, other times: measured again, with the same result
    frames.main(["--dataset", "rich"])
    assert counts(road) == (1, 1, 0, 0)
    assert (road / "out/frames/rich.parquet").read_bytes() == before
    np.savez(road / "out/bodies/new.npz", a=1)  # body models changed
    frames.main(["--dataset", "rich"])
    assert counts(road) == (1, 1, 0, 0)


def counts(root: Path) -> tuple[int, ...]:
    found = json.loads((root / "out/reports/frames_rich.json").read_text())
    return tuple(found[name] for name in ("planned", "executed", "reused", "quarantined"))


def test_no_frame_at_all_is_an_error(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for frame in ("00060", "00074"):  # those that the rules keep
        (road / f"RICH/bodies/train/{SEQUENCE}/{frame}/005.ply").unlink()
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
