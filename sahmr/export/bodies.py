"""Stored predictions as bodies in the frame one asks for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.body.fit import SmplFit, SmplParams, fit_smpl, move_params
from sahmr.body.posed import SmplTables
from sahmr.body.stored import camera_to_world
from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import ExportError
from sahmr.geometry.rigid_numpy import invert_rigid
from schemas.prediction import PREDICTION_SCHEMA
from schemas.stored import StoredTable

Frame = Literal["world", "camera"]
_PARAMS = tuple(f"smpl_{field.name}" for field in fields(SmplParams))
_COLUMNS = ("key", "vertices", "camera_from_world", *_PARAMS, "smpl_residual_mm")
_AT_ONCE = 64  # rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedBodies:
    """Some rows of a predictions table. Metres.

    Attributes:
        keys: one ``img_key`` per body.
        vertices: SMPL topology, in the frame asked for.
        smpl: parameters of the bodies nearest to them, in that frame; None: not asked for.
        cameras: camera from world of each; None: the frame is the camera's.
    """

    keys: tuple[str, ...]
    vertices: Float[ndarray, "bodies 6890 3"]
    smpl: SmplFit | None
    cameras: Float[ndarray, "bodies 4 4"] | None


def open_predictions(path: Path) -> StoredTable:
    """The table, for :func:`read_bodies`. Raises SchemaError if it is missing, damaged or no predictions table."""
    return StoredTable(path, PREDICTION_SCHEMA, _COLUMNS)


def predicted_keys(path: Path) -> list[str]:
    """Whose rows a predictions table has, in its order. Raises SchemaError as :func:`open_predictions`."""
    keys: list[str] = StoredTable(path, PREDICTION_SCHEMA, ["key"]).read().column("key").to_pylist()
    return keys


def nearest(name: str, known: Sequence[str]) -> str:
    """What an error says is allowed where a name is unknown."""
    near = difflib.get_close_matches(name, known[:20_000], n=3, cutoff=0.3) or known[:3]
    return f"allowed one of the {len(known)} (such as {', '.join(near) or 'none'})"


def read_bodies(
    table: StoredTable, rows: Int[ndarray, " rows"], frame: Frame, smpl: SmplTables | None
) -> Iterator[PredictedBodies]:
    """Bodies of some rows, some at a time.

    Args:
        table: of :func:`open_predictions`.
        rows: their numbers.
        frame: of what is given.
        smpl: the model, if parameters are wanted; rows that store none are fitted here.

    Raises:
        SchemaError: if the table is damaged.
        ExportError: if the world frame is wanted of a table that has no cameras.
    """
    for start in range(0, len(rows), _AT_ONCE):
        found = table.take(rows[start : start + _AT_ONCE])
        vertices = _array(found, "vertices").reshape(-1, NUM_VERTICES, 3)
        fit = None if smpl is None else _stored_fit(found) or fit_smpl(smpl, torch.from_numpy(vertices.copy()))
        cameras = None
        if frame == "world":
            if found.column("camera_from_world").null_count:
                raise ExportError(
                    "the predictions table has no cameras, as tables of schema 2.0 have none; run dvc repro predict, "
                    "or export with --frame camera"
                )
            cameras = _array(found, "camera_from_world").reshape(-1, 4, 4)
            vertices = camera_to_world(cameras, vertices)
            if fit is not None and smpl is not None:
                inverse = torch.from_numpy(np.stack([invert_rigid(camera) for camera in cameras]))
                fit = SmplFit(params=move_params(smpl, fit.params, inverse), residual_mm=fit.residual_mm)
        keys = tuple(found.column("key").to_pylist())
        yield PredictedBodies(keys=keys, vertices=vertices.astype(np.float64), smpl=fit, cameras=cameras)


def _array(table: pa.Table, name: str) -> Float[ndarray, "*rows"]:
    """A column without nulls: [rows], or [rows, numbers] of vectors."""
    column = table.column(name).combine_chunks()
    if not pa.types.is_nested(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(table), -1)


def _stored_fit(table: pa.Table) -> SmplFit | None:
    """None if a row has none."""
    names = (*_PARAMS, "smpl_residual_mm")
    if any(table.column(name).null_count for name in names):
        return None
    *params, residual = (torch.from_numpy(_array(table, name).copy()) for name in names)
    found = dict(zip((field.name for field in fields(SmplParams)), params, strict=True))
    return SmplFit(params=SmplParams(**found), residual_mm=residual)
