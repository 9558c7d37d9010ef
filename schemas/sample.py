"""One sample of a WebDataset shard: its members by extension, and the fields of the JSON one."""

from __future__ import annotations

import pyarrow as pa

from schemas.fields import absent, column, schema, vector

_FULL = "full image"

SAMPLE_SCHEMA = schema(
    "sample",
    (
        absent(
            column("jpg", pa.binary(), unit="px", frame="stored region", note="RGB picture of the region, un-mirrored")
        ),
        absent(
            column("png", pa.binary(), unit="px", frame="stored region",
                   note="in place of the jpg: a publisher's ready-made crop, lossless")
        ),
        column("json", pa.string(), note="the object of the schema sample_json"),
        absent(
            column("vertices.npy", pa.list_(pa.field("element", vector(3, pa.float32()), nullable=False), 6890),
                   unit="m", frame="world", note="SMPL topology; absent without ground truth")
        ),
        absent(
            column("contact.npy", pa.list_(pa.field("element", pa.uint8(), nullable=False), 862),
                   note="packed bits, first vertex in the highest bit, of 6890 labels: touches the scene; "
                   "absent where unknown")
        ),
    ),
    version="1.2",  # 1.2: png
    stage="shards",
)  # fmt: skip

SAMPLE_JSON_SCHEMA = schema(
    "sample_json",
    (
        column(
            "box_source",
            pa.string(),
            note="of person_box: body | detector | person | crop",
            since="1.1",
            default="body",
        ),
        column("camera_from_world", vector(16), unit="m", note="rigid, row-major; x_camera = T @ x_world"),
        column("dataset", pa.string(), note="name of its card"),
        column("gender", pa.string(), note="male | female | neutral"),
        column("has_body", pa.bool_(), note="whether there is a vertices.npy", since="1.1", default=True),
        column("has_contact", pa.bool_(), note="whether there is a contact.npy"),
        column("image_size", vector(2, pa.int32()), unit="px", frame=_FULL, note="width height"),
        column("intrinsics", vector(9), unit="px", frame=_FULL, note="K, row-major, no distortion"),
        column("key", pa.string(), note="unique img_key, no dots"),
        column("licence", pa.string(), note="what binds this sample"),
        column("member_version", pa.string()),
        column("person_box", vector(4), unit="px", frame=_FULL, note="left top right bottom, not clipped"),
        column("scene_key", pa.string()),
        column("sequence", pa.string()),
        column(
            "source_sha256", pa.map_(pa.string(), pa.string()), note="of the raw image, body and contact; null: none"
        ),
        column("split", pa.string(), note="train | val | test"),
        column(
            "stored_region", vector(4, pa.int32()), unit="px", frame=_FULL, note="left top right bottom, of the picture"
        ),
        column(
            "stored_size", vector(2, pa.int32()), unit="px", frame="stored region", note="width height of the picture"
        ),
        column("units", pa.string(), note="how pixels of the picture map to those of the full image"),
    ),
    version="1.2",  # 1.1: box_source, has_body; 1.2: box_source crop
    stage="shards",
)
