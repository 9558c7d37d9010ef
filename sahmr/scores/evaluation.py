"""Predictions against stored ground truth: one row of scores per predictor and person-image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
from sahmr.scores.body import edge_errors, trunk_angles
from sahmr.scores.contact import contact_scores
from sahmr.scores.posture import find_posture
from sahmr.scores.truth import Truth
from schemas.fields import TableFile
from schemas.metric import MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, SPLIT
from schemas.stored import StoredTable

BASELINE = "baseline"  # the predictor that the others are compared with
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHOWN = 3  # keys that an error lists before it only counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What one predictor says of it. Camera frame, metres.

    Attributes:
        mesh: vertices.
        contacts: scene points taken for touched; None: this predictor never says.
    """

    mesh: Float[Tensor, "6890 3"]
    contacts: Float[Tensor, "contacts 3"] | None = None


class Predictions:
    """A predictions table on disk, its rows in the order of person-images; camera frame, metres.

    Args:
        predictor: whose.
        table: the file; a row group at a time is in memory.
        rows: number of the row of each person-image.
        has_contacts: whether it says of any image which scene points are touched.
    """

    def __init__(
        self, predictor: str, table: StoredTable, rows: Int[ndarray, " images"], *, has_contacts: bool
    ) -> None:
        self.predictor, self._table, self._rows, self.has_contacts = predictor, table, rows, has_contacts

    def mesh(self, number: int) -> Float[Tensor, "6890 3"]:
        """Vertices predicted for a person-image, by its place."""
        return torch.from_numpy(self._flat(number, "vertices")).view(NUM_VERTICES, 3)

    def contacts(self, number: int) -> Float[Tensor, "contacts 3"]:
        """Scene points that the predictor takes for touched."""
        return torch.from_numpy(self._flat(number, "contact_points")).view(-1, 3)

    def of(self, number: int) -> Predicted:
        """All that is scored of a person-image, by its place."""
        return Predicted(mesh=self.mesh(number), contacts=self.contacts(number) if self.has_contacts else None)

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
    keys = TableFile(path, PREDICTION_SCHEMA, ["key", "contact_count"])
    found = keys.metadata.get(SPLIT.encode(), b"").decode(errors="replace")
    if found != split:
        raise ShardError(
            f"{path}: predictions of split {found!r}, expected {split!r} (evaluate.split); predict that split or "
            "change params.yaml"
        )
    table = keys.read()
    predicted, has_contacts = table.column("key"), (pc.max(table.column("contact_count")).as_py() or 0) > 0
    if len(predicted) == 0:
        return None
    if (different := len(pc.unique(predicted))) < len(predicted):
        raise ShardError(f"{path}: {len(predicted)} rows, but only {different} different keys; keep one row of each")
    check_keys(predicted, images, source=str(path))
    rows = pc.index_in(images, value_set=predicted.combine_chunks()).to_numpy().astype(np.int64)
    stored = StoredTable(path, PREDICTION_SCHEMA, ["vertices", "contact_points"])
    return Predictions(path.stem, stored, rows, has_contacts=has_contacts)


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
    predicted: Mapping[str, Predicted],
    truth: Truth,
    joint_regressor: Float[Tensor, "17 6890"],
    edges: Int[Tensor, "edges 2"],
) -> list[MetricRecord]:
    """Score what several predictors say of one person-image, in the world frame and float64 (method 9.2).

    The truth is taken as stored. Predictions are moved by the exact inverse of ``camera_from_world``: published
    rotations are orthonormal to about 1e-5 only, and a transpose would be off by as much. Distances are looked up in
    the precision they are stored in, float32.

    Args:
        predicted: by predictor.
        truth: of the same person-image.
        joint_regressor: H36M regressor.
        edges: of the mesh, each once.

    Raises:
        ShardError: if the frame has no ground truth.
    """
    frame, scene, regressor = truth.frame, truth.scene, joint_regressor.double()
    if frame.vertices_world is None:
        raise missing_truth([frame.key], source="evaluation")
    world_from_camera = torch.from_numpy(invert_rigid(frame.camera_from_world))
    meshes = torch.stack([apply_rigid(world_from_camera, each.mesh.double()) for each in predicted.values()])
    true = torch.from_numpy(frame.vertices_world).double().expand_as(meshes)
    contact = torch.from_numpy(np.zeros(NUM_VERTICES, dtype=bool) if frame.contact is None else frame.contact)
    distance = sample_distance(scene.sdf, scene.sdf_min, scene.sdf_max, meshes)
    joints = [torch.einsum("jv,bvc->bjc", regressor, each) for each in (meshes, true)]  # [predictors, 17, 3] each
    values = {
        **mesh_errors(meshes, true, regressor, H36M_TO_14),
        **scene_errors(distance, contact.expand_as(distance)),
        "edge_error_ratio": edge_errors(meshes, true, edges),
        "trunk_angle_deg": trunk_angles(joints[0], joints[1]),
    }
    contacts = {
        predictor: (None, None) if each.contacts is None else contact_scores(each.contacts, truth.contacts)
        for predictor, each in predicted.items()
    }
    posture = find_posture(joints[1][0], truth.up)
    return [
        MetricRecord(
            key=frame.key,
            predictor=predictor,
            sequence=truth.sequence,
            posture=posture,
            **{name: float(value[row]) for name, value in values.items()},
            contact_precision_ratio=precision,
            contact_recall_ratio=recall,
        )
        for row, (predictor, (precision, recall)) in enumerate(contacts.items())
    ]
