"""Sums of scores over groups of person-images, the means that follow, and how they compare with the baseline."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sahmr.scores.predictions import BASELINE, ORACLES
from schemas.metric import LARGER_IS_BETTER, METRIC_NAMES, SHARE_NAMES

NAMES = (*METRIC_NAMES, *SHARE_NAMES)
HEADLINE = ("global_mpjpe_mm", "mpjpe_mm", "pa_mpjpe_mm", "penetration_m")  # columns of dvc exp show
GROUPS = ("sequence", "scene", "camera", "posture", "occlusion", "distance")  # what scores are broken down by
_WITHIN_DEG = 30.0
_LOW = ("sitting", "lying")
# Ours: a person 2 m away fills RICH's images, 8 m is the far half of its rooms; a foot behind a step hides 5 %.
_BINS = {
    "distance": ("distance_m", (2.0, 4.0, 6.0, 8.0), ("0-2 m", "2-4 m", "4-6 m", "6-8 m", "8 m and more")),
    "occlusion": (
        "occluded_ratio", (0.05, 0.25, 0.5), ("0-5 %", "5-25 %", "25-50 %", "50 % and more"),
    ),
}  # fmt: skip


class Tally:
    """Adds score tables up, per predictor and group, and the differences to the first predictor, per sequence.

    Args:
        predictors: whose rows follow each other for every image, in this order.
    """

    def __init__(self, predictors: tuple[str, ...]) -> None:
        self.predictors = predictors
        self._cells: list[pa.Table] = []
        self._pairs: list[pa.Table] = []

    def add(self, scores: pa.Table) -> None:
        """Rows of whole images."""
        scores = _with_groups(_with_shares(scores))
        self._cells.append(_sums(scores, ("predictor", *GROUPS), _COUNT))
        if len(self.predictors) > 1:
            self._pairs.append(_sums(_differences(scores, self.predictors), ("predictor", "sequence"), _COUNT))

    def cells(self) -> pa.Table:
        """Sums per predictor and every combination of groups, and the number of ``frames``; first come, first row.

        ``<name>`` is the sum of a score where it is known, ``<name>:count`` the number of frames where it is.
        """
        return _sums(pa.concat_tables(self._cells), ("predictor", *GROUPS), _AGAIN)

    def pairs(self) -> pa.Table | None:
        """The same of differences, per predictor but the first and sequence; None: there is nothing to compare."""
        return _sums(pa.concat_tables(self._pairs), ("predictor", "sequence"), _AGAIN) if self._pairs else None


_COUNT = [("key", "count"), *((name, what) for name in NAMES for what in ("sum", "count"))]
_AGAIN = [(name, "sum") for name in ("frames", *(f"{name}{part}" for name in NAMES for part in ("", ":count")))]


def _with_shares(scores: pa.Table) -> pa.Table:
    """Also, of every frame, whether the trunk is within 30 degrees; of others than sitting and lying people unknown."""
    within = pc.less_equal(scores.column("trunk_angle_deg"), _WITHIN_DEG).cast(pa.float64())
    is_low = pc.is_in(scores.column("posture"), value_set=pa.array(_LOW))
    of_low = pc.if_else(is_low, within, pa.scalar(None, pa.float64()))
    for name, values in zip(SHARE_NAMES, (within, of_low), strict=True):
        scores = scores.append_column(name, values)
    return scores


def _with_groups(scores: pa.Table) -> pa.Table:
    """Also the bin of distance and occlusion, and the camera as text; a number on an edge is in the upper bin."""
    for name, (column, edges, labels) in _BINS.items():
        places = np.searchsorted(edges, scores.column(column).to_numpy(), side="right")
        scores = scores.append_column(name, pa.array(labels).take(pa.array(places)))
    camera = scores.column("camera").cast(pa.string()).fill_null("unknown")
    return scores.set_column(scores.column_names.index("camera"), "camera", camera)


def _differences(scores: pa.Table, predictors: tuple[str, ...]) -> pa.Table:
    """Of every image what each predictor but the first has more than the first; null where either has no score."""
    count = len(predictors)
    columns = {
        name: pa.array([text for text in scores.column(name).to_pylist()[::count] for _ in range(count - 1)])
        for name in ("key", "sequence")
    }
    columns["predictor"] = pa.array(list(predictors[1:]) * (len(scores) // count))
    for name in NAMES:
        values = scores.column(name).to_numpy().reshape(-1, count)  # NaN where null
        columns[name] = pa.array((values[:, 1:] - values[:, :1]).ravel(), from_pandas=True)
    return pa.table(columns)


def _sums(table: pa.Table, by: tuple[str, ...], wanted: list[tuple[str, str]]) -> pa.Table:
    """Group and add; columns are called as in :meth:`Tally.cells`."""
    found = table.group_by(list(by), use_threads=False).aggregate(wanted)
    called = [name if what == "sum" else "frames" if name == "key" else f"{name}:count" for name, what in wanted]
    return found.select([*by, *(f"{name}_{what}" for name, what in wanted)]).rename_columns([*by, *called])


def add_cells(cells: pa.Table, *by: str) -> pa.Table:
    """Sums per value of some columns, out of finer ones; first come, first row."""
    return _sums(cells, by, _AGAIN)


def mean_scores(cells: pa.Table, *by: str) -> pa.Table:
    """Means per value of some columns, and the number of ``frames``; first come, first row.

    A score that is known of no frame is null.
    """
    sums = add_cells(cells, *by)
    columns = {name: sums.column(name) for name in (*by, "frames")}
    for name in NAMES:
        columns[name] = pc.divide(sums.column(name), sums.column(f"{name}:count").cast(pa.float64()))
    return pa.table(columns)


def summarise(cells: pa.Table) -> dict[str, dict[str, object]]:
    """Means per predictor and, under ``improvement_percent``, how much better each is than the baseline, if there.

    None stands for a score that is known of no frame. Improvements are of errors alone: of shares that should be
    large there are none. Oracles are not compared: they know the truth.
    """
    rows = {str(row.pop("predictor")): row for row in mean_scores(cells, "predictor").to_pylist()}
    summary: dict[str, dict[str, object]] = {
        predictor: {name: None if value is None else round(value, 4) for name, value in row.items()}
        for predictor, row in rows.items()
    }
    rows = {predictor: row for predictor, row in rows.items() if predictor not in ORACLES}
    if BASELINE in rows and len(rows) > 1:
        base = rows.pop(BASELINE)
        errors = [name for name in METRIC_NAMES if name not in LARGER_IS_BETTER and base[name]]
        summary["improvement_percent"] = {
            predictor: {name: round(100 * (1 - row[name] / base[name]), 2) for name in errors if row[name] is not None}
            for predictor, row in rows.items()
        }
    return summary


def headline(dataset: str, summary: dict[str, dict[str, object]]) -> dict[str, dict[str, dict[str, object]]]:
    """What experiments are compared by: few scores of the first predictor, under names that say whose they are."""
    first = next(iter(summary))
    return {dataset: {first: {name: summary[first][name] for name in HEADLINE}}}


def sequence_csv(cells: pa.Table) -> str:
    """Means per predictor and sequence, sorted, to four digits, as CSV for ``dvc plots``."""
    means = mean_scores(cells, "predictor", "sequence").sort_by([("predictor", "ascending"), ("sequence", "ascending")])
    for name in NAMES:
        means = means.set_column(means.column_names.index(name), name, pc.round(means.column(name), 4))
    stream = io.BytesIO()
    pyarrow.csv.write_csv(means, stream)
    return stream.getvalue().decode()
