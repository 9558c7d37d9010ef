"""What the report's tables say, on a breakdown made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sahmr.report.tables import (
    about_lines,
    difference_table,
    group_tables,
    halves,
    headlines,
    part_table,
    score_table,
    title_of,
)
from schemas.metric import METRICS

ORACLES = ("oracle-root", "oracle-mesh")
ALL = {
    "sahmr": {"global_mpjpe_mm": [167.31, 129.0, 190.0], "contact_f1_ratio": [0.65, None, None]},
    "baseline": {"global_mpjpe_mm": [806.8, 672.6, 918.9], "contact_f1_ratio": [0.1, 0.0, 0.2]},
    "oracle-root": {"global_mpjpe_mm": [95.07, 80.0, 110.0]},
    "oracle-mesh": {"global_mpjpe_mm": [135.1, 99.0, 161.0]},
}
BREAKDOWN: dict[str, Any] = {
    "all": ALL,
    "first": "sahmr",
    "differences": {
        "baseline": {"global_mpjpe_mm": [639.5, 500.0, 800.0], "contact_f1_ratio": [-0.55, -0.7, -0.4]},
        "oracle-root": {"global_mpjpe_mm": [-72.0, -100.0, 20.0]},
    },
    "groups": {"posture": {"lying": {"frames": 7, "sequences": 2, "predictors": ALL}}},
    "contact_parts": {
        "sahmr": {
            "left_foot": {
                "precision_ratio": 0.5, "recall_ratio": None, "f1_ratio": 0.25, "predicted_points": 4, "true_points": 0
            }
        }
    },
}  # fmt: skip


def test_metrics_are_called_as_people_call_them() -> None:
    titles = {metric.name: title_of(metric) for metric in METRICS}
    assert titles["global_mpjpe_mm"] == "G-MPJPE"
    assert titles["pa_mpjpe_mm"] == "PA-MPJPE"
    assert titles["contact_f1_ratio"] == "Contact F1"
    assert titles["initial_root_mm"] == "Initial root"
    assert len(set(titles.values())) == len(titles)


def test_scores_have_intervals_and_the_best_method_is_marked() -> None:
    table = score_table(BREAKDOWN, ("sahmr", "baseline"), ORACLES)
    assert table.head == ("sahmr", "baseline", *ORACLES)
    lines = {line.name.partition(",")[0]: line.cells for line in table.lines}
    assert [(cell.text, cell.range, cell.mark) for cell in lines["G-MPJPE"]] == [
        ("167.3", "129.0 to 190.0", "best"), ("806.8", "672.6 to 918.9", ""),
        ("95.1", "80.0 to 110.0", ""), ("135.1", "99.0 to 161.0", ""),
    ]  # fmt: skip
    assert [(cell.text, cell.range) for cell in lines["Contact F1"]] == [
        ("65.0", ""), ("10.0", "0.0 to 20.0"), ("-", ""), ("-", ""),
    ]  # fmt: skip
    assert len(table.lines) == len(METRICS)


def test_one_method_alone_is_not_the_best() -> None:
    cells = [cell for line in score_table(BREAKDOWN, ("sahmr",), ()).lines for cell in line.cells]
    assert not any(cell.mark for cell in cells)


def test_headlines_stand_beside_the_baseline() -> None:
    lines = headlines(BREAKDOWN, ("sahmr", "baseline"))
    assert [(line.name, [cell.text for cell in line.cells]) for line in lines] == [
        ("G-MPJPE", ["167.3", "806.8"]), ("Contact F1", ["65.0", "10.0"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("root", "words"), [(95.0, "So the place of the bodies"), (150.0, "So the shape and pose")])
def test_the_half_that_costs_more_is_named(root: float, words: str) -> None:
    means = {"sahmr": 167.0, "oracle-root": root, "oracle-mesh": 135.0}
    found = halves({name: {"global_mpjpe_mm": value} for name, value in means.items()}, ("sahmr",))
    assert f"would have {root:.0f} mm" in found
    assert words in found


def test_differences_are_signed_and_judged_by_their_interval() -> None:
    table = difference_table(BREAKDOWN, ("sahmr", "baseline"))
    assert table.head == ("baseline",)
    assert [(cell.text, cell.mark) for line in table.lines for cell in line.cells] == [
        ("+639.5", "worse"), ("\N{MINUS SIGN}55.0", "worse"),
    ]  # fmt: skip
    assert not difference_table(BREAKDOWN, ("sahmr",)).lines


def test_groups_and_parts() -> None:
    line = group_tables(BREAKDOWN, "sahmr")["posture"].lines[0]
    assert (line.name, [cell.text for cell in line.cells]) == ("lying", ["7", "2", "167.3", "-", "-", "65.0"])
    parts = part_table(BREAKDOWN, "sahmr")
    assert parts is not None
    assert (parts.lines[0].name, [cell.text for cell in parts.lines[0].cells]) == (
        "left foot", ["50", "-", "25", "4", "0"],
    )  # fmt: skip
    assert part_table(BREAKDOWN, "baseline") is None


def test_about_names_checkpoint_data_code_and_dropped_frames() -> None:
    about = {
        "predictors": {"sahmr": {"table_sha256": "aa", "checkpoint_sha256": "bb", "rounding": "floor"}},
        "data": {"fingerprint": "cc", "shards": "d" * 64},
        "code": {"version": "0.1", "sha256": "ee"},
        "frames": {"kept": 3, "dropped": {"multi_person": 30}},
    }
    assert dict(about_lines(about)) == {
        "predictions of sahmr": "table sha256 aa; checkpoint sha256 bb; rounding floor",
        "data": "fingerprint cc of shards dddddddddddd",
        "code": "version 0.1, sha256 ee",
        "frames": "3 used; dropped by rule: multi person 30",
    }
    assert "frames" not in dict(about_lines(about | {"frames": {}}))
