"""One raw file per row that a conversion stage could not use: ``reports/quarantine_<stage>_<dataset>.parquet``."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema

QUARANTINE_SCHEMA = schema(
    "quarantine",
    (
        column("item", pa.string(), note="what could not be made: key of a person-image or a scene"),
        column("split", pa.string(), note="train | val | test; empty for a scene"),
        column("file", pa.string(), note="the file to blame, relative to the raw root"),
        column("rule", pa.string(), note="what the file is: image | body | contact | scan | distance field"),
        column("message", pa.string()),
    ),
    version="2.0",
    stage="frames scenes shards",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Something left out because of a damaged raw file; the columns' meanings stand in ``QUARANTINE_SCHEMA``."""

    item: str
    split: str
    file: str
    rule: str
    message: str
