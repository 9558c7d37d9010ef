"""Statistics of a dataset as charts: where its frames are from, how large people are, how far predictions are off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog.page_table import person_px
from sahmr.report.charts import Axis, Row, Series, axis_over, curves_chart, log_axis, rows_chart, shares_below
from sahmr.report.figures import Figure, kinds_of, spread_figure

_MOST_ROWS = 24  # of a chart
_STEPS = 60  # of a curve
_SPLITS = ("train", "val", "test")  # in this order, each with a color of this name


def find_figures(frames: pa.Table, scores: pa.Table, predictors: Sequence[str]) -> Iterator[Figure]:
    """Charts of one dataset.

    Args:
        frames, scores: of the dataset.
        predictors: the most important first; those without scores are left out, oracles come last.
    """
    if len(frames):
        yield _counts(frames, "scene_key", "scene")
        yield _counts(frames, "sequence", "sequence")
        yield _counts(frames, "subject", "subject")
        yield _heights(frames)
    known = scores.column("predictor").unique().to_pylist()
    if known:
        oracles = tuple(name for name in known if name.startswith("oracle"))
        methods = [name for name in predictors if name in known]
        methods += [name for name in known if name not in (*methods, *oracles)]
        yield spread_figure(scores, "global_mpjpe_mm", "G-MPJPE", kinds_of(tuple(methods), oracles))


def _splits(frames: pa.Table) -> list[str]:
    known = frames.column("split").unique().to_pylist()
    return [split for split in _SPLITS if split in known]


def _counts(frames: pa.Table, column: str, title: str) -> Figure:
    """Frames of each scene, sequence or subject, a dot per split."""
    groups = frames.group_by([column, "split"]).aggregate([([], "count_all")]).to_pylist()
    found: dict[str, dict[str, int]] = {}
    for group in groups:
        found.setdefault(group[column], {})[group["split"]] = group["count_all"]
    largest = sorted(found, key=lambda name: (-max(found[name].values()), name))[:_MOST_ROWS]
    rows = [
        Row(
            name=name,
            spread=(0.0, float(max(found[name].values()))),
            marks=[(split, float(found[name][split])) for split in _SPLITS if split in found[name]],
            note=", ".join(f"{split} {found[name][split]}" for split in _SPLITS if split in found[name]),
        )
        for name in largest
    ]
    most = np.array([float(max(counts.values())) for counts in found.values()])
    cut = f"; the {_MOST_ROWS} largest of {len(found)}" if len(found) > _MOST_ROWS else f"; {len(found)} in all"
    return Figure(
        title=f"Frames per {title}",
        note=f"A dot per split{cut}.",
        svg=rows_chart(rows, axis_over("frames", most), label=f"Frames per {title}"),
        legend=tuple((split, split) for split in _splits(frames)),
    )


def _heights(frames: pa.Table) -> Figure:
    heights = np.asarray(person_px(frames).to_numpy(), dtype=np.float64)
    of_split = np.array(frames.column("split").to_pylist())
    x = log_axis("height of the person box, px of the full image", heights)
    steps = np.geomspace(x.low, x.high, _STEPS)
    lines = [
        Series(name=split, kind=split, x=steps, y=shares_below(heights[of_split == split], steps))
        for split in _splits(frames)
    ]
    unknown = pc.sum(pc.is_null(frames.column("body_file"))).as_py() or 0
    return Figure(
        title="How tall people are in the picture",
        note=f"Share of the frames whose person box is at most so tall. {unknown} frames have no body to learn from.",
        svg=curves_chart(lines, x, Axis(title="frames, %", low=0, high=100), label="Distribution of box heights"),
        legend=tuple((split, split) for split in _splits(frames)),
    )
