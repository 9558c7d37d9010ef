"""Tool: print the scores of all data sets, predictor by predictor, and the files worth opening."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.stage import DATASETS, stage
from sahmr.settings import Paths, load_section
from schemas.fields import SchemaError

_COLUMNS = (  # of the summary; title, unit, digits
    ("frames", "images", "", 0),
    ("global_mpjpe_mm", "G-MPJPE", "mm", 1),
    ("global_mpve_mm", "G-MPVE", "mm", 1),
    ("mpjpe_mm", "MPJPE", "mm", 1),
    ("mpve_mm", "MPVE", "mm", 1),
    ("pa_mpjpe_mm", "PA-MPJPE", "mm", 1),
    ("penetration_m", "PenE", "m", 2),
    ("contact_m", "ConFE", "m", 2),
    ("penetration_mean_mm", "mean PenE", "mm", 2),
)


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Print what the stages ``evaluate_<dataset>`` and ``catalog`` left in ``paths.reports``."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    reports = load_section("paths", Paths).reports
    print("\n".join([*score_lines(reports), "", *file_lines(reports)]))


def score_lines(reports: Path) -> list[str]:
    """One line per data set and predictor, means over its test images; a data set without scores says so.

    Raises:
        SchemaError: if a summary is not what ``evaluate`` writes.
    """
    lines = [_line("", "", [title for _, title, _, _ in _COLUMNS]), _line("", "", [unit for _, _, unit, _ in _COLUMNS])]
    for dataset in DATASETS:
        path = reports / f"{dataset}_metrics.json"
        if path.is_file():
            lines += _of_dataset(dataset, path)
        else:
            lines.append(f"{dataset}: no scores yet; make them with: dvc repro evaluate_{dataset}")
    return [line.rstrip() for line in lines]


def file_lines(reports: Path) -> list[str]:
    """Where the pictures and the catalog are, as far as they exist."""
    named = {f"{dataset}_sheet.png": f"{dataset}: images, truth and prediction" for dataset in DATASETS}
    named["catalog.md"] = "everything made: rows, bytes, sha256"
    return [f"{reports / name}  {what}" for name, what in named.items() if (reports / name).is_file()]


def _of_dataset(dataset: str, path: Path) -> Iterator[str]:
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        for predictor, means in summary.items():
            if predictor != "improvement_percent":
                yield _line(dataset, predictor, [f"{means[name]:.{digits}f}" for name, _, _, digits in _COLUMNS])
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SchemaError(
            f"{path}: not a summary of scores ({problem!r}); rebuild it with: dvc repro evaluate_{dataset}"
        ) from None


def _line(dataset: str, predictor: str, cells: Sequence[str]) -> str:
    label = f"{dataset} {predictor}"
    padded = (f"{cell:>{max(9, len(title) + 2)}}" for cell, (_, title, _, _) in zip(cells, _COLUMNS, strict=True))
    return f"{label[:15]:<16}" + "".join(padded)  # 100 characters


if __name__ == "__main__":
    main()
