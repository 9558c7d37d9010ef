"""Means, improvements, groups, and intervals over sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from sahmr.scores.bootstrap import intervals
from sahmr.scores.breakdown import break_down, to_text
from sahmr.scores.summary import Tally, mean_scores, sequence_csv, summarise
from schemas.metric import LARGER_IS_BETTER, METRIC_NAMES, METRIC_SCHEMA, MetricRecord
from schemas.tables_write import to_table

PLACE: dict[str, object] = {"scene": "c", "camera": 0, "distance_m": 3.0, "occluded_ratio": 0.0}


def record(
    predictor: str, sequence: str, value: float, *, posture: str = "standing", **changes: object
) -> MetricRecord:
    values = {**dict.fromkeys(METRIC_NAMES, value), **PLACE, "posture": posture} | changes
    return MetricRecord(key="k", predictor=predictor, sequence=sequence, **values)


def table(rows: Sequence[tuple[str, str, float]]):
    """Scores that are all the same number, of (predictor, sequence, number)."""
    return to_table([record(*row) for row in rows], METRIC_SCHEMA)


def test_summary_means_and_improvement_of_each() -> None:
    rows = [("sahmr", "s", 1.0), ("other", "s", 3.0), ("baseline", "s", 6.0), ("sahmr", "s", 2.0)]
    summary = summarise(cells(table(rows)))
    assert list(summary) == ["sahmr", "other", "baseline", "improvement_percent"]
    shares = {"trunk_within_30_ratio": 1.0, "trunk_within_30_sitting_lying_ratio": None}
    assert summary["sahmr"] == {"frames": 2, **dict.fromkeys(METRIC_NAMES, 1.5), **shares}
    errors = [name for name in METRIC_NAMES if name not in LARGER_IS_BETTER]
    assert summary["improvement_percent"] == {
        "sahmr": dict.fromkeys(errors, 75.0),
        "other": dict.fromkeys(errors, 50.0),
    }


def test_means_are_of_the_frames_where_a_score_is_known() -> None:
    """Over two tables and three sequences; the baseline never says who touches what."""
    unknown: dict[str, object] = {"contact_precision_ratio": None, "contact_recall_ratio": None}
    precise = {"contact_precision_ratio": None, "contact_recall_ratio": 0.0}
    parts = [
        [record("sahmr", "s", 0.5), record("baseline", "s", 1.0, **unknown), record("sahmr", "t", 0.9, **unknown)],
        [record("sahmr", "u", 0.25, **precise), record("baseline", "s", 1.0, **unknown)],
    ]
    sums = cells(*(to_table(part, METRIC_SCHEMA) for part in parts))
    summary = summarise(sums)
    assert summary["sahmr"]["contact_precision_ratio"] == 0.5
    assert summary["sahmr"]["contact_recall_ratio"] == 0.25
    assert summary["sahmr"]["mpjpe_mm"] == 0.55
    assert summary["baseline"]["contact_precision_ratio"] is summary["baseline"]["contact_recall_ratio"] is None
    by_sequence = mean_scores(sums, "predictor", "sequence")
    assert by_sequence.column("contact_precision_ratio").to_pylist() == [0.5, None, None, None]
    assert ",," in sequence_csv(sums)


def test_shares_of_trunks_within_30_degrees_of_all_and_of_the_low() -> None:
    rows = [
        record("sahmr", "s", 30.0, posture="lying"), record("sahmr", "s", 30.1, posture="sitting"),
        record("sahmr", "s", 9.0, posture="crouching"), record("sahmr", "t", 9.0, posture="standing"),
    ]  # fmt: skip
    summary = summarise(cells(to_table(rows, METRIC_SCHEMA)))["sahmr"]
    assert summary["trunk_within_30_ratio"] == 0.75
    assert summary["trunk_within_30_sitting_lying_ratio"] == 0.5


@pytest.mark.parametrize("predictor", ["sahmr", "baseline"])
def test_one_predictor_alone_is_compared_with_nothing(predictor: str) -> None:
    assert summarise(cells(table([(predictor, "s", 1.0)]))).keys() == {predictor}


def test_perfect_baseline_gives_no_percentage() -> None:
    summary = summarise(cells(table([("sahmr", "s", 1.0), ("baseline", "s", 0.0)])))
    assert summary["improvement_percent"] == {"sahmr": {}}


def test_means_per_sequence() -> None:
    scores = cells(table([("b", "t", 1.0), ("a", "s", 2 / 3)]), table([("b", "t", 2.0)]))
    assert mean_scores(scores, "predictor", "sequence").column("frames").to_pylist() == [2, 1]
    lines = sequence_csv(scores).splitlines()
    assert lines[0].startswith('"predictor","sequence","frames","global_mpjpe_mm"')
    assert [line.split(",")[:4] for line in lines[1:]] == [['"a"', '"s"', "1", "0.6667"], ['"b"', '"t"', "2", "1.5"]]


def cells(*tables: pa.Table) -> pa.Table:
    tally = Tally(("sahmr",))  # no differences: rows need not be of pairs
    for each in tables:
        tally.add(each)
    return tally.cells()


def random_rows(sequences: int, seed: int = 0) -> list[MetricRecord]:
    """Two predictors, one of them 10 worse with a spread of 1; sequences of 3 to 7 frames that resemble each other."""
    draw, rows = np.random.default_rng(seed), []
    for sequence in range(sequences):
        base = draw.normal(100, 20)
        for number in range(int(draw.integers(3, 8))):
            value = base + draw.normal(0, 3)
            changes = {"key": f"{sequence}-{number}", "camera": number % 2, "distance_m": value / 25}
            for predictor, off in (("sahmr", 0.0), ("other", 10 + draw.normal(0, 1))):
                known = None if number == 0 and predictor == "other" else value + off
                rows.append(replace(record(predictor, f"s{sequence}", value + off, contact_f1_ratio=known), **changes))
    return rows


def tally_of(rows: Sequence[MetricRecord], predictors: tuple[str, ...] = ("sahmr", "other")) -> Tally:
    tally = Tally(predictors)
    tally.add(to_table(rows, METRIC_SCHEMA))
    return tally


def test_intervals_are_those_of_a_loop_over_draws() -> None:
    rows = random_rows(6)
    mean, low, high = intervals(tally_of(rows).cells())["sahmr"]["mpjpe_mm"]
    by_sequence = [
        [row.mpjpe_mm for row in rows if row.predictor == "sahmr" and row.sequence == f"s{number}"]
        for number in range(6)
    ]
    times = np.random.default_rng(66).multinomial(6, [1 / 6] * 6, size=2000)
    means = [
        np.mean(np.repeat(np.concatenate(by_sequence), np.repeat(row, list(map(len, by_sequence))))) for row in times
    ]
    assert mean == pytest.approx(np.mean(np.concatenate(by_sequence)), abs=1e-4)
    assert [low, high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-4)


def test_sequences_are_drawn_not_frames() -> None:
    """Two sequences, of 1 and of 3: a mean is one of 1, 2, 3, however many frames there are."""
    rows = [record("sahmr", name, value) for name, value in (("s", 1.0), ("t", 3.0)) for _ in range(500)]
    assert intervals(cells(to_table(rows, METRIC_SCHEMA)))["sahmr"]["mpve_mm"] == [2.0, 1.0, 3.0]


def test_one_sequence_has_a_mean_and_no_interval() -> None:
    found = intervals(cells(table([("sahmr", "s", 1.0), ("sahmr", "s", 3.0)])))["sahmr"]
    assert found["mpve_mm"] == [2.0, None, None]
    assert "trunk_within_30_sitting_lying_ratio" not in found  # known of no frame


def test_paired_differences_are_narrower_than_the_scores() -> None:
    """Sequences differ by 20, the methods by 10 +- 1 in each frame: only the pairs tell them apart."""
    rows = random_rows(12)
    found = break_down(tally_of(rows), {})
    assert found["differences"].keys() == {"other"}
    mean, low, high = found["differences"]["other"]["mpjpe_mm"]
    assert (low, high) == (pytest.approx(10, abs=1), pytest.approx(10, abs=1))
    assert low < mean < high
    ends = {name: found["all"][name]["mpjpe_mm"][1:] for name in ("sahmr", "other")}
    assert ends["sahmr"][1] > ends["other"][0]
    both = [row.key for row in rows if row.predictor == "other" and row.contact_f1_ratio is not None]
    values = {(row.predictor, row.key): row.contact_f1_ratio for row in rows}
    assert found["differences"]["other"]["contact_f1_ratio"][0] == pytest.approx(
        np.mean([values["other", key] - values["sahmr", key] for key in both]), abs=1e-4
    )


def test_groups_hold_their_frames() -> None:
    rows = random_rows(4)
    groups = break_down(tally_of(rows), {})["groups"]
    assert list(groups) == ["sequence", "scene", "camera", "posture", "occlusion", "distance"]
    for group in groups.values():
        assert sum(value["frames"] for value in group.values()) == len(rows) // 2
    mine = [row.mpve_mm for row in rows if row.predictor == "sahmr" and 4 <= row.distance_m < 6]
    assert groups["distance"]["4-6 m"]["predictors"]["sahmr"]["mpve_mm"][0] == pytest.approx(np.mean(mine), abs=1e-4)
    assert groups["camera"].keys() == {"0", "1"}
    assert groups["occlusion"].keys() == {"0-5 %"}
    assert groups["sequence"]["s0"]["sequences"] == 1


@pytest.mark.parametrize(
    ("column", "value", "label"),
    [("distance_m", 2.0, "2-4 m"), ("distance_m", 99.0, "8 m and more"), ("occluded_ratio", 0.049, "0-5 %"),
     ("occluded_ratio", 1.0, "50 % and more")],
)  # fmt: skip
def test_edges_of_bins(column: str, value: float, label: str) -> None:
    found = cells(to_table([record("sahmr", "s", 1.0, **{column: value})], METRIC_SCHEMA))
    assert label in (found.column("distance")[0].as_py(), found.column("occlusion")[0].as_py())


def test_cameras_that_nobody_knows_are_one_group() -> None:
    rows = [record("sahmr", "s", 1.0, camera=None)]
    assert break_down(tally_of(rows, ("sahmr",)), {})["groups"]["camera"].keys() == {"unknown"}


def test_parts_pool_points_and_leave_out_who_never_says() -> None:
    counts = np.zeros((7, 4), dtype=np.int64)
    counts[0], counts[1] = [4, 3, 10, 5], [0, 0, 8, 0]
    found = break_down(tally_of([record("sahmr", "s", 1.0)], ("sahmr",)), {"sahmr": counts, "base": counts * 0})
    parts = found["contact_parts"]
    assert parts.keys() == {"sahmr"}
    assert parts["sahmr"]["left_foot"] == {
        "precision_ratio": 0.75, "recall_ratio": 0.5, "f1_ratio": 0.6, "predicted_points": 4, "true_points": 10
    }  # fmt: skip
    assert (parts["sahmr"]["right_foot"]["precision_ratio"], parts["sahmr"]["right_foot"]["f1_ratio"]) == (None, 0.0)
    assert parts["sahmr"]["thighs"]["f1_ratio"] is None


def test_text_is_json_with_a_line_per_score() -> None:
    found = {"a": {"b": [1.0, None, 2.0]}, "c": {}}
    assert to_text(found) == '{\n "a": {\n  "b": [1.0, null, 2.0]\n },\n "c": {}\n}'


def test_oracles_are_not_compared_with_the_baseline() -> None:
    summary = summarise(cells(table([("sahmr", "s", 1.0), ("baseline", "s", 2.0), ("oracle-root", "s", 0.5)])))
    assert list(summary) == ["sahmr", "baseline", "oracle-root", "improvement_percent"]
    assert summary["improvement_percent"].keys() == {"sahmr"}
