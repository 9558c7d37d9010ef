"""The charts of a report, out of the table of scores: per sequence, against depth, how errors spread, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from sahmr.report.charts import (
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

_BINS, _FEWEST = 8, 5  # of distance, with as many images each; fewer images in one make fewer bins
_STEPS = 100  # of a curve
_SPREAD = (10, 90)  # percentiles of a sequence's thin line


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart and the words round it.

    Attributes:
        title: above it.
        note: below it: what is drawn, and how to read it.
        svg: the drawing; empty: there is none, and the note says why.
        legend: (kind, name) of its marks.
    """

    title: str
    note: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()


def kinds_of(predictors: tuple[str, ...], oracles: tuple[str, ...]) -> dict[str, str]:
    """Which color each predictor and oracle has: the first is the model."""
    found = dict.fromkeys(predictors, "other")
    found |= {"baseline": "baseline"} if "baseline" in predictors else {}
    return found | {predictors[0]: "model"} | {name: f"oracle {name}" for name in oracles}


def sequence_figure(scores: pa.Table, name: str, title: str, kinds: Mapping[str, str]) -> Figure:
    """Means per sequence, the worst of the first predictor on top; oracles are left out."""
    shown = [predictor for predictor, kind in kinds.items() if not kind.startswith("oracle")]
    values = {predictor: _column(scores, predictor, name) for predictor in shown}
    sequences = np.array(_of(scores, shown[0]).column("sequence").to_pylist())
    rows = []
    for sequence in np.unique(sequences).tolist():
        ours = {predictor: found[sequences == sequence] for predictor, found in values.items()}
        marks = [(kinds[predictor], _mean(found)) for predictor, found in reversed(ours.items())]
        low, high = np.percentile(ours[shown[0]], _SPREAD)
        note = f"{len(ours[shown[0]])} images; " + ", ".join(
            f"{each} {_mean(found):.0f}" for each, found in ours.items()
        )
        rows.append(Row(name=sequence, spread=(float(low), float(high)), marks=marks, note=note))
    rows.sort(key=lambda row: (-row.marks[-1][1], row.name))
    every = np.array([value for row in rows for value in (*(row.spread or ()), *(mark for _, mark in row.marks))])
    return Figure(
        title=f"{title} per sequence",
        note="Dots are means over a sequence's images; the line is the first method's 10th to 90th percentile.",
        svg=rows_chart(rows, axis_over(f"{title}, mm", every), label=f"{title} per sequence"),
        legend=tuple((kinds[predictor], predictor) for predictor in shown),
    )


def depth_figure(scores: pa.Table, name: str, title: str, kinds: Mapping[str, str]) -> Figure:
    """Every image of the first predictor against its distance from the camera, and means of all predictors."""
    first = next(iter(kinds))
    depth, ours = (_column(scores, first, column) for column in ("distance_m", name))
    groups = np.array_split(np.argsort(depth, kind="stable"), int(np.clip(len(depth) // _FEWEST, 1, _BINS)))
    at = np.array([depth[group].mean() for group in groups])
    lines = [
        Series(name=predictor, kind=kind, x=at, y=np.array([_mean(found[group]) for group in groups]))
        for predictor, kind in kinds.items()
        for found in [_column(scores, predictor, name)]
    ]
    y = log_axis(f"{title}, mm", np.concatenate([ours, *(line.y for line in lines)]))
    x = axis_over("distance of the pelvis from the camera, m", depth, low=float(np.floor(depth.min())))
    points = Series(name=first, kind=kinds[first], x=depth, y=ours)
    return Figure(
        title=f"{title} against depth",
        note=f"A faint point per image of {first}; lines are means over {len(groups)} groups of equally many images.",
        svg=scatter_chart(points, lines[::-1], x, y, label=f"{title} against the distance from the camera"),
        legend=tuple((kind, predictor) for predictor, kind in kinds.items()),
    )


def spread_figure(scores: pa.Table, name: str, title: str, kinds: Mapping[str, str]) -> Figure:
    """Share of the images whose error is at most so large."""
    errors = {predictor: _column(scores, predictor, name) for predictor in kinds}
    x = log_axis(f"{title}, mm", np.concatenate([*errors.values()]))
    steps = np.geomspace(x.low, x.high, _STEPS)
    lines = [
        Series(name=predictor, kind=kind, x=steps, y=shares_below(errors[predictor], steps))
        for predictor, kind in kinds.items()
    ]
    return Figure(
        title=f"How {title} spreads",
        note="Share of the images whose error is at most so large; farther left and up is better.",
        svg=curves_chart(lines[::-1], x, Axis(title="images, %", low=0, high=100), label=f"Distribution of {title}"),
        legend=tuple((kind, predictor) for predictor, kind in kinds.items()),
    )


def calibration_figure(counts: Float[ndarray, "bins 3"], first: str) -> Figure:
    """Predicted probability of contact against the share that truly is; on the diagonal they agree.

    Args:
        counts: per bin of probability: points, the sum of their probabilities, and how many are touched.
        first: the predictor.
    """
    title, counts = "Contact calibration", counts[counts[:, 0] > 0]
    if not len(counts):
        return Figure(title=title, note=f"{first} gives no probabilities of contact, so none can be judged.", svg="")
    points, said, found = counts.T
    off, total = np.abs(said - found).sum() / points.sum(), int(points.sum())
    line = Series(name=first, kind="model", x=said / points, y=found / points)
    x, y = (Axis(title=name, low=0, high=1) for name in ("predicted probability of contact", "share truly touched"))
    return Figure(
        title=title,
        note=(
            f"{total:,} scan points near the predicted roots, by probability; {points[0] / total:.0%} are in the first "
            f"dot. Below the diagonal: too sure of contact. Mean gap (expected calibration error): {off:.3f}."
        ),
        svg=curves_chart([line], x, y, label=title, diagonal=True),
        legend=(("model", first), ("diagonal", "perfect")),
    )


def _of(scores: pa.Table, predictor: str) -> pa.Table:
    return scores.filter(pc.equal(scores.column("predictor"), predictor))


def _column(scores: pa.Table, predictor: str, name: str) -> Float[ndarray, " images"]:
    """A column of one predictor; NaN where it is not known."""
    column = _of(scores, predictor).column(name)
    return np.array(column.to_numpy(), dtype=np.float64)


def _mean(values: Float[ndarray, " n"]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
