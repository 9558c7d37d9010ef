"""One scanned scene per row: where its raw scan lies; the stage ``scenes`` turns each into Zarr arrays."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema

SCENE_SCHEMA = schema(
    "scene",
    (
        column("scene_key", pa.string()),
        column("dataset", pa.string()),
        column("scan_file", pa.string(), note="relative to the raw root"),
        column("scan_sha256", pa.string()),
        column("sdf_file", pa.string(), nullable=True, note="shipped distance field (PROX), used as is"),
        column("sdf_info_file", pa.string(), nullable=True, note="its json with min, max, dim"),
        column("sdf_sha256", pa.string(), nullable=True),
        column("sdf_info_sha256", pa.string(), nullable=True),
    ),
    version="2.0",
    stage="frames",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRecord:
    """A scan and, where the publisher ships one, its distance field. Paths are relative to the raw root."""

    scene_key: str
    dataset: str
    scan_file: str
    scan_sha256: str
    sdf_file: str | None
    sdf_info_file: str | None
    sdf_sha256: str | None
    sdf_info_sha256: str | None
