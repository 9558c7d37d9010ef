"""The tables of a report: scores with intervals, differences, groups, contact parts, and where it all comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.metric import METRICS, Metric

_DIGITS = {"mm": 1, "m": 2, "deg": 1, "ratio": 1}
_UNITS = {"deg": "\N{DEGREE SIGN}", "ratio": "%"}
_CAPITALS = ("mpjpe", "mpve", "pa", "f1")
_HEADLINES = ("global_mpjpe_mm", "mpjpe_mm", "pa_mpjpe_mm", "contact_m", "contact_f1_ratio")
_GROUP_SCORES = ("global_mpjpe_mm", "mpjpe_mm", "penetration_m", "contact_f1_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number of a table.

    Attributes:
        text: the number; ``-``: not known.
        range: its interval, below it; empty: none.
        mark: CSS class: best, better, worse, or nothing.
    """

    text: str
    range: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row of a table.

    Attributes:
        name: of the row.
        note: small, below the name.
        cells: its numbers.
    """

    name: str
    note: str = ""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Head of every column but the first, and rows."""

    head: tuple[str, ...]
    lines: tuple[Line, ...]


def title_of(metric: Metric) -> str:
    """How people call a metric: the paper's name, or ours without its unit."""
    if metric.paper != "-":
        return metric.paper
    words = metric.name.removesuffix(f"_{metric.unit}").split("_")
    words = [word.upper() if word in _CAPITALS else word for word in words]
    text = "-".join(words) if words[0] == "PA" else " ".join(words)
    return text[0].upper() + text[1:]


def unit_of(metric: Metric) -> str:
    """As it is shown: shares in percent."""
    return _UNITS.get(metric.unit, metric.unit)


def score_table(breakdown: Mapping[str, Any], names: tuple[str, ...], oracles: tuple[str, ...]) -> Table:
    """Every metric of every predictor and oracle; the best predictor of a row is marked if there are several."""
    lines = []
    for metric in METRICS:
        found = {name: breakdown["all"][name].get(metric.name) for name in (*names, *oracles)}
        known = [found[name][0] for name in names if found[name]]
        best = (max if metric.larger_is_better else min)(known) if len(known) > 1 else None
        cells = [
            _cell(metric, found[name], "best" if name in names and found[name] and found[name][0] == best else "")
            for name in found
        ]
        arrow = "\N{UPWARDS ARROW}" if metric.larger_is_better else "\N{DOWNWARDS ARROW}"
        name = f"{title_of(metric)}, {unit_of(metric)} {arrow}"
        lines.append(Line(name=name, note=metric.formula, cells=tuple(cells)))
    return Table(head=(*names, *oracles), lines=tuple(lines))


def headlines(breakdown: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Line, ...]:
    """The first predictor's best known scores, beside the baseline's where there is one."""
    found = []
    for metric in METRICS:
        ours = breakdown["all"][names[0]].get(metric.name)
        if metric.name in _HEADLINES and ours:
            theirs = breakdown["all"].get("baseline", {}).get(metric.name) if names[0] != "baseline" else None
            cells = (_cell(metric, ours), *([_cell(metric, theirs)] if theirs else []))
            found.append(Line(name=title_of(metric), note=unit_of(metric), cells=cells))
    return tuple(found)


def halves(summary: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """In a sentence, which half of the method its error comes from."""
    error, root, mesh = (summary[name]["global_mpjpe_mm"] for name in (names[0], "oracle-root", "oracle-mesh"))
    costs = "place" if error - root > error - mesh else "shape and pose"
    return (
        f"G-MPJPE is {error:.0f} mm. Moved to the true root the same meshes would have {root:.0f} mm; true meshes "
        f"at the predicted roots {mesh:.0f} mm. So the {costs} of the bodies costs more."
    )


def difference_table(breakdown: Mapping[str, Any], names: tuple[str, ...]) -> Table:
    """What each predictor has more than the first, image by image; marked where the interval does not hold 0."""
    others = tuple(name for name in names[1:] if name in breakdown["differences"])
    lines = []
    for metric in METRICS:
        found = [breakdown["differences"][name].get(metric.name) for name in others]
        if any(found):
            cells = tuple(_cell(metric, each, _verdict(metric, each), signed=True) for each in found)
            lines.append(Line(name=f"{title_of(metric)}, {unit_of(metric)}", cells=cells))
    return Table(head=others, lines=tuple(lines) if others else ())


def group_tables(breakdown: Mapping[str, Any], first: str) -> dict[str, Table]:
    """The first predictor's scores per kind of group."""
    metrics = [metric for metric in METRICS if metric.name in _GROUP_SCORES]
    head = ("images", "sequences", *(f"{title_of(metric)}, {unit_of(metric)}" for metric in metrics))
    return {
        kind: Table(
            head=head,
            lines=tuple(
                Line(
                    name=value,
                    cells=(
                        Cell(text=str(group["frames"])),
                        Cell(text=str(group["sequences"])),
                        *(_cell(metric, group["predictors"][first].get(metric.name)) for metric in metrics),
                    ),
                )
                for value, group in groups.items()
            ),
        )
        for kind, groups in breakdown["groups"].items()
    }


def part_table(breakdown: Mapping[str, Any], first: str) -> Table | None:
    """Contact points of the first predictor by body part; None if it never says."""
    parts = breakdown["contact_parts"].get(first)
    if parts is None:
        return None
    lines = []
    for name, found in parts.items():
        shares = [found[f"{share}_ratio"] for share in ("precision", "recall", "f1")]
        cells = [Cell(text="-" if share is None else f"{100 * share:.0f}") for share in shares]
        counts = [Cell(text=str(found[count])) for count in ("predicted_points", "true_points")]
        lines.append(Line(name=name.replace("_", " "), cells=(*cells, *counts)))
    return Table(head=("precision, %", "recall, %", "F1, %", "points predicted", "points true"), lines=tuple(lines))


def about_lines(about: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Where the scores come from: predictors and their checkpoints, data, code, frames."""
    found = []
    for name, facts in about["predictors"].items():
        words = [f"{key.replace('_', ' ')} {value}" for key, value in facts.items()]
        found.append((f"predictions of {name}", "; ".join(words)))
    data = dict(about["data"])
    found.append(
        ("data", f"fingerprint {data.pop('fingerprint')} of " + ", ".join(f"{k} {v[:12]}" for k, v in data.items()))
    )
    found.append(("code", f"version {about['code']['version']}, sha256 {about['code']['sha256']}"))
    frames = about["frames"]
    if frames:
        dropped = ", ".join(f"{rule.replace('_', ' ')} {count}" for rule, count in frames["dropped"].items())
        found.append(("frames", f"{frames['kept']} used; dropped by rule: {dropped or 'none'}"))
    return tuple(found)


def _cell(metric: Metric, found: list[float | None] | None, mark: str = "", *, signed: bool = False) -> Cell:
    if not found:
        return Cell(text="-")
    mean, low, high = (None if value is None else _number(metric, value, signed) for value in found)
    return Cell(text=mean or "-", range="" if low is None else f"{low} to {high}", mark=mark)


def _number(metric: Metric, value: float, signed: bool) -> str:
    value = 100 * value if metric.unit == "ratio" else value
    text = f"{value:{'+' if signed else ''}.{_DIGITS[metric.unit]}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _verdict(metric: Metric, found: list[float | None] | None) -> str:
    """better or worse than the first, if the interval says so."""
    if not found or found[1] is None or found[2] is None or found[1] <= 0 <= found[2]:
        return ""
    return "better" if (found[1] > 0) == metric.larger_is_better else "worse"
