"""One usable person-image per row: what the stage ``frames`` writes and every later stage starts from."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema, vector

FRAME_SCHEMA = schema(
    "frame",
    (
        column("key", pa.string(), note="unique img_key, no dots"),
        column("dataset", pa.string(), note="rich | prox"),
        column("split", pa.string(), note="train | val | test"),
        column("sequence", pa.string()),
        column("camera", pa.int32(), note="camera number inside its capture"),
        column("frame", pa.int32(), note="frame number of the raw data; running index where a name has none"),
        column("subject", pa.string()),
        column("gender", pa.string(), note="male | female | neutral"),
        column("intrinsics", vector(9), unit="px", frame="full image", note="K, row-major, no distortion"),
        column("camera_from_world", vector(16), unit="m", note="rigid, row-major; x_camera = T @ x_world"),
        column("image_width", pa.int32(), unit="px", frame="full image"),
        column("image_height", pa.int32(), unit="px", frame="full image"),
        column("person_box", vector(4), unit="px", frame="full image", note="left top right bottom, not clipped"),
        column("scene_key", pa.string()),
        column("image_file", pa.string(), note="relative to the raw root"),
        column("image_sha256", pa.string()),
        column("image_divisor", pa.int32(), note="image_file is the full image area-reduced by this: 1 | 4"),
        column("mirrored", pa.bool_(), note="the file on disk is the mirror image and must be flipped first"),
        column("body_file", pa.string(), note="relative to the raw root"),
        column("body_sha256", pa.string()),
        column("contact_file", pa.string(), nullable=True, note="relative to the raw root; null: unknown"),
        column("contact_sha256", pa.string(), nullable=True),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A row of ``frames/<dataset>.parquet``; the columns' units and frames stand in ``FRAME_SCHEMA``."""

    key: str
    dataset: str
    split: str
    sequence: str
    camera: int
    frame: int
    subject: str
    gender: str
    intrinsics: tuple[float, ...]
    camera_from_world: tuple[float, ...]
    image_width: int
    image_height: int
    person_box: tuple[float, ...]
    scene_key: str
    image_file: str
    image_sha256: str
    image_divisor: int = 1
    mirrored: bool
    body_file: str
    body_sha256: str
    contact_file: str | None
    contact_sha256: str | None
