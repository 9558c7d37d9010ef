"""Axes, marks and words of the drawings."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from sahmr.report.charts import (
    WIDTH,
    Axis,
    Row,
    Series,
    axis_over,
    curves_chart,
    log_axis,
    rows_chart,
    scatter_chart,
    shares_below,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 834, [0, 200, 400, 600, 800]),
        (3, 7.2, [3, 4, 5, 6, 7]),
        (-0.2, 0.2, [-0.2, -0.1, 0, 0.1, 0.2]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Axis(title="m", low=low, high=high).ticks() == ticks


def test_logarithmic_ticks_and_places() -> None:
    axis = Axis(title="mm", low=10, high=1000, is_log=True)
    assert axis.ticks() == [10, 20, 50, 100, 200, 500, 1000]
    np.testing.assert_allclose(axis.place(np.array([10.0, 100, 1000, 0.1]), 0, 200), [0, 100, 200, 0])


def test_axes_hold_what_is_known() -> None:
    assert axis_over("mm", np.array([1.0, NAN, 20])) == Axis(title="mm", low=0, high=21)
    assert axis_over("mm", np.array([NAN])) == Axis(title="mm", low=0, high=1)
    assert log_axis("mm", np.array([0.0, NAN])).low == 1  # perfect predictions
    assert log_axis("mm", np.array([11.0, 1000])).low == pytest.approx(10)


def test_rows_have_a_dot_a_mark_and_a_line_for_the_spread() -> None:
    axis = Axis(title="G-MPJPE, mm", low=0, high=100)
    rows = [
        Row(
            name="a <b> & a very long name of a sequence",
            spread=(10.0, 20.0),
            marks=[("baseline", 100.0), ("model", NAN)],
        ),
        Row(name="c", marks=[("model", 0.0)]),
    ]
    svg = rows_chart(rows, axis, label="a & b")
    root = ET.fromstring(svg)
    dots = list(root.iter("circle"))
    assert [dot.get("class") for dot in dots] == ["dot baseline", "dot model"]
    assert [float(dot.get("cx", "nan")) for dot in dots] == [WIDTH - 12, 150]
    assert len([path for path in root.iter("path") if path.get("class") == "spread"]) == 1
    assert root.get("aria-label") == "a & b"
    names = [text.text for text in root.iter("text") if text.get("class") == "name"]
    assert names == ["a <b> & a \N{HORIZONTAL ELLIPSIS}a sequence", "c"]


def test_points_and_lines_leave_out_what_is_unknown() -> None:
    x, y = Axis(title="m", low=0, high=10), Axis(title="mm", low=0, high=1)
    points = Series(name="p", kind="model", x=np.array([1.0, NAN, 3]), y=np.array([0.5, 0.5, NAN]))
    line = Series(name="l", kind="oracle", x=np.array([0.0, 10]), y=np.array([0.0, 1]))
    root = ET.fromstring(scatter_chart(points, [line], x, y, label="l"))
    paths = {path.get("class"): path.get("d") for path in root.iter("path")}
    assert paths["points model"].count("h0") == 1
    assert paths["line oracle"] == f"M46 260L{WIDTH - 12} 10"


def test_a_curve_of_nothing_is_no_curve() -> None:
    axis = Axis(title="m", low=0, high=1)
    empty = Series(name="e", kind="model", x=np.array([NAN]), y=np.array([0.0]))
    root = ET.fromstring(curves_chart([empty], axis, axis, label="l", diagonal=True))
    assert [path.get("class") for path in root.iter("path") if path.get("class") != "grid"] == ["diagonal"]


def test_shares_below_by_hand() -> None:
    found = shares_below(np.array([3.0, 1, NAN, 2, 2]), np.array([0.0, 1, 2, 3]))
    assert found.tolist() == [0, 25, 75, 100]
