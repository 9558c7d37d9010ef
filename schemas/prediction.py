"""What the network says of one person-image: the rows of ``predictions/<dataset>/<split>.parquet``."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema, vector

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
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRecord:
    """One prediction; flat float lists, row-major."""

    key: str
    crop_box: tuple[float, ...]
    initial_root: tuple[float, ...]
    root: tuple[float, ...]
    vertices: tuple[float, ...]
    contact_count: int
    contact_points: tuple[float, ...]
    contact_parts: tuple[int, ...]
