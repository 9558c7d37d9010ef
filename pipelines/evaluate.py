"""Stage ``evaluate``: score every predictor's table against ground truth, side by side, and draw some of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from pipelines.conversion.parallel import Parallel
from pipelines.manifests import manifest_beside
from pipelines.stage import log, parse_dataset, stage
from sahmr.batches.dataset import SampleDataset
from sahmr.body.topology import load_topology
from sahmr.datasets import DatasetCard, find_card
from sahmr.errors import ShardError
from sahmr.files import publish_text, remove_manifest, write_manifest
from sahmr.report.panels import SCENE_RADIUS_M, Tile
from sahmr.report.sheet import choose, draw_sheet
from sahmr.report.surfels import surfels_near
from sahmr.scores.body import mesh_edges
from sahmr.scores.evaluation import Predicted, Predictions, find_predictions, missing_truth, read_predictions, score
from sahmr.scores.summary import add_scores, sequence_csv, summarise
from sahmr.scores.truth import Truth, find_truth
from sahmr.settings import Between, Paths, Split, load_section, settings
from sahmr.structures import BodyTopology, Sample
from schemas.metric import METRIC_SCHEMA, MetricRecord
from schemas.tables_write import ROWS_PER_GROUP, TableWriter, table_writer, to_table


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
    has_body = samples.entries.table.column("has_body")
    if not pc.all(has_body).as_py():
        bodiless = samples.entries.table.column("key").filter(pc.invert(has_body)).to_pylist()
        raise missing_truth(bodiless, source=str(paths.shards / dataset))
    topology, first, scores = load_topology(paths.bodies), predictors[0], paths.scores / f"{dataset}.parquet"
    card, errors = find_card(dataset), np.zeros(len(samples))
    with table_writer(scores, METRIC_SCHEMA) as writer:
        sums = add_scores(_written(writer, _score(samples, predictors, topology, card), errors))
        chosen = choose(errors, section.sheet_frames)
        _draw(samples, first, topology, card, chosen, paths.reports / f"{dataset}_sheet.png")
        remove_manifest(manifest_beside(scores))
    write_manifest(manifest_beside(scores), [scores.name], stage="evaluate", dataset=dataset)
    summary = summarise(sums)
    publish_text(paths.reports / f"{dataset}_plot.csv", sequence_csv(sums))
    publish_text(paths.reports / f"{dataset}_metrics.json", json.dumps(summary, indent=2) + "\n")
    means = (f"{each.predictor} {summary[each.predictor]['global_mpjpe_mm']:.1f} mm" for each in predictors)
    log.info("evaluate %s: %d person-images; G-MPJPE: %s", dataset, len(samples), ", ".join(means))


def _read(samples: SampleDataset, section: Evaluate, folder: Path) -> Iterator[Predictions]:
    """The tables that have rows, each sure to cover the split."""
    for path in find_predictions(folder):
        predictions = read_predictions(path, section.split, samples.entries.table.column("key"))
        if predictions is not None:
            yield predictions
        else:
            log.info("evaluate: %s has no rows and is left out", path)


def _score(
    samples: SampleDataset, predictors: Sequence[Predictions], topology: BodyTopology, card: DatasetCard
) -> Iterator[list[MetricRecord]]:
    """Frame after frame, each predictor's row in the order of the predictors."""
    edges = mesh_edges(topology.faces)
    for number, entry in enumerate(tqdm(samples.entries, desc="evaluate", disable=None)):
        predicted = {each.predictor: each.of(number) for each in predictors}
        truth = find_truth(samples.reader.geometry(entry), entry, samples.scenes, topology.part_full, card)
        yield score(predicted, truth, topology.joint_regressor, edges)


def _written(
    writer: TableWriter, frames: Iterator[list[MetricRecord]], errors: Float[ndarray, " images"]
) -> Iterator[pa.Table]:
    """Write scores, some thousand rows at a time, and pass them on; of all is kept the first predictor's G-MPJPE."""
    waiting: list[MetricRecord] = []
    for number, records in enumerate(frames):
        errors[number] = records[0].global_mpjpe_mm
        waiting += records
        if len(waiting) >= ROWS_PER_GROUP:
            yield _write(writer, waiting)
            waiting = []
    if waiting:
        yield _write(writer, waiting)


def _write(writer: TableWriter, records: Sequence[MetricRecord]) -> pa.Table:
    table = to_table(records, METRIC_SCHEMA)
    writer.write(table)
    return table


def _draw(
    samples: SampleDataset,
    predictions: Predictions,
    topology: BodyTopology,
    card: DatasetCard,
    chosen: dict[str, list[int]],
    path: Path,
) -> None:
    """The picture of some images, whose scores are computed again: only their errors were kept."""
    total = f"of {len(samples)} images by G-MPJPE"
    groups = [(f"{name.capitalize()}: {len(numbers)} {total}", len(numbers)) for name, numbers in chosen.items()]
    edges = mesh_edges(topology.faces)

    def tiles() -> Iterator[Tile]:
        for number in chain.from_iterable(chosen.values()):
            entry, predicted = samples.entries[number], predictions.of(number)
            truth = find_truth(samples.reader.geometry(entry), entry, samples.scenes, topology.part_full, card)
            (record,) = score({predictions.predictor: predicted}, truth, topology.joint_regressor, edges)
            yield _tile(samples[number], truth, predicted, record)

    title = f"{card.title}, split {samples.split}: predictions of {predictions.predictor}"
    draw_sheet(groups, tiles(), topology.faces.numpy(), path, title=title)


def _tile(sample: Sample, truth: Truth, predicted: Predicted, scores: MetricRecord) -> Tile:
    assert sample.vertices_camera is not None  # it was scored
    true, camera_from_world = sample.vertices_camera.double().numpy(), truth.frame.camera_from_world
    contacts = np.zeros((0, 3)) if predicted.contacts is None else predicted.contacts.double().numpy()
    return Tile(
        caption=(
            f"{sample.key}   G-MPJPE {scores.global_mpjpe_mm:.0f} mm, MPJPE {scores.mpjpe_mm:.0f} mm, {scores.posture}"
        ),
        image=sample.image.permute(1, 2, 0).numpy(),
        intrinsics=sample.intrinsics.double().numpy(),
        crop_box=sample.crop_box.double().numpy(),
        true=true,
        predicted=predicted.mesh.double().numpy(),
        up=np.einsum("ij,j->i", camera_from_world[:3, :3], truth.up.numpy()),
        scene=surfels_near(truth.scene, camera_from_world, true.mean(axis=0), SCENE_RADIUS_M),
        contacts=contacts,
        true_contacts=truth.contacts.double().numpy(),
    )


if __name__ == "__main__":
    main()
