"""One usable person-image per row: what the stage ``frames`` writes and every later stage starts from."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import SchemaError, column, schema, vector

# Where a person box comes from: the body; a detector; a person who drew it; the publisher, who ships it beside the
# image; or the publisher's ready-made crop, which is then the image, and the box is that of which it is the crop.
BOX_SOURCES = ("body", "detector", "person", "publisher", "crop")

FRAME_SCHEMA = schema(
    "frame",
    (
        column("key", pa.string(), note="unique img_key, no dots"),
        column("dataset", pa.string(), note="name of its card"),
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
        column("box_source", pa.string(), note="of person_box: body | detector | person", since="2.1", default="body"),
        column("scene_key", pa.string()),
        column("image_file", pa.string(), note="relative to the raw root"),
        column("image_sha256", pa.string()),
        column("image_divisor", pa.int32(), note="image_file is the full image area-reduced by this: 1 | 4"),
        column("mirrored", pa.bool_(), note="the file on disk is the mirror image and must be flipped first"),
        column("body_file", pa.string(), nullable=True, note="relative to the raw root; null: no ground truth"),
        column("body_sha256", pa.string(), nullable=True),
        column("contact_file", pa.string(), nullable=True, note="relative to the raw root; null: unknown"),
        column("contact_sha256", pa.string(), nullable=True),
    ),
    version="2.1",  # 2.1: box_source; body_file and body_sha256 may be null
    stage="frames",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A row of ``frames/<dataset>.parquet``; the columns' units and frames stand in ``FRAME_SCHEMA``.

    Ground truth is one optional group: a frame without a body has no contact either, and its person box comes from
    elsewhere.

    Raises:
        SchemaError: if ``box_source`` is unknown, or a contact or a box of the body comes without a body.
    """

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
    box_source: str = "body"
    scene_key: str
    image_file: str
    image_sha256: str
    image_divisor: int = 1
    mirrored: bool
    body_file: str | None
    body_sha256: str | None
    contact_file: str | None
    contact_sha256: str | None

    def __post_init__(self) -> None:
        if self.box_source not in BOX_SOURCES:
            raise SchemaError(f"frame {self.key}: box_source is '{self.box_source}', allowed: {', '.join(BOX_SOURCES)}")
        if self.body_file is None and (self.box_source == "body" or self.contact_file is not None):
            raise SchemaError(
                f"frame {self.key}: has no body_file, but box_source '{self.box_source}' and contact_file "
                f"{self.contact_file}; without a body the box comes from a detector or a person, and contact is null"
            )
