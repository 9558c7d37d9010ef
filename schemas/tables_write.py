"""Records to tables, and the one way tables are written: at once, or a row group at a time while rows are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sahmr.files import publish_file
from schemas.fields import SchemaError

PARQUET = {  # how every table is written: bytes depend on the content alone, pages have checksums
    "compression": "zstd", "compression_level": 3, "version": "2.6", "data_page_version": "1.0",
    "use_dictionary": False, "write_page_checksum": True,
}  # fmt: skip
ROWS_PER_GROUP = 4096


def to_table(records: Iterable[Any], target: pa.Schema) -> pa.Table:
    """Dataclass records to a table, sorted as given; raises SchemaError when the keys do not match."""
    rows = []
    for record in records:
        names = [field.name for field in fields(record)]
        if set(names) != set(target.names):
            odd = sorted(set(names) ^ set(target.names))
            raise SchemaError(f"{type(record).__name__} and schema {target.metadata} disagree on {odd}")
        rows.append({name: getattr(record, name) for name in names})
    for field in target:
        if not field.nullable and any(row[field.name] is None for row in rows):
            raise SchemaError(f"column '{field.name}' must not be null")
    return pa.Table.from_pylist(rows, schema=target).combine_chunks()


def write_table(path: Path, table: pa.Table, *, extra: Mapping[str, str] | None = None) -> None:
    """Write Parquet whose bytes depend on the content alone; appears under its name only when complete.

    Page checksums are on; ``extra`` joins the schema metadata in sorted order.
    """
    table = table.cast(written_schema(table.schema, extra)).combine_chunks()
    with publish_file(path) as partial:
        pq.write_table(table, partial, row_group_size=ROWS_PER_GROUP, **PARQUET)


def written_schema(target: pa.Schema, extra: Mapping[str, str] | None) -> pa.Schema:
    """A schema as it is written: with more metadata, sorted."""
    meta = {**(target.metadata or {}), **{k.encode(): v.encode() for k, v in (extra or {}).items()}}
    return target.with_metadata(dict(sorted(meta.items())))


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

    The bytes are those of :func:`write_table`, given all rows at once and the usual row groups.
    """
    schema = written_schema(target, extra)
    with publish_file(path) as partial, pq.ParquetWriter(partial, schema, **PARQUET) as writer:
        rows = TableWriter(writer, schema, rows_per_group)
        yield rows
        rows.finish()
