"""What a predictor says of each person-image: the rows of ``predictions/<dataset>/<predictor>.parquet``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.fields import SchemaError, column, schema, vector

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
    ),
    version="2.0",
    stage="predict baseline",
)
ROWS_PER_GROUP = 128  # of 84 kB each: what writers and readers hold of such a table
SPLIT = "sahmr.split"  # metadata of every predictions table: the split it covers


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
) -> pa.Table:
    """Rows of ``PREDICTION_SCHEMA`` out of arrays; no vertex becomes a Python number.

    Args:
        keys: ``img_key`` of each of the n rows.
        crop_box: (left, top, right, bottom), full-image pixels [n, 4].
        initial_root, root: camera frame, metres [n, 3].
        vertices: camera frame, metres [n, 6890, 3].
        contact_count: how many contact points each row has [n].
        contact_points, contact_parts: those of all rows, end to end: camera frame, metres [m, 3]; part ids [m].

    Raises:
        SchemaError: if an array has another shape or the counts do not add up to m.
    """
    rows, contacts = len(keys), int(contact_count.sum())
    flat = {"crop_box": crop_box, "initial_root": initial_root, "root": root, "vertices": vertices}
    lists = {"contact_points": contact_points, "contact_parts": contact_parts}
    sizes = {name: rows * PREDICTION_SCHEMA.field(name).type.list_size for name in flat}
    sizes |= {"contact_count": rows, "contact_points": contacts * 3, "contact_parts": contacts}
    for name, values in {**flat, "contact_count": contact_count, **lists}.items():
        if values.size != sizes[name]:
            raise SchemaError(f"{name}: found {values.size} values for {rows} rows, expected {sizes[name]}")
    ends = np.concatenate([[0], np.cumsum(contact_count)])
    columns = {
        "key": pa.array(keys, pa.string()),
        **{name: _vectors(name, values) for name, values in flat.items()},
        "contact_count": pa.array(contact_count, pa.int32()),
        "contact_points": _lists("contact_points", contact_points, ends * 3),
        "contact_parts": _lists("contact_parts", contact_parts, ends),
    }
    return pa.Table.from_pydict(columns, schema=PREDICTION_SCHEMA)


def _values(kind: pa.DataType, values: NDArray[np.generic]) -> pa.Array:
    return pa.array(values.reshape(-1).astype(kind.value_type.to_pandas_dtype(), copy=False))


def _vectors(name: str, values: NDArray[np.floating]) -> pa.Array:
    kind = PREDICTION_SCHEMA.field(name).type
    return pa.FixedSizeListArray.from_arrays(_values(kind, values), type=kind)


def _lists(name: str, values: NDArray[np.generic], ends: NDArray[np.integer]) -> pa.Array:
    kind = PREDICTION_SCHEMA.field(name).type
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), _values(kind, values), type=kind)
