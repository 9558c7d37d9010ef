"""Means of scores: per predictor, per sequence, and how much better than the baseline."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sahmr.scores.evaluation import BASELINE
from schemas.metric import LARGER_IS_BETTER, METRIC_NAMES, SHARE_NAMES

NAMES = (*METRIC_NAMES, *SHARE_NAMES)
_WITHIN_DEG = 30.0
_LOW = ("sitting", "lying")


def add_scores(parts: Iterable[pa.Table]) -> pa.Table:
    """Sums of score tables per predictor and sequence, and the number of ``frames``; first come, first row.

    ``<name>`` is the sum of a score where it is known, ``<name>:count`` the number of frames where it is.
    """
    count = [("key", "count"), *((name, what) for name in NAMES for what in ("sum", "count"))]
    again = [(name, "sum") for name in ("frames", *(f"{name}{part}" for name in NAMES for part in ("", ":count")))]
    sums = [_sums(_with_shares(part), ("predictor", "sequence"), count) for part in parts]
    return _sums(pa.concat_tables(sums), ("predictor", "sequence"), again)


def _with_shares(scores: pa.Table) -> pa.Table:
    """Also, of every frame, whether the trunk is within 30 degrees; of others than sitting and lying people unknown."""
    within = pc.less_equal(scores.column("trunk_angle_deg"), _WITHIN_DEG).cast(pa.float64())
    is_low = pc.is_in(scores.column("posture"), value_set=pa.array(_LOW))
    of_low = pc.if_else(is_low, within, pa.scalar(None, pa.float64()))
    for name, values in zip(SHARE_NAMES, (within, of_low), strict=True):
        scores = scores.append_column(name, values)
    return scores


def _sums(table: pa.Table, by: tuple[str, ...], wanted: list[tuple[str, str]]) -> pa.Table:
    """Group and add; columns are called as in :func:`add_scores`."""
    found = table.group_by(list(by), use_threads=False).aggregate(wanted)
    called = [name if what == "sum" else "frames" if name == "key" else f"{name}:count" for name, what in wanted]
    return found.select([*by, *(f"{name}_{what}" for name, what in wanted)]).rename_columns([*by, *called])


def mean_scores(sums: pa.Table, *by: str) -> pa.Table:
    """Means of :func:`add_scores` per value of some columns, and the number of ``frames``; first come, first row.

    A score that is known of no frame is null.
    """
    names = ["frames", *(f"{name}{part}" for name in NAMES for part in ("", ":count"))]
    means = _sums(sums, by, [(name, "sum") for name in names])
    columns = {name: means.column(name) for name in (*by, "frames")}
    for name in NAMES:
        columns[name] = pc.divide(means.column(name), means.column(f"{name}:count").cast(pa.float64()))
    return pa.table(columns)


def summarise(sums: pa.Table) -> dict[str, dict[str, object]]:
    """Means per predictor and, under ``improvement_percent``, how much better each is than the baseline, if there.

    None stands for a score that is known of no frame. Improvements are of errors alone: of shares that should be
    large there are none.
    """
    rows = {str(row.pop("predictor")): row for row in mean_scores(sums, "predictor").to_pylist()}
    summary: dict[str, dict[str, object]] = {
        predictor: {name: None if value is None else round(value, 4) for name, value in row.items()}
        for predictor, row in rows.items()
    }
    if BASELINE in rows and len(rows) > 1:
        base = rows.pop(BASELINE)
        errors = [name for name in METRIC_NAMES if name not in LARGER_IS_BETTER and base[name] > 0]
        summary["improvement_percent"] = {
            predictor: {name: round(100 * (1 - row[name] / base[name]), 2) for name in errors}
            for predictor, row in rows.items()
        }
    return summary


def sequence_csv(sums: pa.Table) -> str:
    """Means per predictor and sequence, sorted, to four digits, as CSV for ``dvc plots``."""
    means = mean_scores(sums, "predictor", "sequence").sort_by([("predictor", "ascending"), ("sequence", "ascending")])
    for name in NAMES:
        means = means.set_column(means.column_names.index(name), name, pc.round(means.column(name), 4))
    stream = io.BytesIO()
    pyarrow.csv.write_csv(means, stream)
    return stream.getvalue().decode()
