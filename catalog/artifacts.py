"""What the catalog says of one artifact, and the Arrow schema it is kept in."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema

CATALOG_SCHEMA = schema(
    "catalog",
    (
        column("path", pa.string(), note="relative to the repository root, or absolute where it lies outside"),
        column("stage", pa.string(), note="the stage that makes it"),
        column("dataset", pa.string(), nullable=True, note="rich | prox; null: shared by both"),
        column("kind", pa.string(), note="table | shards | zarr | model | arrays | report"),
        column("schema_name", pa.string(), nullable=True, note="sahmr.schema of a table"),
        column("rows", pa.int64(), nullable=True, note="rows of a table, samples of shards, scenes of a store"),
        column("files", pa.int64()),
        column("bytes", pa.int64(), unit="byte"),
        column("sha256", pa.string(), note="of the file; of a folder: of its sorted lines 'sha256  relative path'"),
    ),
    version="2.0",
    stage="catalog",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One artifact that exists on disk; ``CATALOG_SCHEMA`` explains the columns."""

    path: str
    stage: str
    dataset: str | None
    kind: str
    schema_name: str | None
    rows: int | None
    files: int
    bytes: int
    sha256: str
