"""JSON files that stages write: manifests, and the reports of conversion and verification."""

from __future__ import annotations

import pyarrow as pa

from schemas.fields import column, schema


def _by_name(kind: pa.DataType) -> pa.DataType:
    """An object whose keys are names and whose values are never null."""
    return pa.map_(pa.string(), pa.field("value", kind, nullable=False))


_COUNTS = _by_name(pa.int64())
_LISTED = pa.struct([pa.field("bytes", pa.int64(), nullable=False), pa.field("sha256", pa.string(), nullable=False)])
_TEXTS = pa.list_(pa.field("element", pa.string(), nullable=False))

MANIFEST_SCHEMA = schema(
    "manifest",
    (
        column("dataset", pa.string(), nullable=True, note="name of its card; null: shared by all"),
        column("files", _by_name(_LISTED), note="relative to the manifest's folder: length in bytes and SHA-256"),
        column("manifest_version", pa.string()),
        column("stage", pa.string(), note="whose outputs"),
    ),
    version="1.0",
    stage="bodies frames scenes shards predict baseline evaluate",
)

FRAME_COUNTS_SCHEMA = schema(
    "frame_counts",
    (
        column("absent", _by_name(_COUNTS), note="raw files that are not there, per rule and split"),
        column("dataset", pa.string(), note="name of its card"),
        column("dropped", _by_name(_COUNTS), note="frames, per rule and split"),
        column("ignored", _COUNTS, note="folders that are no part of the dataset, per kind"),
        column("kept", _COUNTS, note="frames, per split"),
        column("notes", _by_name(_COUNTS), note="kept frames of which something is known, per note and split"),
    ),
    version="1.0",
    stage="frames",
)

CONVERSION_SCHEMA = schema(
    "conversion",
    (
        column("bytes", pa.int64(), unit="byte", note="of all pieces"),
        column("dataset", pa.string(), note="name of its card"),
        column("executed", pa.int64(), note="pieces made in this run"),
        column("planned", pa.int64(), note="pieces"),
        column("quarantined", pa.int64(), note="damaged raw files left out"),
        column("reused", pa.int64(), note="pieces found in the work store"),
        column("seconds", pa.float64(), unit="s"),
        column("stage", pa.string(), note="frames | scenes | shards"),
        column("stage_version", pa.int64(), note="raised when the same input gives other bytes"),
    ),
    version="1.0",
    stage="frames scenes shards",
)

VERIFY_SCHEMA = schema(
    "verify",
    (
        column("contact_labels", pa.int64(), note="samples with labels"),
        column("contradictions", _TEXTS),
        column("dataset", pa.string(), note="name of its card"),
        column("empty_frustum", pa.int64(), note="samples that see no scene point"),
        column("left_out", _COUNTS, note="samples, per reason"),
        column("problems", _TEXTS),
        column("samples", pa.int64()),
        column("scenes", _TEXTS, note="their keys"),
        column("shards", pa.int64()),
        column("vertices_behind_surface", pa.float64(), unit="1", note="share of all vertices"),
        column("without_body", pa.int64(), note="samples without ground truth"),
    ),
    version="1.0",
    stage="verify",
)
