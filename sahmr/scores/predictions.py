"""The predictions tables of a data set, each sure to cover the split it is scored on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import ShardError
from sahmr.scores.contact import Contacts
from schemas.fields import TableFile
from schemas.prediction import PREDICTION_SCHEMA, SPLIT
from schemas.stored import StoredTable

BASELINE = "baseline"  # the predictor that the others are compared with
ORACLES = ("oracle-root", "oracle-mesh")  # computed here: true root and predicted mesh, predicted root and true mesh
RESERVED = ("improvement_percent", "about", *ORACLES)  # of what stands beside the predictors' names
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHAPES = {"vertices": (NUM_VERTICES, 3), "root": (3,), "initial_root": (3,)}
_SHOWN = 3  # keys that an error lists before it only counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What one predictor says of some person-images. Camera frame, metres.

    Attributes:
        meshes: vertices.
        root: refined root.
        initial_root: root before refinement; None: this predictor does not refine.
        contacts: scene points taken for touched; None: this predictor never says.
    """

    meshes: Float[Tensor, "batch 6890 3"]
    root: Float[Tensor, "batch 3"]
    initial_root: Float[Tensor, "batch 3"] | None = None
    contacts: tuple[Contacts, ...] | None = None


class Predictions:
    """A predictions table on disk, its rows in the order of person-images; camera frame, metres.

    Args:
        path: of the file; its name is the predictor's.
        table: the same; a row group at a time is in memory.
        rows: number of the row of each person-image.
        facts: what the table's metadata say of who made it.
        has_contacts: whether it says of any image which scene points are touched.
        has_refinement: whether any root moved.
    """

    def __init__(
        self,
        path: Path,
        table: StoredTable,
        rows: Int[ndarray, " images"],
        *,
        facts: dict[str, str],
        has_contacts: bool,
        has_refinement: bool,
    ) -> None:
        self.predictor, self.path, self.facts, self._table, self._rows = path.stem, path, facts, table, rows
        self.has_contacts, self.has_refinement = has_contacts, has_refinement

    def of(self, numbers: Sequence[int]) -> Predicted:
        """All that is scored of some person-images, by their places.

        Raises:
            SchemaError: if the table is damaged, or a number in it is not finite.
        """
        rows = self._table.take(self._rows[list(numbers)]).combine_chunks()
        arrays = {name: self._floats(rows, name, shape) for name, shape in _SHAPES.items()}
        meshes, root, initial = (torch.from_numpy(arrays[name]) for name in _SHAPES)
        return Predicted(
            meshes=meshes,
            root=root,
            initial_root=initial if self.has_refinement else None,
            contacts=_contacts(rows) if self.has_contacts else None,
        )

    def _floats(self, rows: pa.Table, column: str, shape: tuple[int, ...]) -> Float[ndarray, "..."]:
        flat = pc.list_flatten(rows.column(column)).to_numpy()
        return np.array(flat, dtype=np.float32).reshape(len(rows), *shape)


def _contacts(rows: pa.Table) -> tuple[Contacts, ...]:
    points, parts = rows.column("contact_points"), rows.column("contact_parts")
    return tuple(
        Contacts(
            xyz=np.array(point.values.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(-1, 3),
            part=np.array(part.values.to_numpy(zero_copy_only=False), dtype=np.int64),
        )
        for point, part in zip(points, parts, strict=True)
    )


def find_predictions(folder: Path) -> list[Path]:
    """The tables of a data set: ``sahmr`` first, ``baseline`` last, the others between them by name.

    Raises:
        ShardError: if there is none, or a file's name makes no predictor's name.
    """
    found = sorted(folder.glob("*.parquet"), key=lambda path: (path.stem == BASELINE, path.stem != "sahmr", path.stem))
    if not found:
        raise ShardError(f"{folder}: no predictions; make them with: dvc repro predict baseline")
    for path in found:
        check_name(path.stem, source=str(path))
    return found


def check_name(name: str, *, source: str) -> None:
    """Insist that a predictor may be called so.

    Raises:
        ShardError: saying what is allowed.
    """
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ShardError(
            f"{source}: {name!r} is no predictor's name; allowed: small letters, digits, - and _, and none of "
            f"{', '.join(RESERVED)}; choose another"
        )


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
    keys = TableFile(path, PREDICTION_SCHEMA, ["key", "contact_count", "initial_root", "root"])
    facts = {name.decode(): value.decode(errors="replace") for name, value in keys.metadata.items()}
    found = facts.get(SPLIT, "")
    if found != split:
        raise ShardError(
            f"{path}: predictions of split {found!r}, expected {split!r} (evaluate.split); predict that split or "
            "change params.yaml"
        )
    table = keys.read()
    predicted = table.column("key")
    if len(predicted) == 0:
        return None
    if (different := len(pc.unique(predicted))) < len(predicted):
        raise ShardError(f"{path}: {len(predicted)} rows, but only {different} different keys; keep one row of each")
    check_keys(predicted, images, source=str(path))
    return Predictions(
        path,
        StoredTable(
            path, PREDICTION_SCHEMA, ["key", "vertices", "root", "initial_root", "contact_points", "contact_parts"]
        ),
        pc.index_in(images, value_set=predicted.combine_chunks()).to_numpy().astype(np.int64),
        facts=facts,
        has_contacts=(pc.max(table.column("contact_count")).as_py() or 0) > 0,
        has_refinement=not pc.list_flatten(table.column("initial_root")).equals(pc.list_flatten(table.column("root"))),
    )


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
