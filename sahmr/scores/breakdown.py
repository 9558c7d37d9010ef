"""All that lies behind the means: intervals, differences between predictors, groups of images, body parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from numpy import ndarray

from sahmr.scores.bootstrap import DRAWS, LEVEL, SEED, intervals
from sahmr.scores.contact import PART_NAMES
from sahmr.scores.summary import GROUPS, Tally


def break_down(tally: Tally, parts: Mapping[str, Int[ndarray, "7 4"]]) -> dict[str, Any]:
    """What ``reports/<dataset>_breakdown.json`` holds; every score is ``[mean, lower, upper]``.

    Args:
        tally: of all images.
        parts: contact points of all images by predictor; of predictors that never say: zeros.

    Returns:
        ``bootstrap``: how the ends were found. ``all``: per predictor. ``differences``: what each predictor has more
        than ``first``, image by image, under its name. ``groups``: kind of group, value, ``frames``, ``sequences`` and
        the predictors. ``contact_parts``: predictor, part, precision, recall, F1 of the points of all images.
    """
    cells, pairs = tally.cells(), tally.pairs()
    found: dict[str, Any] = {
        "bootstrap": {"draws": DRAWS, "seed": SEED, "level": LEVEL, "over": "sequences"},
        "first": tally.predictors[0],
        "all": intervals(cells),
        "differences": {} if pairs is None else intervals(pairs),
        "groups": {group: _group(cells, group, len(tally.predictors)) for group in GROUPS},
    }
    found["contact_parts"] = {name: _parts(count) for name, count in parts.items() if count.any()}
    return found


def _group(cells: pa.Table, group: str, predictors: int) -> dict[str, Any]:
    found = {}
    for value in sorted(pc.unique(cells.column(group)).to_pylist()):
        some = cells.filter(pc.equal(cells.column(group), value))
        found[str(value)] = {
            "frames": pc.sum(some.column("frames")).as_py() // predictors,
            "sequences": len(pc.unique(some.column("sequence"))),
            "predictors": intervals(some),
        }
    return found


def _parts(counts: Int[ndarray, "7 4"]) -> dict[str, dict[str, float | int | None]]:
    """Shares of points pooled over images: a part has few in one image."""
    found = {}
    for name, (claims, right, true, hit) in zip(PART_NAMES, counts.tolist(), strict=True):
        precision, recall = right / claims if claims else None, hit / true if true else None
        total = (precision or 0) + (recall or 0)
        f1 = None if not true else 2 * (precision or 0) * (recall or 0) / total if total else 0.0
        ratios = {"precision_ratio": precision, "recall_ratio": recall, "f1_ratio": f1}
        found[name] = {
            **{key: None if value is None else round(value, 4) for key, value in ratios.items()},
            "predicted_points": claims,
            "true_points": true,
        }
    return found


def to_text(found: Any, indent: str = "") -> str:
    """JSON with a line for every list of numbers; the same values give the same bytes."""
    if not isinstance(found, dict) or not found:
        return json.dumps(found, ensure_ascii=False)
    deeper = indent + " "
    lines = (f"{deeper}{json.dumps(key, ensure_ascii=False)}: {to_text(value, deeper)}" for key, value in found.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
