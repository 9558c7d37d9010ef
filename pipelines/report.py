"""Stage ``report``: a data set's scores, charts, and best, median and worst images in 3D, as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy import ndarray

from pipelines.conversion.parallel import Parallel
from pipelines.stage import log, parse_dataset, stage
from pipelines.truths import Tables, tile_of
from sahmr.batches.dataset import SampleDataset
from sahmr.errors import ShardError
from sahmr.files import publish_text
from sahmr.report.figures import (
    Figure,
    calibration_figure,
    depth_figure,
    kinds_of,
    sequence_figure,
    spread_figure,
)
from sahmr.report.page import Card, Group, Page, Report, make_card, render
from sahmr.report.sheet import choose
from sahmr.report.tables import (
    about_lines,
    difference_table,
    group_tables,
    halves,
    headlines,
    part_table,
    score_table,
)
from sahmr.scores.calibration import BINS, calibration_csv, count_contacts
from sahmr.scores.predictions import ORACLES, Predictions, read_predictions
from sahmr.settings import Between, Paths, load_section, settings
from schemas.fields import SchemaError, TableFile, from_table, read_table
from schemas.metric import METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA


@settings
class ReportPage:
    """Section ``report`` of params.yaml.

    Attributes:
        frames: person-images with pictures and a 3D view: a third each the best, median and worst of the first
            predictor. Each takes about 0.5 MB of the page.
    """

    frames: Annotated[int, Between(1, 24)]


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``reports/<dataset>/index.html`` and the calibration as CSV."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    run(dataset, load_section("report", ReportPage), load_section("paths", Paths), load_section("parallel", Parallel))


def run(dataset: str, section: ReportPage, paths: Paths, parallel: Parallel) -> None:
    """Show what ``evaluate`` found; the same files give the same bytes.

    Args:
        dataset: whose scores.
        section: how many images.
        paths: all folders but those of raw frames and models.
        parallel: as every stage takes it; one process reads what it draws.

    Raises:
        SchemaError: if the scores or their summaries are missing or damaged.
        ShardError, StoreError: if scores, predictions and shards are of different data, or these are damaged.
    """
    summary, breakdown = (read_summary(paths.reports / f"{dataset}_{name}.json") for name in ("metrics", "breakdown"))
    with one_error(dataset, paths):
        names, split = tuple(map(str, summary["about"]["predictors"])), str(summary["about"]["split"])
        first = names[0]
    tables = Tables(SampleDataset(paths.shards / dataset, paths.scenes / f"{dataset}.zarr", split), dataset, paths)
    keys = tables.samples.entries.table.column("key")
    scores = _read_scores(paths.scores / f"{dataset}.parquet", first, keys)
    predictions = _read_predictions(paths.predictions / dataset / f"{first}.parquet", split, keys)
    counts = _count_probabilities(tables, predictions.path)
    figures = tuple(_figures(scores, names, counts))
    with one_error(dataset, paths):
        report = _describe(summary, breakdown, names, figures)
    page = Page(
        title=f"{tables.card.title}: human meshes in scenes",
        subtitle=f"Split {split}, {len(keys)} person-images; methods: {', '.join(names)}",
        report=report,
        frames_title="Best, median and worst images",
        groups=tuple(_groups(tables, predictions, scores, section.frames)),
        notice=f"Pictures and meshes are {tables.card.licence_notice}.",
    )
    text, path = render(page), paths.reports / dataset / "index.html"
    publish_text(paths.reports / f"{dataset}_calibration.csv", calibration_csv(counts))
    publish_text(path, text)
    log.info("report %s: %d images shown, %.1f MB: %s", dataset, section.frames, len(text.encode()) / 1e6, path)


@contextmanager
def one_error(dataset: str, paths: Paths) -> Iterator[None]:
    """What is not in the summaries of ``evaluate``, or is of another type, as one SchemaError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as problem:
        raise SchemaError(
            f"{paths.reports}: {dataset}_metrics.json or {dataset}_breakdown.json is not what evaluate writes "
            f"({problem!r}); rebuild with: dvc repro evaluate@{dataset}"
        ) from problem


