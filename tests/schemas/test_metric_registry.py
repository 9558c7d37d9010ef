"""One place knows every metric: columns, records, summaries and the page agree with it."""

from __future__ import annotations

from dataclasses import fields

from sahmr.scores.summary import NAMES
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA, METRICS, SHARE_NAMES, MetricRecord
from tests.imports import ROOT


def rows_of_page() -> list[list[str]]:
    text = (ROOT / "docs/numbers.md").read_text()
    table = text.partition("| name in the table |")[2].partition("\n\n")[0].splitlines()[2:]
    return [
        [cell.strip().replace("\0", "|") for cell in line.replace("\\|", "\0").strip("|").split("|")] for line in table
    ]


def test_the_page_has_every_metric_as_it_is() -> None:
    assert rows_of_page() == [[f"`{m.name}`", m.paper, m.formula, m.unit, m.source] for m in METRICS]


def test_names_are_different_and_say_their_unit() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.endswith(f"_{metric.unit}"), metric
        assert all((metric.formula, metric.paper, metric.source)), metric


def test_columns_records_and_summaries_follow() -> None:
    assert (*METRIC_NAMES, *SHARE_NAMES) == NAMES == tuple(metric.name for metric in METRICS)
    assert [field.name for field in fields(MetricRecord)] == METRIC_SCHEMA.names
    for metric in METRICS:
        if metric.of_frame:
            field = METRIC_SCHEMA.field(metric.name)
            assert field.nullable == metric.nullable
            assert field.metadata[b"note"].decode() == metric.formula
            assert field.metadata.get(b"unit", b"ratio").decode() == metric.unit
