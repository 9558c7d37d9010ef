"""A picture of one sample. Needs torch, so it is imported only when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float
from numpy import ndarray

from catalog.errors import MissingError
from catalog.graph import Graph, Output
from catalog.lineage import find_frame
from catalog.rows import find_rows
from catalog.tables import table_files
from sahmr.batches.dataset import make_sample
from sahmr.body.topology import load_topology
from sahmr.datasets import find_card
from sahmr.report.panels import SCENE_RADIUS_M, Tile
from sahmr.report.preview import draw_preview
from sahmr.report.surfels import Surfels, surfels_near
from sahmr.report.surroundings import find_surroundings
from sahmr.scenes.arrays import is_cloud
from sahmr.scores.truth import Truth, find_truth
from sahmr.settings import Paths, load_section
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import StoredSample
from sahmr.shards.reader import ShardReader, read_index
from sahmr.structures import BodyTopology, Sample
from schemas.shard import ShardEntry

_NONE = np.zeros((0, 3))


def write_preview(graph: Graph, root: Path, key: str, path: Path) -> None:
    """Draw one sample from its shard, store and, if there are any, predictions.

    Args:
        graph, root: of the working folder, which is also the current one.
        key: of the sample.
        path: of the PNG.

    Raises:
        UnknownError: if no frame table has the key.
        MissingError: if no shard has it.
        ShardError, StoreError, BodyModelError, SchemaError: if what it is drawn from is missing or damaged.
    """
    found = list(table_files(graph, root))
    output, row = find_frame(found, key)
    dataset = str(output.dataset)
    paths = load_section("paths", Paths)
    folder, store = paths.shards / dataset, paths.scenes / f"{dataset}.zarr"
    entry = _entry(folder, key)
    stored = ShardReader(folder).decode(entry, verify=True)
    sample = make_sample(stored, crop_box(stored.person_box), store)
    topology, predicted = load_topology(paths.bodies), _prediction(found, dataset, key)
    draw_preview(
        _tile(stored, sample, entry, store, topology, predicted),
        sample.scene_camera.double().numpy(),
        stored.person_box,
        topology.faces.numpy(),
        path,
        title=f"{find_card(dataset).title}, split {row['split']}: {key}",
    )


def _entry(folder: Path, key: str) -> ShardEntry:
    index = read_index(folder)
    place: int = pc.index(index.table.column("key"), key).as_py()
    if place < 0:
        raise MissingError(
            f"{folder}: no shard has the sample {key}; left_out.parquet says why, or run: dvc repro shards"
        )
    return index[place]


def _prediction(found: list[tuple[Path, Output]], dataset: str, key: str) -> tuple[str, dict[str, Any]] | None:
    """The first method that predicted the sample, as its table has it."""
    for path, output in found:
        if output.stage == "predict" and output.dataset == dataset:
            for row in find_rows(path, key, rebuild=output.rebuild):
                return path.stem, row
    return None


def _tile(
    stored: StoredSample,
    sample: Sample,
    entry: ShardEntry,
    store: Path,
    topology: BodyTopology,
    predicted: tuple[str, dict[str, Any]] | None,
) -> Tile:
    scene, up, truth = (
        Surfels(points=_NONE, normals=_NONE, openness=np.zeros(0), pitch=0.02),
        np.array([0.0, -1, 0]),
        None,
    )
    true = _NONE if sample.vertices_camera is None else sample.vertices_camera.double().numpy()
    bodies, card = np.concatenate([true, _points(predicted, "vertices")]), find_card(stored.dataset)
    if len(true) and not is_cloud(store, stored.scene_key):
        truth = find_truth(stored, entry, store, topology.part_full, card)
        up = np.einsum("ij,j->i", stored.camera_from_world[:3, :3], truth.up.numpy())
        scene = surfels_near(truth.scene, stored.camera_from_world, true.mean(axis=0), SCENE_RADIUS_M)
    elif len(bodies):
        middle = bodies[:6890].mean(axis=0)  # of the true one, where it is known
        up, scene = find_surroundings(stored.scene_key, stored.camera_from_world, middle, store, card)
    return Tile(
        caption=_caption(stored, predicted),
        image=sample.image.permute(1, 2, 0).numpy(),
        intrinsics=stored.intrinsics,
        crop_box=sample.crop_box.double().numpy(),
        true=true,
        predicted=_points(predicted, "vertices"),
        up=up,
        scene=scene,
        contacts=_points(predicted, "contact_points"),
        true_contacts=_touched(truth),
    )


def _touched(truth: Truth | None) -> Float[ndarray, "touched 3"]:
    return _NONE if truth is None else truth.contacts.xyz.astype(np.float64)


def _points(predicted: tuple[str, dict[str, Any]] | None, column: str) -> Float[ndarray, "points 3"]:
    return _NONE if predicted is None else np.array(predicted[1][column], dtype=np.float64).reshape(-1, 3)


def _caption(stored: StoredSample, predicted: tuple[str, dict[str, Any]] | None) -> str:
    labels = "labels unknown" if stored.contact is None else f"{int(stored.contact.sum())} of 6890 vertices touch"
    body = labels if stored.vertices_world is not None else "no ground truth"
    return f"{stored.scene_key}; {body}; {'no prediction' if predicted is None else f'prediction of {predicted[0]}'}"
