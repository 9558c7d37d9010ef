"""Stage ``evaluate``: score every predictor's table against ground truth, side by side, and draw some of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from tqdm import tqdm

from pipelines.conversion.parallel import Parallel
from pipelines.stage import log, parse_dataset, stage
from sahmr.batches.dataset import SampleDataset
from sahmr.body.topology import load_topology
from sahmr.errors import ShardError
from sahmr.evaluation import (
    Predictions,
    check_keys,
    find_predictions,
    missing_truth,
    read_predictions,
    score,
    sequence_csv,
    summarise,
)
from sahmr.files import publish_text
from sahmr.overlay import Tile, draw_sheet
from sahmr.scenes.store import load_scene
from sahmr.settings import Between, Paths, Split, load_section, settings
from sahmr.structures import BodyTopology, Sample
from schemas.fields import to_table, write_table
from schemas.metric import METRIC_SCHEMA, MetricRecord


@settings
class Evaluate:
    """Section ``evaluate`` of params.yaml.

    Attributes:
        split: must be the one that was predicted.
        sheet_frames: person-images on the picture, spread evenly over the split.
    """

    split: Split
    sheet_frames: Annotated[int, Between(1, 96)]


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write scores per frame, their means, means per sequence, and the picture."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    run(dataset, load_section("evaluate", Evaluate), load_section("paths", Paths), load_section("parallel", Parallel))


def run(dataset: str, section: Evaluate, paths: Paths, parallel: Parallel) -> None:
    """Score all tables of ``predictions/<dataset>``; one without rows is left out.

    Args:
        dataset: whose tables.
        section: which split, and the size of the picture.
        paths: all folders but those of raw frames and models.
        parallel: as every stage takes it; one process reads the split once, pictures only of what it draws.

    Raises:
        SchemaError: if a file is no predictions table.
        ShardError, StoreError: if there are no predictions, they are of other data or another split, ground truth
            is lacking, or shards or scenes are missing or damaged.
    """
    samples = SampleDataset(paths.shards / dataset, paths.scenes / f"{dataset}.zarr", section.split)
    predictors = list(_read(samples, section, paths.predictions / dataset))
    if not predictors:
        raise ShardError(f"{paths.predictions / dataset}: no table has a row; make predictions with: dvc repro predict")
    bodiless = [entry.key for entry in samples.entries if not entry.has_body]
    if bodiless:
        raise missing_truth(bodiless, source=str(paths.shards / dataset))
    topology = load_topology(paths.bodies)
    records = _score(samples, predictors, topology)
    table = to_table(records, METRIC_SCHEMA)
    summary = summarise(table)
    first = predictors[0]
    title = (
        f"{dataset.upper()}, split {section.split}: ground truth, prediction ({first.predictor}), both from the side"
    )
    tiles = list(_tiles(samples, first, records[:: len(predictors)], section.sheet_frames))
    draw_sheet(tiles, topology.faces.numpy(), paths.reports / f"{dataset}_sheet.png", title=title)
    write_table(paths.scores / f"{dataset}.parquet", table)
    publish_text(paths.reports / f"{dataset}_plot.csv", sequence_csv(table))
    publish_text(paths.reports / f"{dataset}_metrics.json", json.dumps(summary, indent=2) + "\n")
    means = (f"{each.predictor} {summary[each.predictor]['global_mpjpe_mm']:.1f} mm" for each in predictors)
    log.info("evaluate %s: %d person-images; G-MPJPE: %s", dataset, len(samples), ", ".join(means))


def _read(samples: SampleDataset, section: Evaluate, folder: Path) -> Iterator[Predictions]:
    """The tables that have rows, each sure to cover the split."""
    for path in find_predictions(folder):
        predictions = read_predictions(path, section.split)
        if predictions.rows:
            check_keys(predictions.rows, (entry.key for entry in samples.entries), source=str(path))
            yield predictions
        else:
            log.info("evaluate: %s has no rows and is left out", path)


def _score(samples: SampleDataset, predictors: Sequence[Predictions], topology: BodyTopology) -> list[MetricRecord]:
    """Frame after frame, each predictor's row in the order of the predictors."""
    records: list[MetricRecord] = []
    for entry in tqdm(samples.entries, desc="evaluate", disable=None):
        meshes = {each.predictor: each.mesh(entry.key) for each in predictors}
        frame, scene = samples.reader.geometry(entry), load_scene(samples.scenes, entry.scene_key)
        records += score(meshes, frame, entry.sequence, scene, topology.joint_regressor)
    return records


def _tiles(
    samples: SampleDataset, predictions: Predictions, records: Sequence[MetricRecord], number: int
) -> Iterator[Tile]:
    """What the picture shows: person-images spread evenly over the split, with one predictor's scores."""
    places = np.linspace(0, len(samples) - 1, min(number, len(samples))).round().astype(int)
    for place in dict.fromkeys(places.tolist()):
        yield _tile(samples[place], predictions, records[place])


def _tile(sample: Sample, predictions: Predictions, scores: MetricRecord) -> Tile:
    assert sample.vertices_camera is not None  # it was scored
    return Tile(
        caption=f"{sample.key}   G-MPJPE {scores.global_mpjpe_mm:.0f} mm, MPJPE {scores.mpjpe_mm:.0f} mm",
        image=sample.image.permute(1, 2, 0).numpy(),
        intrinsics=sample.intrinsics.double().numpy(),
        crop_box=sample.crop_box.double().numpy(),
        true=sample.vertices_camera.double().numpy(),
        predicted=predictions.mesh(sample.key).double().numpy(),
        scene=sample.scene_camera.double().numpy(),
        contact=predictions.contacts(sample.key).double().numpy(),
    )


if __name__ == "__main__":
    main()
