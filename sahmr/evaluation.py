"""Predictions against stored ground truth: one row of scores per predictor and person-image, and their means."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from sahmr.body.joints import H36M_TO_14
from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import ShardError
from sahmr.geometry.distance_field import sample_distance
from sahmr.geometry.rigid import apply_rigid
from sahmr.geometry.rigid_numpy import invert_rigid
from sahmr.metrics import mesh_errors, scene_errors
from sahmr.scenes.store import Scene
from sahmr.shards.decode import StoredGeometry
from schemas.fields import TableFile
from schemas.metric import METRIC_NAMES, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, SPLIT
from schemas.stored import StoredTable

BASELINE = "baseline"  # the predictor that the others are compared with
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHOWN = 3  # keys that an error lists before it only counts


class Predictions:
    """A predictions table on disk, its rows in the order of person-images; camera frame, metres.

    Args:
        predictor: whose.
        table: the file; a row group at a time is in memory.
        rows: number of the row of each person-image.
    """

    def __init__(self, predictor: str, table: StoredTable, rows: Int[ndarray, " images"]) -> None:
        self.predictor, self._table, self._rows = predictor, table, rows

    def mesh(self, number: int) -> Float[Tensor, "6890 3"]:
        """Vertices predicted for a person-image, by its place."""
        return torch.from_numpy(self._flat(number, "vertices")).view(NUM_VERTICES, 3)

    def contacts(self, number: int) -> Float[Tensor, "contacts 3"]:
        """Scene points that the predictor takes for touched."""
        return torch.from_numpy(self._flat(number, "contact_points")).view(-1, 3)

    def _flat(self, number: int, column: str) -> Float[ndarray, " numbers"]:
        row = self._table.take(self._rows[number : number + 1])
        values: Float[ndarray, " numbers"] = row.column(column)[0].values.to_numpy(zero_copy_only=False).copy()
        return values


def find_predictions(folder: Path) -> list[Path]:
    """The tables of a data set: ``sahmr`` first, ``baseline`` last, the others between them by name.

    Raises:
        ShardError: if there is none, or a file's name makes no predictor's name.
    """
    found = sorted(folder.glob("*.parquet"), key=lambda path: (path.stem == BASELINE, path.stem != "sahmr", path.stem))
    if not found:
        raise ShardError(f"{folder}: no predictions; make them with: dvc repro predict baseline")
    for path in found:
        if not _NAME.fullmatch(path.stem) or path.stem == "improvement_percent":
            raise ShardError(
                f"{path}: {path.stem!r} is no predictor's name; allowed: small letters, digits, - and _, and not "
                "'improvement_percent'; rename the file"
            )
    return found


def read_predictions(path: Path, split: str, images: pa.ChunkedArray) -> Predictions | None:
    """Open one predictor's table; None if it has no rows.

    Args:
        path: of the table.
        split: that it must cover.
        images: keys of all person-images of the split, in the order they are wanted.

    Raises:
        SchemaError: if it is no predictions table.
        ShardError: if it covers another split, has a key twice, or lacks a key.
    """
    keys = TableFile(path, PREDICTION_SCHEMA, ["key"])
    found = keys.metadata.get(SPLIT.encode(), b"").decode(errors="replace")
    if found != split:
        raise ShardError(
            f"{path}: predictions of split {found!r}, expected {split!r} (evaluate.split); predict that split or "
            "change params.yaml"
        )
    predicted = keys.read().column("key")
    if len(predicted) == 0:
        return None
    if (different := len(pc.unique(predicted))) < len(predicted):
        raise ShardError(f"{path}: {len(predicted)} rows, but only {different} different keys; keep one row of each")
    check_keys(predicted, images, source=str(path))
    rows = pc.index_in(images, value_set=predicted.combine_chunks()).to_numpy().astype(np.int64)
    return Predictions(path.stem, StoredTable(path, PREDICTION_SCHEMA, ["vertices", "contact_points"]), rows)


def check_keys(predicted: pa.ChunkedArray, known: pa.ChunkedArray, *, source: str) -> None:
    """Insist that every person-image of the split was predicted, and nothing else.

    Raises:
        ShardError: naming a key that only one side has.
    """
    for word, ours, theirs in (("lacks", known, predicted), ("has the unknown", predicted, known)):
        keys = ours.filter(pc.invert(pc.is_in(ours, value_set=theirs)))
        if len(keys):
            raise ShardError(
                f"{source}: {word} key {pc.min(keys).as_py()!r} and {len(keys) - 1} more; predictions and shards are "
                "of different data or splits: run dvc repro"
            )


def missing_truth(keys: Sequence[str], *, source: str) -> ShardError:
    """The error of person-images that have no ground truth to be compared with; it names and counts them."""
    shown = ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
    return ShardError(
        f"{source}: {len(keys)} person-images have no ground truth and cannot be scored: {shown}; set evaluate.split "
        "to a split whose frames all have it, or use the predictions without evaluate"
    )


def score(
    meshes: Mapping[str, Float[Tensor, "6890 3"]],
    frame: StoredGeometry,
    sequence: str,
    scene: Scene,
    joint_regressor: Float[Tensor, "17 6890"],
) -> list[MetricRecord]:
    """Score what several predictors say of one person-image, in the world frame and float64 (method 9.2).

    The truth is taken as stored. Predictions are moved by the exact inverse of ``camera_from_world``: published
    rotations are orthonormal to about 1e-5 only, and a transpose would be off by as much. Distances are looked up in
    the precision they are stored in, float32.

    Args:
        meshes: by predictor; camera frame, metres.
        frame: camera, ground truth, and contact labels; where these are unknown none counts as touching.
        sequence: for the records.
        scene: with its distance field.
        joint_regressor: H36M regressor.

    Raises:
        ShardError: if the frame has no ground truth.
    """
    if frame.vertices_world is None:
        raise missing_truth([frame.key], source="evaluation")
    world_from_camera = torch.from_numpy(invert_rigid(frame.camera_from_world))
    predicted = torch.stack([apply_rigid(world_from_camera, mesh.double()) for mesh in meshes.values()])
    true = torch.from_numpy(frame.vertices_world).double().expand_as(predicted)
    contact = torch.from_numpy(np.zeros(NUM_VERTICES, dtype=bool) if frame.contact is None else frame.contact)
    distance = sample_distance(scene.sdf, scene.sdf_min, scene.sdf_max, predicted)
    values = {
        **mesh_errors(predicted, true, joint_regressor.double(), H36M_TO_14),
        **scene_errors(distance, contact.expand_as(distance)),
    }
    return [
        MetricRecord(
            key=frame.key,
            predictor=predictor,
            sequence=sequence,
            **{name: float(value[row]) for name, value in values.items()},
        )
        for row, predictor in enumerate(meshes)
    ]


def add_scores(parts: Iterable[pa.Table]) -> pa.Table:
    """Sums of score tables per predictor and sequence, and the number of ``frames``; first come, first row."""
    sums = [_sums(part, ("key", "count")) for part in parts]
    return _sums(pa.concat_tables(sums), ("frames", "sum"))


def _sums(scores: pa.Table, count: tuple[str, str]) -> pa.Table:
    by = ["predictor", "sequence"]
    found = scores.group_by(by, use_threads=False).aggregate([count, *((name, "sum") for name in METRIC_NAMES)])
    wanted = [*by, "_".join(count), *(f"{name}_sum" for name in METRIC_NAMES)]
    return found.select(wanted).rename_columns([*by, "frames", *METRIC_NAMES])


def mean_scores(sums: pa.Table, *by: str) -> pa.Table:
    """Means of :func:`add_scores` per value of some columns, and the number of ``frames``; first come, first row."""
    names = ["frames", *METRIC_NAMES]
    means = sums.group_by(list(by), use_threads=False).aggregate([(name, "sum") for name in names])
    means = means.select([*by, *(f"{name}_sum" for name in names)]).rename_columns([*by, *names])
    for place, name in enumerate(METRIC_NAMES, len(by) + 1):
        means = means.set_column(place, name, pc.divide(means.column(name), means.column("frames").cast(pa.float64())))
    return means


def summarise(sums: pa.Table) -> dict[str, dict[str, object]]:
    """Means per predictor and, under ``improvement_percent``, how much better each is than the baseline, if there."""
    rows = {str(row.pop("predictor")): row for row in mean_scores(sums, "predictor").to_pylist()}
    summary: dict[str, dict[str, object]] = {
        predictor: {name: round(value, 4) for name, value in row.items()} for predictor, row in rows.items()
    }
    if BASELINE in rows and len(rows) > 1:
        base = rows.pop(BASELINE)
        summary["improvement_percent"] = {
            predictor: {name: round(100 * (1 - row[name] / base[name]), 2) for name in METRIC_NAMES if base[name] > 0}
            for predictor, row in rows.items()
        }
    return summary


def sequence_csv(sums: pa.Table) -> str:
    """Means per predictor and sequence, sorted, to four digits, as CSV for ``dvc plots``."""
    means = mean_scores(sums, "predictor", "sequence").sort_by([("predictor", "ascending"), ("sequence", "ascending")])
    for name in METRIC_NAMES:
        means = means.set_column(means.column_names.index(name), name, pc.round(means.column(name), 4))
    stream = io.BytesIO()
    pyarrow.csv.write_csv(means, stream)
    return stream.getvalue().decode()