def read_summary(path: Path) -> dict[str, Any]:
    """A JSON file of ``evaluate``.

    Raises:
        SchemaError: if it is missing or no JSON object.
    """
    remedy = f"make it with: dvc repro evaluate@{path.stem.partition('_')[0]}"
    if not path.is_file():
        raise SchemaError(f"{path}: not there; {remedy}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise SchemaError(f"{path}: not readable as JSON ({problem}); {remedy}") from None
    if not isinstance(found, dict):
        raise SchemaError(f"{path}: a {type(found).__name__}, expected an object; {remedy}")
    return found


def _read_scores(path: Path, first: str, keys: pa.ChunkedArray) -> pa.Table:
    """All scores, sure to be of these images in this order."""
    scores = read_table(path, METRIC_SCHEMA)
    ours = scores.filter(pc.equal(scores.column("predictor"), first))
    if not ours.column("key").equals(keys):
        raise ShardError(f"{path}: scores of {first} of other images than the shards'; run: dvc repro evaluate")
    return scores


def _read_predictions(path: Path, split: str, keys: pa.ChunkedArray) -> Predictions:
    predictions = read_predictions(path, split, keys)
    if predictions is None:
        raise ShardError(f"{path}: no rows, but there are scores of it; run: dvc repro evaluate")
    return predictions


def _count_probabilities(tables: Tables, path: Path) -> ndarray:
    """Points by their probability of contact, of all images; see :func:`count_contacts`."""
    table = TableFile(path, PREDICTION_SCHEMA, ["key", "scene_points", "scene_probability"])
    place = {key: number for number, key in enumerate(tables.samples.entries.table.column("key").to_pylist())}
    total = np.zeros((BINS, 3))
    for number in range(len(table.group_rows)):
        for key, points, said in zip(*(column.combine_chunks() for column in table.group(number).columns), strict=True):
            if len(said):
                xyz = points.values.to_numpy().reshape(-1, 3).astype(np.float64)
                touching = tables.touching(place[key.as_py()])
                total += count_contacts(xyz, said.values.to_numpy().astype(np.float64), touching)
    return total


def _describe(
    summary: dict[str, Any], breakdown: dict[str, Any], names: tuple[str, ...], figures: tuple[Figure, ...]
) -> Report:
    return Report(
        first=names[0],
        images=int(summary[names[0]]["frames"]),
        sequences=len(breakdown["groups"]["sequence"]),
        headlines=headlines(breakdown, names),
        halves=halves(summary, names),
        scores=score_table(breakdown, names, ORACLES),
        differences=difference_table(breakdown, names),
        groups=group_tables(breakdown, names[0]),
        parts=part_table(breakdown, names[0]),
        about=about_lines(summary["about"]),
        figures=figures,
    )


def _figures(scores: pa.Table, names: tuple[str, ...], counts: ndarray) -> Iterator[Figure]:
    kinds = kinds_of(names, ORACLES)
    yield depth_figure(scores, "global_mpjpe_mm", "G-MPJPE", kinds)
    yield spread_figure(scores, "global_mpjpe_mm", "G-MPJPE", kinds)
    yield depth_figure(scores, "mpjpe_mm", "MPJPE", {name: kinds[name] for name in names})
    yield calibration_figure(counts, names[0])
    yield sequence_figure(scores, "global_mpjpe_mm", "G-MPJPE", kinds)
    yield sequence_figure(scores, "mpjpe_mm", "MPJPE", kinds)


def _groups(tables: Tables, predictions: Predictions, scores: pa.Table, count: int) -> Iterator[Group]:
    ours = scores.filter(pc.equal(scores.column("predictor"), predictions.predictor))
    total, number = f"of {len(ours)} by G-MPJPE", 0
    for name, places in choose(ours.column("global_mpjpe_mm").to_numpy(), count).items():
        if places:
            cards = [draw_card(tables, predictions, place, number + each) for each, place in enumerate(places)]
            number += len(cards)
            yield Group(title=f"{name.capitalize()}: {len(cards)} {total}", cards=tuple(cards))


def draw_card(tables: Tables, predictions: Predictions, place: int, number: int) -> Card:
    """A person-image of the split, its scores computed again.

    Args:
        tables: of the data set.
        predictions: whose meshes.
        place: of the image in the split.
        number: of its view among those of the page.
    """
    predicted, truth, sample = predictions.of([place]), tables.truth(place), tables.samples[place]
    scored = tables.scorer.score({predictions.predictor: predicted}, [truth])
    scores = from_table(scored.table, MetricRecord)[0]
    facts = (
        ("G-MPJPE", f"{scores.global_mpjpe_mm:.0f} mm"),
        ("MPJPE", f"{scores.mpjpe_mm:.0f} mm"),
        ("PA-MPJPE", f"{scores.pa_mpjpe_mm:.0f} mm"),
        ("PenE", f"{scores.penetration_m:.2f} m"),
        ("contact F1", "-" if scores.contact_f1_ratio is None else f"{100 * scores.contact_f1_ratio:.0f} %"),
        ("posture", scores.posture),
        ("distance", f"{scores.distance_m:.1f} m"),
        ("hidden by the scan", f"{100 * scores.occluded_ratio:.0f} %"),
    )
    tile = tile_of(sample, truth, predicted, scores)
    return make_card(number, sample.key, facts, tile, tables.topology.faces.numpy())


if __name__ == "__main__":
    main()
