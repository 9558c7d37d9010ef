"""Print the scores of all datasets, predictor by predictor, and the files worth opening.

Run by hand, at the end of ``make repro``, and by the stages ``evaluate_rich`` and ``evaluate_prox``, the names of
the whole road to one dataset's scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.stage import stage
from sahmr.raw import load_raw_roots
from sahmr.settings import Paths, load_section
from schemas.fields import SchemaError

_COLUMNS = (  # of the summary; title, unit, digits
    ("frames", "images", "", 0),
    ("global_mpjpe_mm", "G-MPJPE", "mm", 1),
    ("mpjpe_mm", "MPJPE", "mm", 1),
    ("pa_mpjpe_mm", "PA-MPJPE", "mm", 1),
    ("penetration_m", "PenE", "m", 2),
    ("edge_error_ratio", "edges", "", 3),
    ("trunk_within_30_ratio", "trunk", "< 30\N{DEGREE SIGN}", 2),
    ("contact_precision_ratio", "contact", "precis.", 2),
    ("contact_recall_ratio", "points", "recall", 2),
)
_OTHERS = ("improvement_percent", "about")  # of what stands beside the predictors' means


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Print what the stages ``evaluate`` and ``catalog`` left in ``paths.reports``."""
    in_use = list(load_raw_roots())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=in_use, help="of this one alone")
    asked = parser.parse_args(argv).dataset
    datasets, reports = [asked] if asked else in_use, load_section("paths", Paths).reports
    print("\n".join([*score_lines(datasets, reports), "", *file_lines(datasets, reports)]))


def score_lines(datasets: Sequence[str], reports: Path) -> list[str]:
    """One line per data set and predictor or oracle, means over its test images; a data set without scores says so.

    Raises:
        SchemaError: if a summary is not what ``evaluate`` writes.
    """
    lines = [_line("", "", [title for _, title, _, _ in _COLUMNS]), _line("", "", [unit for _, _, unit, _ in _COLUMNS])]
    for dataset in datasets:
        path = reports / f"{dataset}_metrics.json"
        if path.is_file():
            lines += _of_dataset(dataset, path)
        else:
            lines.append(f"{dataset}: no scores yet; make them with: dvc repro evaluate@{dataset}")
    return [line.rstrip() for line in lines]


def file_lines(datasets: Sequence[str], reports: Path) -> list[str]:
    """Where the pictures and the catalog are, as far as they exist."""
    named = {f"{dataset}/index.html": f"{dataset}: scores, charts, images in 3D" for dataset in datasets}
    named |= {f"{dataset}_sheet.png": f"{dataset}: images, truth and prediction" for dataset in datasets}
    named |= {
        f"{dataset}_breakdown.json": f"{dataset}: 95 % intervals, differences between predictors, groups of images"
        for dataset in datasets
    }
    named["catalog.md"] = "everything made: rows, bytes, sha256"
    return [f"{reports / name}  {what}" for name, what in named.items() if (reports / name).is_file()]


def _of_dataset(dataset: str, path: Path) -> Iterator[str]:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        for predictor, means in summary.items():
            if predictor not in _OTHERS:
                yield _line(dataset, predictor, [_number(means[name], digits) for name, _, _, digits in _COLUMNS])
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SchemaError(
            f"{path}: not a summary of scores ({problem!r}); rebuild it with: dvc repro evaluate@{dataset}"
        ) from None


def _number(value: float | None, digits: int) -> str:
    """A score; ``-`` where it is known of no image."""
    return "-" if value is None else f"{value:.{digits}f}"


def _line(dataset: str, predictor: str, cells: Sequence[str]) -> str:
    label = f"{dataset} {predictor}"
    padded = (f"{cell:>{max(9, len(title) + 2)}}" for cell, (_, title, _, _) in zip(cells, _COLUMNS, strict=True))
    return f"{label[:16]:<17}" + "".join(padded)  # 100 characters


if __name__ == "__main__":
    main()
