"""What a predictor says of each person-image: the rows of ``predictions/<dataset>/<predictor>.parquet``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.fields import SchemaError, column, schema, vector

_MAY_BE_NULL: dict[str, Any] = {"nullable": True, "since": "2.1"}
_MAY_BE_EMPTY: dict[str, Any] = {"since": "2.1", "default": []}


def _maybe(length: int, kind: pa.DataType | None = None) -> pa.DataType:
    """A vector of float32 that may be null as a whole; so may its numbers, or Arrow could not cast it."""
    return pa.list_(kind or pa.float32(), length)


PREDICTION_SCHEMA = schema(
    "prediction",
    (
        column("key", pa.string()),
        column("crop_box", vector(4), unit="px", frame="full image", note="square crop the network saw"),
        column("initial_root", vector(3, pa.float32()), unit="m", frame="camera"),
        column("root", vector(3, pa.float32()), unit="m", frame="camera", note="refined root r*"),
        column("vertices", vector(6890 * 3, pa.float32()), unit="m", frame="camera", note="SMPL topology, xyz"),
        column("contact_count", pa.int32(), note="contact points selected from the scene"),
        column("contact_points", pa.list_(pa.float32()), unit="m", frame="camera", note="xyz of each, flat"),
        column("contact_parts", pa.list_(pa.int32()), note="part id 1..7 of each"),
        column("camera_from_world", _maybe(16, pa.float64()), unit="m", note="row-major 4x4", **_MAY_BE_NULL),
        column("joints", _maybe(17 * 3), unit="m", frame="camera", note="H36M joints, xyz", **_MAY_BE_NULL),
        column("root_world", _maybe(3), unit="m", frame="world", note="refined root", **_MAY_BE_NULL),
        column("vertices_world", _maybe(6890 * 3), unit="m", frame="world", note="6890 xyz", **_MAY_BE_NULL),
        column("joints_world", _maybe(17 * 3), unit="m", frame="world", note="H36M joints, xyz", **_MAY_BE_NULL),
        column("scene_points", pa.list_(pa.float32()), unit="m", frame="camera", note="near the root, xyz, flat",
               **_MAY_BE_EMPTY),
        column("scene_probability", pa.list_(pa.float32()), note="of contact, of each", **_MAY_BE_EMPTY),
        column("scene_parts", pa.list_(pa.uint8()), note="likeliest part id 0..7 of each, 0: none", **_MAY_BE_EMPTY),
        column("smpl_betas", _maybe(10), note="of the neutral SMPL fitted to the vertices", **_MAY_BE_NULL),
        column("smpl_global_orient", _maybe(3), unit="rad", frame="camera", note="axis-angle", **_MAY_BE_NULL),
        column("smpl_body_pose", _maybe(69), unit="rad", note="axis-angles of 23 joints", **_MAY_BE_NULL),
        column("smpl_transl", _maybe(3), unit="m", frame="camera", note="not the root joint", **_MAY_BE_NULL),
        column("smpl_residual_mm", pa.float32(), unit="mm", note="mean distance, vertices to fit", **_MAY_BE_NULL),
    ),
    version="2.1",
    stage="predict baseline",
)  # fmt: skip
ROWS_PER_GROUP = 128  # of 170 kB each, and 17 bytes per scene point: what writers and readers hold of such a table
SPLIT = "sahmr.split"  # metadata of every predictions table: the split it covers
MAY_BE_UNKNOWN = tuple(field.name for field in PREDICTION_SCHEMA if field.nullable)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneContact:
    """Scene points near the root of n rows, end to end.

    Attributes:
        count: how many each row has [n].
        points: camera frame, metres [m, 3].
        probability: of contact [m].
        parts: likeliest part id, 0: none [m].
    """

    count: NDArray[np.integer]
    points: NDArray[np.floating]
    probability: NDArray[np.floating]
    parts: NDArray[np.integer]


def no_scene(rows: int) -> SceneContact:
    """Of a predictor that does not say."""
    none = np.zeros(0, dtype=np.float32)
    return SceneContact(
        count=np.zeros(rows, dtype=np.int64), points=none.reshape(0, 3), probability=none, parts=none.astype(np.uint8)
    )


def prediction_table(
    keys: Sequence[str],
    *,
    crop_box: NDArray[np.floating],
    initial_root: NDArray[np.floating],
    root: NDArray[np.floating],
    vertices: NDArray[np.floating],
    contact_count: NDArray[np.integer],
    contact_points: NDArray[np.floating],
    contact_parts: NDArray[np.integer],
    scene: SceneContact | None = None,
    known: Mapping[str, NDArray[np.floating]] | None = None,
) -> pa.Table:
    """Rows of ``PREDICTION_SCHEMA`` out of arrays; no vertex becomes a Python number.

    Args:
        keys: ``img_key`` of each of the n rows.
        crop_box: (left, top, right, bottom), full-image pixels [n, 4].
        initial_root, root: camera frame, metres [n, 3].
        vertices: camera frame, metres [n, 6890, 3].
        contact_count: how many contact points each row has [n].
        contact_points, contact_parts: those of all rows, end to end: camera frame, metres [m, 3]; part ids [m].
        scene: probability of contact; None: unknown.
        known: by column, what may be unknown (:data:`MAY_BE_UNKNOWN`) and is not; n rows each.

    Raises:
        SchemaError: if an array has another shape or the counts do not add up to m.
    """
    rows, scene, known = len(keys), scene or no_scene(len(keys)), known or {}
    if odd := sorted(set(known) - set(MAY_BE_UNKNOWN)):
        raise SchemaError(f"known: found the columns {odd}, allowed {', '.join(MAY_BE_UNKNOWN)}")
    flat = {"crop_box": crop_box, "initial_root": initial_root, "root": root, "vertices": vertices, **known}
    lists = {
        "contact_points": (contact_points, contact_count),
        "contact_parts": (contact_parts, contact_count),
        "scene_points": (scene.points, scene.count),
        "scene_probability": (scene.probability, scene.count),
        "scene_parts": (scene.parts, scene.count),
    }
    columns = {
        "key": pa.array(keys, pa.string()),
        "contact_count": _flat("contact_count", contact_count, rows),
        **{name: _flat(name, values, rows) for name, values in flat.items()},
        **{name: _lists(name, values, count, rows) for name, (values, count) in lists.items()},
    }
    unknown = (name for name in MAY_BE_UNKNOWN if name not in known)
    columns |= {name: pa.nulls(rows, PREDICTION_SCHEMA.field(name).type) for name in unknown}
    return pa.Table.from_pydict(columns, schema=PREDICTION_SCHEMA)


def _values(name: str, kind: pa.DataType, values: NDArray[np.generic], expected: int, rows: int) -> pa.Array:
    if values.size != expected:
        raise SchemaError(f"{name}: found {values.size} values for {rows} rows, expected {expected}")
    return pa.array(values.reshape(-1).astype(kind.to_pandas_dtype(), copy=False))


def _flat(name: str, values: NDArray[np.generic], rows: int) -> pa.Array:
    """A number or a vector in each row."""
    kind = PREDICTION_SCHEMA.field(name).type
    if not pa.types.is_nested(kind):
        return _values(name, kind, values, rows, rows)
    within = _values(name, kind.value_type, values, rows * kind.list_size, rows)
    return pa.FixedSizeListArray.from_arrays(within, type=kind)


def _lists(name: str, values: NDArray[np.generic], count: NDArray[np.integer], rows: int) -> pa.Array:
    """As many points in each row as ``count`` says; three numbers make a point, or one what is said of it."""
    kind, each = PREDICTION_SCHEMA.field(name).type, 3 if name.endswith("_points") else 1
    ends = np.concatenate([[0], np.cumsum(count)]) * each
    within = _values(name, kind.value_type, values, int(ends[-1]), rows)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), within, type=kind)
