"""Arrow types for boxes, transforms and points, and the one way tables are written and read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, overload

import pyarrow as pa
import pyarrow.parquet as pq

from sahmr.files import publish_file
from schemas.table_check import CheckedFile
from schemas.table_check import SchemaError as SchemaError  # what every schema raises

_Record = TypeVar("_Record")


def column(
    name: str,
    kind: pa.DataType,
    *,
    unit: str = "",
    frame: str = "",
    note: str = "",
    nullable: bool = False,
    since: str = "",
    default: Any = None,
) -> pa.Field:
    """A column whose unit, frame and meaning travel in its metadata.

    Args:
        name, kind, nullable: as Arrow has them.
        unit, frame, note: empty: not stated.
        since: schema version that added it; empty: always there.
        default: what it is in tables older than ``since``; JSON-able.
    """
    meta = {key: text for key, text in (("unit", unit), ("frame", frame), ("note", note)) if text}
    if since:
        meta |= {"since": since, "default": json.dumps(default)}
    return pa.field(name, kind, nullable=nullable, metadata=dict(sorted(meta.items())) or None)


def vector(length: int, kind: pa.DataType | None = None) -> pa.DataType:
    """A fixed number of floats (float64 unless stated), row-major where it is a matrix."""
    return pa.list_(pa.field("element", kind or pa.float64(), nullable=False), length)


def schema(name: str, columns: Iterable[pa.Field], *, version: str, stage: str) -> pa.Schema:
    """A schema that says its own name, version and stage.

    Args:
        name: of the schema.
        columns: in order.
        version: "major.minor". A minor one adds columns with ``since`` and ``default``, or lets one be null; whatever
            else changes the meaning of a file is a new major one.
        stage: what ``dvc repro`` runs to write such tables again.
    """
    meta = {"sahmr.schema": name, "sahmr.schema_version": version, "sahmr.stage": stage}
    return pa.schema(list(columns), metadata=meta)


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


class Rows(Sequence[_Record]):
    """Rows of a table that stay columns: each becomes a dataclass record when it is asked for, lists become tuples.

    Raises:
        SchemaError: if the table lacks a field of the record.
    """

    def __init__(self, table: pa.Table, record: type[_Record]) -> None:
        names = [field.name for field in fields(record)]  # type: ignore[arg-type]  # callers pass dataclasses
        missing = sorted(set(names) - set(table.column_names))
        if missing:
            raise SchemaError(f"table lacks the columns {missing} of {record.__name__}")
        self.table, self.record = table.select(names), record

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[_Record]:
        for batch in self.table.to_batches(max_chunksize=1024):
            for row in batch.to_pylist():
                yield self.record(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})

    @overload
    def __getitem__(self, place: int) -> _Record: ...
    @overload
    def __getitem__(self, place: slice) -> Rows[_Record]: ...
    def __getitem__(self, place: int | slice) -> _Record | Rows[_Record]:
        numbers = range(len(self))[place]
        if isinstance(numbers, int):
            return next(iter(Rows(self.table.slice(numbers, 1), self.record)))
        return Rows(self.table.take(pa.array(numbers, pa.int64())), self.record)


def from_table(table: pa.Table, record: type[_Record]) -> list[_Record]:
    """Rows of a table as dataclass records, all at once; see :class:`Rows`."""
    return list(Rows(table, record))


PARQUET = {  # how every table is written: bytes depend on the content alone, pages have checksums
    "compression": "zstd", "compression_level": 3, "version": "2.6", "data_page_version": "1.0",
    "use_dictionary": False, "write_page_checksum": True,
}  # fmt: skip
ROWS_PER_GROUP = 4096


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


class TableFile:
    """A Parquet file that says it is of a schema, opened to be read row group by row group.

    A table of an older minor version gets the columns added since, with their defaults.

    Args:
        path: where.
        target: its schema.
        columns: to be read, in the schema's order; default: all.

    Raises:
        SchemaError: if there is no such file, it is damaged, of another schema, another major or a newer minor
            version, or its columns are not those of the schema.
    """

    def __init__(self, path: Path, target: pa.Schema, columns: Sequence[str] | None = None) -> None:
        self._file = CheckedFile(path, target)
        self.metadata, self.group_rows = self._file.metadata, self._file.group_rows
        self.schema = pa.schema(
            [field for field in target if columns is None or field.name in columns],
            metadata={**self.metadata, **target.metadata},
        )

    def group(self, number: int) -> pa.Table:
        """One row group. Raises SchemaError if it is damaged."""
        table = self._file.group(number, [name for name in self.schema.names if name in self._file.columns])
        columns = []
        for field in self.schema:
            if field.name in table.column_names:
                columns.append(table.column(field.name))
            else:
                columns.append(pa.array([json.loads(field.metadata[b"default"])] * len(table), field.type))
        return pa.table(columns, schema=self.schema)

    def read(self) -> pa.Table:
        """All of it. Raises SchemaError if it is damaged."""
        groups = [self.group(number) for number in range(len(self.group_rows))]
        return pa.concat_tables(groups) if groups else self.schema.empty_table()


def read_table(path: Path, target: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all of a table. Arguments and errors as :class:`TableFile`."""
    return TableFile(path, target, columns).read()
