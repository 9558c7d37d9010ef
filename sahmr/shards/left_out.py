"""Which rows of the frame table have no sample, because raw files were damaged: a table beside the shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sahmr.errors import ShardError
from schemas.fields import from_table, read_table
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from schemas.tables_write import to_table, write_table

LEFT_OUT_NAME = "left_out.parquet"


def write_left_out(folder: Path, rows: Iterable[Quarantined]) -> None:
    """Write which rows of the frame table have no sample, because raw files were damaged, sorted by key."""
    ordered = sorted(rows, key=lambda row: row.item)
    write_table(folder / LEFT_OUT_NAME, to_table(ordered, QUARANTINE_SCHEMA))


def read_left_out(folder: Path) -> set[str]:
    """Keys of the frame table's rows that have no sample. Errors as :func:`read_index`."""
    path = folder / LEFT_OUT_NAME
    if not path.is_file():
        raise ShardError(f"{path}: missing; rebuild with: dvc repro shards")
    return {row.item for row in from_table(read_table(path, QUARANTINE_SCHEMA), Quarantined)}
