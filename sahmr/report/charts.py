"""Charts as inline SVG: marks per row, points over an axis, curves, and how probabilities hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from jaxtyping import Float
from numpy import ndarray

WIDTH = 460  # of the drawing's own units; a page scales it, and letters of 12 stay readable at a phone's width
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 40
_ROW, _LABEL = 18, 150  # height of a row, and room for its name
_LETTERS = 21  # of a row's name before its middle is left out
_TICKS = 5  # about so many on an axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of a chart.

    Attributes:
        title: with the unit.
        low, high: its ends.
        is_log: whether equal lengths are equal ratios.
    """

    title: str
    low: float
    high: float
    is_log: bool = False

    def ticks(self) -> list[float]:
        """Round numbers between the ends."""
        if self.is_log:
            powers = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)
            every = (times * 10.0**power for power in powers for times in (1, 2, 5))
            return [float(np.round(value, 10)) for value in every if self.low <= value <= self.high]
        span = self.high - self.low
        step = 10.0 ** np.floor(np.log10(span / _TICKS))
        step *= next(times for times in (1, 2, 5, 10) if span / (step * times) <= _TICKS)
        first = np.ceil(self.low / step - 1e-9)
        return [float(np.round(k * step, 10)) + 0.0 for k in np.arange(first, np.floor(self.high / step + 1e-9) + 1)]

    def place(self, values: Float[ndarray, " n"], start: float, end: float) -> Float[ndarray, " n"]:
        """Where values lie between two ends in the drawing; what is outside lies on the edge."""
        within, low, high = np.clip(values, self.low, self.high), self.low, self.high
        if self.is_log:
            within, low, high = np.log(within), float(np.log(low)), float(np.log(high))
        placed: Float[ndarray, " n"] = start + (within - low) / (high - low) * (end - start)
        return placed


def axis_over(title: str, values: Float[ndarray, " n"], *, low: float | None = 0.0) -> Axis:
    """An axis that holds all finite values, with some room; of none, and of equal ones, a length of 1."""
    known = values[np.isfinite(values)]
    start = low if low is not None else float(known.min(initial=np.inf)) if len(known) else 0.0
    end = float(known.max(initial=start)) if len(known) else start
    return Axis(title=title, low=start, high=start + (end - start) * 1.05 if end > start else start + 1)


