"""Stage ``show``: predictions without ground truth as one HTML page: photograph, mesh over it, and it in the scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy import ndarray

from pipelines.conversion.parallel import Parallel
from pipelines.stage import log, parse_dataset, stage
from sahmr.batches.dataset import SampleDataset
from sahmr.body.topology import load_topology
from sahmr.datasets import DatasetCard, find_card
from sahmr.errors import ShardError
from sahmr.files import publish_text
from sahmr.remote import Place
from sahmr.report.page import Card, Group, Page, make_card, render
from sahmr.report.panels import Tile, tile_without_truth
from sahmr.report.surroundings import find_surroundings
from sahmr.scenes.arrays import is_cloud
from sahmr.scores.predictions import Predicted, Predictions, read_predictions
from sahmr.settings import Between, Paths, load_section, settings
from sahmr.structures import Sample
from schemas.fields import TableFile
from schemas.prediction import PREDICTION_SCHEMA, SPLIT

_TABLE = "sahmr.parquet"


@settings
class Show:
    """Section ``show`` of pipelines/own/params.yaml.

    Attributes:
        frames: person-images on the page, spread evenly over all of them. Each takes about 0.5 MB.
    """

    frames: Annotated[int, Between(1, 24)]


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``reports/<dataset>/people.html``."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    run(dataset, load_section("show", Show), load_section("paths", Paths), load_section("parallel", Parallel))


def run(dataset: str, section: Show, paths: Paths, parallel: Parallel) -> None:
    """Show what ``predict`` found; the same files give the same bytes.

    Args:
        dataset: whose predictions.
        section: how many images.
        paths: folders of bodies, shards, scenes, predictions and reports.
        parallel: as every stage takes it; one process reads what it draws.

    Raises:
        SchemaError: if the predictions are missing or damaged.
        ShardError, StoreError: if they are of other data than the shards, or these or the scenes are damaged.
    """
    table, card, scenes = paths.predictions / dataset / _TABLE, find_card(dataset), paths.scenes / f"{dataset}.zarr"
    split = TableFile(table, PREDICTION_SCHEMA, ["key"]).metadata.get(SPLIT.encode(), b"").decode(errors="replace")
    samples = SampleDataset(paths.shards / dataset, scenes, split)
    predictions = read_predictions(table, split, samples.entries.table.column("key"))
    if predictions is None:
        raise ShardError(f"{table}: no rows; make them with: dvc repro predict")
    faces = load_topology(paths.bodies).faces.numpy()
    page = Page(
        title=f"{card.title}: people in your scans",
        subtitle=f"Split {split}: {min(section.frames, len(samples))} of {len(samples)} person-images",
        report=None,
        frames_title="Photograph, prediction over it, and in the scan",
        groups=tuple(_groups(samples, predictions, card, section.frames, faces)),
        notice=f"Pictures and meshes are {card.licence_notice}.",
        has_truth=False,
    )
    text, path = render(page), paths.reports / dataset / "people.html"
    publish_text(path, text)
    log.info("show %s: %d images of %d, %.1f MB: %s", dataset, min(section.frames, len(samples)), len(samples),
             len(text.encode()) / 1e6, path)  # fmt: skip


def _groups(
    samples: SampleDataset, predictions: Predictions, card: DatasetCard, count: int, faces: ndarray
) -> list[Group]:
    """Images in the order of their keys, under the name of their scene."""
    places = sorted({round(place) for place in np.linspace(0, len(samples) - 1, min(count, len(samples)))})
    cards: dict[str, list[Card]] = {}
    for number, place in enumerate(places):
        sample, predicted = samples[place], predictions.of([place])
        made = make_card(number, sample.key, _facts(sample, predicted, samples.scenes),
                         _tile(sample, predicted, samples.scenes, card), faces)  # fmt: skip
        cards.setdefault(sample.scene_key, []).append(made)
    return [Group(title=f"Scene {scene}", cards=tuple(found)) for scene, found in sorted(cards.items())]


def _facts(sample: Sample, predicted: Predicted, scenes: Place) -> list[tuple[str, str]]:
    distance = float(np.linalg.norm(predicted.meshes[0].double().numpy().mean(axis=0)))
    contacts = 0 if predicted.contacts is None else len(predicted.contacts[0].xyz)
    facts = [
        ("distance", f"{distance:.1f} m"),
        ("scan points in view", f"{len(sample.scene_camera)}"),
        ("contact points", f"{contacts}"),
    ]
    if is_cloud(scenes, sample.scene_key):
        facts.append(("PenE", "left out: the scan is points without faces"))
    return facts


def _tile(sample: Sample, predicted: Predicted, scenes: Place, card: DatasetCard) -> Tile:
    camera_from_world, body = sample.camera_from_world.double().numpy(), predicted.meshes[0].double().numpy()
    up, scene = find_surroundings(sample.scene_key, camera_from_world, body.mean(axis=0), scenes, card)
    contacts = np.zeros((0, 3)) if predicted.contacts is None else predicted.contacts[0].xyz
    return tile_without_truth(sample.key, sample, body, contacts, up, scene)


if __name__ == "__main__":
    main()
