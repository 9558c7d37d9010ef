"""Tables as other versions of this software wrote them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tables_write import PARQUET, written_schema


def write_as_is(path: Path, table: pa.Table, **extra: str) -> None:
    """Write what no longer, or not yet, is declared; our own writer refuses it."""
    pq.write_table(table.cast(written_schema(table.schema, extra)), path, **PARQUET)