def log_axis(title: str, values: Float[ndarray, " n"], *, floor: float = 1.0) -> Axis:
    """A logarithmic axis that holds all finite values, with some room; what is below ``floor`` lies on its edge."""
    known = values[np.isfinite(values) & (values > floor)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (floor, floor)
    return Axis(title=title, low=max(floor, low / 1.1), high=max(high * 1.1, 2 * low), is_log=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points that belong together.

    Attributes:
        name: in the legend.
        kind: its CSS class: model, baseline, oracle or other, which has the color.
        x, y: of every point; with a NaN it is left out.
    """

    name: str
    kind: str
    x: Float[ndarray, " n"]
    y: Float[ndarray, " n"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a chart of rows.

    Attributes:
        name: its label.
        spread: ends of a thin line; None: none.
        marks: (kind, value) of dots.
        note: shown when pointed at.
    """

    name: str
    spread: tuple[float, float] | None = None
    marks: Sequence[tuple[str, float]] = field(default_factory=tuple)
    note: str = ""


def rows_chart(rows: Sequence[Row], axis: Axis, *, label: str) -> str:
    """A dot per mark and row, over a line for the spread."""
    height = _TOP + len(rows) * _ROW + _BOTTOM
    left, right, bottom = _LABEL, WIDTH - _RIGHT, height - _BOTTOM
    out = [_grid_x(axis, left, right, _TOP, bottom)]
    for number, row in enumerate(rows):
        y = _TOP + (number + 0.5) * _ROW
        name = _shortened(row.name)
        out.append(f"<g><title>{escape(row.name)}: {escape(row.note)}</title>")
        out.append(f'<text class="name" x="{left - 8}" y="{_number(y + 4)}">{escape(name)}</text>')
        if row.spread is not None:
            low, high = axis.place(np.array(row.spread), left, right)
            out.append(f'<path class="spread" d="M{_number(low)} {_number(y)}H{_number(high)}"/>')
        for kind, value in row.marks:
            if np.isfinite(value):
                x = axis.place(np.array([value]), left, right)[0]
                out.append(f'<circle class="dot {kind}" cx="{_number(x)}" cy="{_number(y)}" r="4.5"/>')
        out.append("</g>")
    return _svg(out, height, label)


def scatter_chart(points: Series, lines: Sequence[Series], x: Axis, y: Axis, *, label: str) -> str:
    """Faint points and a line per series."""
    height = 300
    left, right, bottom = _LEFT, WIDTH - _RIGHT, height - _BOTTOM
    out = [_grid_x(x, left, right, _TOP, bottom), _grid_y(y, left, right, _TOP, bottom)]
    known = np.isfinite(points.x) & np.isfinite(points.y)
    px, py = x.place(points.x[known], left, right), y.place(points.y[known], bottom, _TOP)
    order = np.lexsort((py, px))
    path = "".join(f"M{_number(a)} {_number(b)}h0" for a, b in zip(px[order], py[order], strict=True))
    out.append(f'<path class="points {points.kind}" d="{path}"/>')
    out += [_line(line, x, y, (left, right), (bottom, _TOP), dots=True) for line in lines]
    return _svg(out, height, label)


def curves_chart(lines: Sequence[Series], x: Axis, y: Axis, *, label: str, diagonal: bool = False) -> str:
    """A line per series; with ``diagonal`` also one from corner to corner."""
    height = 300
    left, right, bottom = _LEFT, WIDTH - _RIGHT, height - _BOTTOM
    out = [_grid_x(x, left, right, _TOP, bottom), _grid_y(y, left, right, _TOP, bottom)]
    if diagonal:
        out.append(f'<path class="diagonal" d="M{left} {bottom}L{right} {_TOP}"/>')
    out += [_line(line, x, y, (left, right), (bottom, _TOP), dots=diagonal) for line in lines]
    return _svg(out, height, label)


def shares_below(errors: Float[ndarray, " n"], steps: Float[ndarray, " steps"]) -> Float[ndarray, " steps"]:
    """Share of the known errors that are at most each step, percent."""
    known = np.sort(errors[np.isfinite(errors)])
    found: Float[ndarray, " steps"] = 100 * np.searchsorted(known, steps, side="right") / max(1, len(known))
    return found


def _line(
    line: Series, x: Axis, y: Axis, across: tuple[float, float], along: tuple[float, float], *, dots: bool
) -> str:
    known = np.isfinite(line.x) & np.isfinite(line.y)
    places = list(zip(x.place(line.x[known], *across), y.place(line.y[known], *along), strict=True))
    path = "L".join(f"{_number(a)} {_number(b)}" for a, b in places)
    found = f'<path class="line {line.kind}" d="M{path}"><title>{escape(line.name)}</title></path>' if places else ""
    if dots:
        found += "".join(
            f'<circle class="dot {line.kind}" cx="{_number(a)}" cy="{_number(b)}" r="4"><title>{escape(line.name)}: '
            f"{_short(u)}, {_short(v)}</title></circle>"
            for (a, b), u, v in zip(places, line.x[known], line.y[known], strict=True)
        )
    return found


def _grid_x(axis: Axis, left: float, right: float, top: float, bottom: float) -> str:
    ticks = axis.ticks()
    out = []
    for value, x in zip(ticks, axis.place(np.array(ticks), left, right), strict=True):
        out.append(f'<path class="grid" d="M{_number(x)} {top}V{_number(bottom)}"/>')
        out.append(f'<text class="tick" x="{_number(x)}" y="{_number(bottom + 15)}">{_short(value)}</text>')
    middle = (left + right) / 2
    return "".join(
        [*out, f'<text class="axis" x="{_number(middle)}" y="{_number(bottom + 33)}">{escape(axis.title)}</text>']
    )


def _grid_y(axis: Axis, left: float, right: float, top: float, bottom: float) -> str:
    ticks = axis.ticks()
    out = []
    for value, y in zip(ticks, axis.place(np.array(ticks), bottom, top), strict=True):
        out.append(f'<path class="grid" d="M{left} {_number(y)}H{_number(right)}"/>')
        out.append(f'<text class="tick left" x="{left - 6}" y="{_number(y + 4)}">{_short(value)}</text>')
    middle = (top + bottom) / 2
    turned = f'transform="translate(12 {_number(middle)}) rotate(-90)"'
    return "".join([*out, f'<text class="axis" {turned}>{escape(axis.title)}</text>'])


def _svg(parts: Sequence[str], height: float, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {_number(height)}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _shortened(name: str) -> str:
    """Its beginning and its end, where names of sequences differ."""
    half = _LETTERS // 2
    return name if len(name) <= _LETTERS else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _short(value: float) -> str:
    return f"{value:.4g}"
