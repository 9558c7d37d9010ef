"""One reader, one card and lines in params.yaml are a dataset: no stage spells a name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines import frames, raw_check, shards
from sahmr.datasets import CARDS
from sahmr.shards.reader import ShardReader, read_index
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from tests import imports
from tests.worlds import third
from tests.worlds.raw_trees import SEQUENCE, write_bodies, write_rich

NAMES = ("bodies", "frames", "scenes", "shards", "models", "predictions", "scores", "reports", "catalog", "work")


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its raw tree, the bodies stage's output, and the lines of params.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(CARDS, "third", third.CARD)
    write_rich(tmp_path / "THIRD")
    write_bodies(tmp_path / "out/bodies")
    params = yaml.safe_load((imports.ROOT / "params.yaml").read_text()) | {
        "raw": {"third": "THIRD"},
        "bodies": {"raw": "body_models", "num_betas": 10},
        "paths": {name: f"out/{name}" for name in NAMES},
        "frames": {"third": {"warmup_frames": 45}},
        "shards": {"samples_per_shard": 4, "max_side_px": 64, "margin": 1.6, "jpeg_quality": 92},
        "parallel": {"workers": 0, "loaders": 0, "threads": 1},
    }
    params["network"]["initial_checkpoint"] = None
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def test_raw_files_become_frames_and_shards(road: Path) -> None:
    frames.main(["--dataset", "third"])
    rows = from_table(read_table(road / "out/frames/third.parquet", FRAME_SCHEMA), FrameRecord)
    assert [row.key for row in rows] == [f"{SEQUENCE}_0_00060_5", f"{SEQUENCE}_1_00074_5"]
    assert {(row.dataset, row.mirrored) for row in rows} == {("third", True)}
    shards.main(["--dataset", "third"])
    folder = road / "out/shards/third"
    entries = read_index(folder)
    assert [entry.key for entry in entries] == [row.key for row in rows]
    data = ShardReader(folder).read(entries[0])
    assert b'"licence": "free of licences"' in data and b'"dataset": "third"' in data


def test_the_raw_check_knows_it(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (road / "THIRD/scan_calibration/CapA/scan_camcoord.ply").unlink()
    with pytest.raises(SystemExit):
        raw_check.main([])
    assert "bodies, third: 2 problems" in capsys.readouterr().err
