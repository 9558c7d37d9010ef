"""Stage ``evaluate``: score every predictor's table against ground truth, side by side, and draw some of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy import ndarray
from tqdm import tqdm

from pipelines.conversion.parallel import Parallel
from pipelines.manifests import manifest_beside
from pipelines.stage import log, parse_dataset, stage
from pipelines.truths import Tables, tile_of
from sahmr.batches.dataset import SampleDataset
from sahmr.errors import ShardError
from sahmr.files import publish_text, remove_manifest, write_manifest
from sahmr.report.panels import Tile
from sahmr.report.sheet import choose, draw_sheet
from sahmr.scores.breakdown import break_down, to_text
from sahmr.scores.predictions import (
    ORACLES,
    Predictions,
    find_predictions,
    missing_truth,
    read_predictions,
)
from sahmr.scores.provenance import describe_scores
from sahmr.scores.summary import Tally, headline, sequence_csv, summarise
from sahmr.scores.truth import Truth, require_truths
from sahmr.settings import Between, Paths, Split, load_section, settings
from sahmr.share import LOCAL, Share, find_places
from schemas.fields import from_table
from schemas.metric import METRIC_SCHEMA, MetricRecord
from schemas.tables_write import table_writer

BATCH = 48  # images scored at once: 60 MB; cannot change a score
_ADDED = 1024  # images added up at a time: sums round as this number pleases, and must not as BATCH does


@settings
class Evaluate:
    """Section ``evaluate`` of params.yaml.

    Attributes:
        split: must be the one that was predicted.
        sheet_frames: person-images on the picture: a third each the best, median and worst of the first predictor.
    """

    split: Split
    sheet_frames: Annotated[int, Between(1, 96)]


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write scores per frame, their means, what lies behind these, and the picture."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, share = load_section("evaluate", Evaluate), load_section("share", Share)
    run(dataset, section, load_section("paths", Paths), load_section("parallel", Parallel), share)


def run(dataset: str, section: Evaluate, paths: Paths, parallel: Parallel, share: Share = LOCAL) -> None:
    """Score all tables of ``predictions/<dataset>``; one without rows is left out.

    Args:
        dataset: whose tables.
        section: which split, and the size of the picture.
        paths: all folders but those of raw frames and models.
        parallel: as every stage takes it; one process reads the split once, pictures only of what it draws.
        share: where shards and scenes are instead.

    Raises:
        SchemaError: if a file is no predictions table.
        ShardError, StoreError: if there are no predictions, they are of other data or another split, ground truth
            is lacking, or shards or scenes are missing or damaged.
    """
    shards, scenes = find_places(share, paths, dataset)
    samples = SampleDataset(shards, scenes, section.split)
    predictors = list(_read(samples, section, paths.predictions / dataset))
    if not predictors:
        raise ShardError(f"{paths.predictions / dataset}: no table has a row; make predictions with: dvc repro predict")
    has_body = samples.entries.table.column("has_body")
    if not pc.all(has_body).as_py():
        bodiless = samples.entries.table.column("key").filter(pc.invert(has_body)).to_pylist()
        raise missing_truth(bodiless, source=str(shards))
    require_truths(samples.reader, samples.entries, samples.scenes)
    tables, scores, reports = Tables(samples, dataset, paths), paths.scores / f"{dataset}.parquet", paths.reports
    names = (*(each.predictor for each in predictors), *ORACLES)
    tally, errors, parts = Tally(names), np.zeros(len(samples)), _no_parts(names)
    with table_writer(scores, METRIC_SCHEMA) as writer:
        for table in _chunks(_score(tables, predictors, parts), _ADDED * len(names)):
            start = writer.rows // len(names)
            errors[start : start + len(table) // len(names)] = table.column("global_mpjpe_mm").to_numpy()[:: len(names)]
            writer.write(table)
            tally.add(table)
        chosen = choose(errors, section.sheet_frames)
        _draw(tables, predictors[0], chosen, reports / f"{dataset}_sheet.png")
        remove_manifest(manifest_beside(scores))
    write_manifest(manifest_beside(scores), [scores.name], stage="evaluate", dataset=dataset)
    summary = summarise(tally.cells())
    summary["about"] = describe_scores(
        predictors,
        section.split,
        shards=shards,
        scenes=scenes.parent / f"{dataset}.manifest.json",
        bodies=paths.bodies,
        counts=reports / f"frame_counts_{dataset}.json",
    )
    publish_text(reports / f"{dataset}_plot.csv", sequence_csv(tally.cells()))
    publish_text(reports / f"{dataset}_breakdown.json", to_text(break_down(tally, parts)) + "\n")
    publish_text(reports / f"{dataset}_metrics.json", json.dumps(summary, indent=2) + "\n")
    publish_text(reports / f"{dataset}_headline.json", json.dumps(headline(dataset, summary), indent=2) + "\n")
    means = (f"{name} {summary[name]['global_mpjpe_mm']:.1f} mm" for name in names)
    log.info("evaluate %s: %d person-images; G-MPJPE: %s", dataset, len(samples), ", ".join(means))


def _read(samples: SampleDataset, section: Evaluate, folder: Path) -> Iterator[Predictions]:
    """The tables that have rows, each sure to cover the split."""
    for path in find_predictions(folder):
        predictions = read_predictions(path, section.split, samples.entries.table.column("key"))
        if predictions is not None:
            yield predictions
        else:
            log.info("evaluate: %s has no rows and is left out", path)


def _no_parts(names: Sequence[str]) -> dict[str, ndarray]:
    return {name: np.zeros((7, 4), dtype=np.int64) for name in names}


def _score(tables: Tables, predictors: Sequence[Predictions], parts: dict[str, ndarray]) -> Iterator[pa.Table]:
    """Rows of image after image; contact points are added to ``parts``."""
    with tqdm(total=len(tables.samples), desc="evaluate", disable=None) as bar:
        for numbers, truths in _truths(tables):
            scored = tables.scorer.score({each.predictor: each.of(numbers) for each in predictors}, truths)
            for name, count in scored.parts.items():
                parts[name] += count
            yield scored.table
            bar.update(len(numbers))


def _truths(tables: Tables) -> Iterator[tuple[Sequence[int], list[Truth]]]:
    """Batches of images, in order; the next one is read while the last is scored, in a thread of its own."""

    def read(numbers: Sequence[int]) -> tuple[Sequence[int], list[Truth]]:
        return numbers, [tables.truth(number) for number in numbers]

    total = len(tables.samples)
    batches = [range(start, min(start + BATCH, total)) for start in range(0, total, BATCH)]
    with ThreadPoolExecutor(max_workers=1) as ahead:
        waiting = ahead.submit(read, batches[0])
        for later in batches[1:]:
            found, waiting = waiting.result(), ahead.submit(read, later)
            yield found
        yield waiting.result()


def _chunks(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of one length, the last one perhaps shorter."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(map(len, waiting)) >= rows:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, rows).combine_chunks()
            waiting = [joined.slice(rows)]
    if sum(map(len, waiting)):
        yield pa.concat_tables(waiting).combine_chunks()


def _draw(tables: Tables, predictions: Predictions, chosen: dict[str, list[int]], path: Path) -> None:
    """The picture of some images, whose scores are computed again: only their errors were kept."""
    total, samples = f"of {len(tables.samples)} images by G-MPJPE", tables.samples
    groups = [(f"{name.capitalize()}: {len(numbers)} {total}", len(numbers)) for name, numbers in chosen.items()]

    def tiles() -> Iterator[Tile]:
        for number in chain.from_iterable(chosen.values()):
            predicted, truth = predictions.of([number]), tables.truth(number)
            scored = tables.scorer.score({predictions.predictor: predicted}, [truth])
            yield tile_of(samples[number], truth, predicted, from_table(scored.table, MetricRecord)[0])

    title = f"{tables.card.title}, split {samples.split}: predictions of {predictions.predictor}"
    draw_sheet(groups, tiles(), tables.topology.faces.numpy(), path, title=title)


if __name__ == "__main__":
    main()
