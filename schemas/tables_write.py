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
from schemas.conform import conform
from schemas.fields import SchemaError, declared

PARQUET = {  # how every table is written: bytes depend on the content alone, pages have checksums
    "compression": "zstd", "compression_level": 3, "version": "2.6", "data_page_version": "1.0",
    "use_dictionary": False, "write_page_checksum": True,
}  # fmt: skip
ROWS_PER_GROUP = 4096


def to_table(records: Iterable[Any], target: pa.Schema) -> pa.Table:
    """Dataclass records to a table, in the order given.

    Raises:
        SchemaError: if the records' fields are not the schema's columns, or a value is not what its column allows.
    """
    rows = list(records)
    for kind in {type(record) for record in rows}:
        if odd := sorted({field.name for field in fields(kind)} ^ set(target.names)):
            raise SchemaError(f"{kind.__name__} and schema {target.metadata} disagree on {odd}")
    columns = []
    for field in target:
        values = [getattr(record, field.name) for record in rows]
        try:
            columns.append(pa.array(values, field.type))
        except (pa.ArrowException, OverflowError) as problem:  # another type, or a list of another length
            raise SchemaError(f"column '{field.name}' must be {field.type}: {' '.join(str(problem).split())}") from None
    return conform(pa.table(columns, schema=target), target)


def write_table(path: Path, table: pa.Table, *, extra: Mapping[str, str] | None = None) -> None:
    """Write Parquet whose bytes depend on the content alone; appears under its name only when complete.

    Page checksums are on; ``extra`` joins the schema metadata in sorted order.

    Raises:
        SchemaError: if the table is not what the schema it names says (:func:`schemas.conform.conform`).
    """
    target = declared(table.schema)
    meta = written_schema(table.schema, extra).metadata
    table = conform(table, target).combine_chunks().replace_schema_metadata(meta)
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
        """Add rows. Raises SchemaError if they are not what the schema says."""
        for start in range(0, len(table), self._length):
            self._waiting.append(conform(table.slice(start, self._length), self._schema))
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
    schema = written_schema(declared(target), extra)
    with publish_file(path) as partial, pq.ParquetWriter(partial, schema, **PARQUET) as writer:
        rows = TableWriter(writer, schema, rows_per_group)
        yield rows
        rows.finish()
