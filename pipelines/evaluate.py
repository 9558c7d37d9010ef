"""Stage ``evaluate``: score predictions and baseline against ground truth, and draw some of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from pipelines.stage import log, parse_dataset, stage
from sahmr.batches.dataset import SampleDataset
from sahmr.body.topology import load_topology
from sahmr.evaluation import (
    DistanceGrid,
    StoredPrediction,
    check_keys,
    score,
    sequence_csv,
    stored_predictions,
    summarise,
    table_lines,
)
from sahmr.files import publish_text
from sahmr.overlay import Tile, draw_sheet
from sahmr.scenes.store import load_scene
from sahmr.settings import Paths, load_section, settings
from sahmr.structures import BodyTopology, Sample
from schemas.fields import read_table, to_table, write_table
from schemas.metric import METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA


@settings
class Evaluate:
    """Section ``evaluate`` of params.yaml.

    Attributes:
        split: must be the one that was predicted.
        sheet_frames: person-images on the picture, spread evenly over the split.
    """

    split: str
    sheet_frames: int


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write scores per frame, their means, means per sequence, and the picture."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, paths = load_section("evaluate", Evaluate), load_section("paths", Paths)
    source = paths.predictions / f"{dataset}.parquet"
    table = read_table(source, PREDICTION_SCHEMA)
    samples = SampleDataset(paths.shards / dataset, paths.scenes / f"{dataset}.zarr", section.split)
    check_keys(table.column("key").to_pylist(), (entry.key for entry in samples.entries), source=str(source))
    topology = load_topology(paths.bodies)
    shown = set(np.linspace(0, len(samples) - 1, min(section.sheet_frames, len(samples))).round().astype(int).tolist())
    records: list[MetricRecord] = []
    tiles: list[Tile] = []
    places = {entry.key: place for place, entry in enumerate(samples.entries)}
    rows = tqdm(stored_predictions(table), total=len(samples), desc=f"evaluate {dataset}", disable=None)
    for key, prediction in rows:
        sample = samples[places[key]]
        scored = _score(sample, samples, places[key], prediction, topology)
        records.append(scored)
        if places[key] in shown:
            tiles.append(_tile(sample, prediction, scored))
    summary = summarise(records)
    title = f"{dataset.upper()}, split {section.split}: ground truth, prediction, both from the side"
    draw_sheet(tiles, topology.faces.numpy(), paths.reports / f"{dataset}_sheet.png", title=title)
    write_table(paths.reports / f"{dataset}_frames.parquet", to_table(records, METRIC_SCHEMA))
    publish_text(paths.reports / f"{dataset}_plot.csv", sequence_csv(records))
    publish_text(paths.reports / f"{dataset}_metrics.json", json.dumps(summary, indent=2) + "\n")
    log.info("evaluate %s: %d person-images\n%s", dataset, len(samples), "\n".join(table_lines(summary)))


def _score(
    sample: Sample,
    samples: SampleDataset,
    place: int,
    prediction: StoredPrediction,
    topology: BodyTopology,
) -> MetricRecord:
    """Scores of the network."""
    entry = samples.entries[place]
    scene = load_scene(samples.scenes, entry.scene_key)
    grid = DistanceGrid(sdf=scene.sdf, sdf_min=scene.sdf_min, sdf_max=scene.sdf_max)
    return score("sahmr", entry.sequence, prediction.vertices, sample, grid, topology.joint_regressor)


def _tile(sample: Sample, prediction: StoredPrediction, scores: MetricRecord) -> Tile:
    """What the picture shows of one person-image."""
    assert sample.vertices_camera is not None  # it was scored
    return Tile(
        caption=f"{sample.key}   G-MPJPE {scores.global_mpjpe_mm:.0f} mm, MPJPE {scores.mpjpe_mm:.0f} mm",
        image=sample.image.permute(1, 2, 0).numpy(),
        intrinsics=sample.intrinsics.double().numpy(),
        crop_box=sample.crop_box.double().numpy(),
        true=sample.vertices_camera.double().numpy(),
        predicted=prediction.vertices.double().numpy(),
        scene=sample.scene_camera.double().numpy(),
        contact=prediction.contact_points.double().numpy(),
    )


if __name__ == "__main__":
    main()
