"""Tables that are written while their rows are made: no more than a row group of them is ever in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sahmr.files import publish_file
from schemas.fields import PARQUET, ROWS_PER_GROUP, written_schema


class TableWriter:
    """Takes tables of any length and writes row groups of one length; the bytes depend on the rows alone."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, rows_per_group: int) -> None:
        self._writer, self._schema, self._length = writer, schema, rows_per_group
        self._waiting: list[pa.Table] = []
        self._groups = self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Add rows of the schema, or of what can be cast to it."""
        for start in range(0, len(table), self._length):
            self._waiting.append(table.slice(start, self._length).cast(self._schema))
            if sum(map(len, self._waiting)) >= self._length:
                rows = pa.concat_tables(self._waiting)
                self._waiting = [rows.slice(self._length)] if len(rows) > self._length else []
                self._flush(rows.slice(0, self._length))
        self.rows += len(table)

    def finish(self) -> None:
        """Write what is left; a table without rows has one row group without rows."""
        if self._waiting or not self._groups:
            self._flush(pa.concat_tables(self._waiting) if self._waiting else self._schema.empty_table())
            self._waiting = []

    def _flush(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.combine_chunks(), row_group_size=self._length)
        self._groups += 1


@contextmanager
def table_writer(
    path: Path, target: pa.Schema, *, extra: Mapping[str, str] | None = None, rows_per_group: int = ROWS_PER_GROUP
) -> Iterator[TableWriter]:
    """Write a table piece by piece; it appears under its name when the block ends without an error.

    The bytes are those of :func:`schemas.fields.write_table`, given all rows at once and the usual row groups.
    """
    schema = written_schema(target, extra)
    with publish_file(path) as partial, pq.ParquetWriter(partial, schema, **PARQUET) as writer:
        rows = TableWriter(writer, schema, rows_per_group)
        yield rows
        rows.finish()
