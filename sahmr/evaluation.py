"""Predictions against stored ground truth: one row of scores per predictor and person-image, and their means."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import torch
from jaxtyping import Float
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
from schemas.fields import read_table
from schemas.metric import METRIC_NAMES, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, SPLIT

BASELINE = "baseline"  # the predictor that the others are compared with
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHOWN = 3  # keys that an error lists before it only counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """A predictions table, its rows found by key; camera frame, metres."""

    predictor: str
    rows: Mapping[str, int]
    vertices: Float[ndarray, "rows 6890 3"]
    contact_points: pa.ChunkedArray

    def mesh(self, key: str) -> Float[Tensor, "6890 3"]:
        """Vertices predicted for a person-image."""
        return torch.from_numpy(self.vertices[self.rows[key]].copy())

    def contacts(self, key: str) -> Float[Tensor, "contacts 3"]:
        """Scene points that the predictor takes for touched."""
        flat = self.contact_points[self.rows[key]].values.to_numpy(zero_copy_only=False)
        return torch.from_numpy(flat.copy()).view(-1, 3)


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


def read_predictions(path: Path, split: str) -> Predictions:
    """Read one predictor's table; it may have no rows.

    Raises:
        SchemaError: if it is no predictions table.
        ShardError: if it covers another split, or has a key twice.
    """
    table = read_table(path, PREDICTION_SCHEMA)
    found = (table.schema.metadata or {}).get(SPLIT.encode(), b"").decode()
    if found != split:
        raise ShardError(
            f"{path}: predictions of split {found!r}, expected {split!r} (evaluate.split); predict that split or "
            "change params.yaml"
        )
    keys = table.column("key").to_pylist()
    rows = {key: row for row, key in enumerate(keys)}
    if len(rows) < len(keys):
        raise ShardError(f"{path}: {len(keys)} rows, but only {len(rows)} different keys; keep one row of each")
    return Predictions(
        predictor=path.stem,
        rows=rows,
        vertices=table.column("vertices").combine_chunks().flatten().to_numpy().reshape(-1, NUM_VERTICES, 3),
        contact_points=table.column("contact_points"),
    )


def check_keys(predicted: Iterable[str], known: Iterable[str], *, source: str) -> None:
    """Insist that every person-image of the split was predicted, and nothing else.

    Raises:
        ShardError: naming a key that only one side has.
    """
    predicted, known = set(predicted), set(known)
    for word, keys in (("lacks", known - predicted), ("has the unknown", predicted - known)):
        if keys:
            raise ShardError(
                f"{source}: {word} key {min(keys)!r} and {len(keys) - 1} more; predictions and shards are of "
                "different data or splits: run dvc repro"
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


def mean_scores(scores: pa.Table, *by: str) -> pa.Table:
    """Means of a score table per value of some of its columns, and the number of ``frames``; first come, first row."""
    wanted = [([], "count_all"), *((name, "mean") for name in METRIC_NAMES)]
    means = scores.group_by(list(by), use_threads=False).aggregate(wanted)
    return means.select([*by, "count_all", *(f"{name}_mean" for name in METRIC_NAMES)]).rename_columns(
        [*by, "frames", *METRIC_NAMES]
    )


def summarise(scores: pa.Table) -> dict[str, dict[str, object]]:
    """Means per predictor and, under ``improvement_percent``, how much better each is than the baseline, if there."""
    rows = {str(row.pop("predictor")): row for row in mean_scores(scores, "predictor").to_pylist()}
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


def sequence_csv(scores: pa.Table) -> str:
    """Means per predictor and sequence, sorted, to four digits, as CSV for ``dvc plots``."""
    means = mean_scores(scores, "predictor", "sequence").sort_by(
        [("predictor", "ascending"), ("sequence", "ascending")]
    )
    for name in METRIC_NAMES:
        means = means.set_column(means.column_names.index(name), name, pc.round(means.column(name), 4))
    stream = io.BytesIO()
    pyarrow.csv.write_csv(means, stream)
    return stream.getvalue().decode()
