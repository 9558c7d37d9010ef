"""Live curves of a training are what DVC reads, a line per epoch, whatever was killed in between."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from pipelines.conversion.curves import Curves

ROWS = [{"epoch": number, "train_loss": 10.0 / number, "val_root_mm": 50.0, "lr": 0.1} for number in (1, 2, 3)]
TIMES = [{"epoch": number, "data_s": 0.5} for number in (1, 2, 3)]


def lines(path: Path) -> list[tuple[str, ...]]:
    with path.open(newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file, delimiter="\t")]


def test_a_line_per_epoch_and_after_a_kill_none_twice(tmp_path: Path) -> None:
    first = Curves(tmp_path)
    first(ROWS[:1], TIMES[:1])
    first(ROWS[:2], TIMES[:2])
    assert lines(tmp_path / "plots/metrics/train_loss.tsv") == [("1", "10.0"), ("2", "5.0")]
    again = Curves(tmp_path)
    again(ROWS[:2], TIMES[:2])
    again(ROWS, TIMES)
    assert [epoch for epoch, _ in lines(tmp_path / "plots/metrics/train_loss.tsv")] == ["1", "2", "3"]
    latest = json.loads((tmp_path / "metrics.json").read_text())
    assert latest["val_root_mm"] == 50.0 and latest["data_s"] == 0.5 and "lr" not in latest
