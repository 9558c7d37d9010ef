"""Arrow types for boxes, transforms and points, and the one way tables are read; :mod:`schemas.tables_write` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar, overload

import pyarrow as pa

from sahmr.remote import Place
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


class Rows(Sequence[_Record]):
    """Rows of a table that stay columns: each becomes a dataclass record when it is asked for, lists become tuples."""

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


class TableFile:
    """A Parquet file read row group by row group; an older minor version gets the columns added since, by default.

    Args:
        path: where.
        target: its schema.
        columns: to be read, in the schema's order; default: all.

    Raises:
        SchemaError: if there is no such file, it is damaged, of another schema, another major or a newer minor
            version, or its columns are not those of the schema.
    """

    def __init__(self, path: Place, target: pa.Schema, columns: Sequence[str] | None = None) -> None:
        self._file = CheckedFile(path, target)
        self.metadata, self.group_rows = self._file.metadata, self._file.group_rows
        self.schema = pa.schema(
            [field for field in target if columns is None or field.name in columns],
            metadata={**self.metadata, **target.metadata},
        )

    def group(self, number: int) -> pa.Table:
        """One row group. Raises SchemaError if it is damaged."""
        table = self._file.group(number, [name for name in self.schema.names if name in self._file.columns])
        for place, field in enumerate(self.schema):
            if field.name not in self._file.columns:
                values = pa.array([json.loads(field.metadata[b"default"])] * len(table), field.type)
                table = table.add_column(place, field, values)
        return pa.table(table.columns, schema=self.schema)

    def read(self) -> pa.Table:
        """All of it. Raises SchemaError if it is damaged."""
        groups = [self.group(number) for number in range(len(self.group_rows))]
        return pa.concat_tables(groups) if groups else self.schema.empty_table()


def read_table(path: Place, target: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all of a table. Arguments and errors as :class:`TableFile`."""
    return TableFile(path, target, columns).read()
