"""Arrow types for boxes, transforms and points, and the one way tables are read; :mod:`schemas.tables_write` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sahmr.remote import Place
from schemas.table_check import CheckedFile
from schemas.table_check import SchemaError as SchemaError  # what every schema raises

_Record = TypeVar("_Record")

PURE_NUMBERS = ("_ratio", "_probability", "_betas")  # endings of names of floats that have no unit
_DECLARED: dict[tuple[bytes, bytes], pa.Schema] = {}  # by name and version: what may be written


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

    Raises:
        SchemaError: if floats have no unit and their name does not end as a pure number's, or a vector in metres or
            pixels has no frame and its name does not say between which two it leads (``camera_from_world``).
    """
    _require_unit(name, kind, unit, frame)
    meta = {key: text for key, text in (("unit", unit), ("frame", frame), ("note", note)) if text}
    if since:
        meta |= {"since": since, "default": json.dumps(default)}
    return pa.field(name, kind, nullable=nullable, metadata=dict(sorted(meta.items())) or None)


def _require_unit(name: str, kind: pa.DataType, unit: str, frame: str) -> None:
    is_list = pa.types.is_nested(kind) and not pa.types.is_map(kind) and not pa.types.is_struct(kind)
    number = kind
    while pa.types.is_list(number) or pa.types.is_fixed_size_list(number):
        number = number.value_type
    if pa.types.is_floating(number) and not unit and not name.endswith(PURE_NUMBERS):
        raise SchemaError(f"column '{name}' has no unit; state one, or end its name in {', '.join(PURE_NUMBERS)}")
    if is_list and unit in ("m", "px") and not frame and "_from_" not in name:
        raise SchemaError(f"column '{name}' has the unit {unit} and no frame; state the frame its vectors are in")


def absent(field: pa.Field) -> pa.Field:
    """A field of a JSON object that need not be there."""
    return field.with_metadata({**(field.metadata or {}), "absent": "where it does not apply"})


def may_be_absent(field: pa.Field) -> bool:
    """Whether a field was declared with :func:`absent`."""
    return b"absent" in (field.metadata or {})


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
    made = pa.schema(list(columns), metadata=meta)
    _DECLARED[made.metadata[b"sahmr.schema"], made.metadata[b"sahmr.schema_version"]] = made
    return made


def declared(found: pa.Schema) -> pa.Schema:
    """The schema whose name and version a table says it has.

    Raises:
        SchemaError: if none was declared; a table is written only in a version that this software declares.
    """
    said = [(found.metadata or {}).get(key, b"None") for key in (b"sahmr.schema", b"sahmr.schema_version")]
    if (said[0], said[1]) not in _DECLARED:
        name, version = (part.decode(errors="replace") for part in said)
        raise SchemaError(f"a table of schema {name}, version {version}, cannot be written: no such schema is declared")
    return _DECLARED[said[0], said[1]]


class Rows(Sequence[_Record]):
    """Rows of a table that stay columns: each becomes a dataclass record when it is asked for, lists become tuples.

    Args:
        table: with a column for each field of ``record``, and perhaps others.
        record: the dataclass.
        places: numbers of the rows that are meant, in their order; None: all. Nothing is copied.
    """

    def __init__(self, table: pa.Table, record: type[_Record], places: NDArray[np.integer[Any]] | None = None) -> None:
        names = [field.name for field in fields(record)]  # type: ignore[arg-type]  # callers pass dataclasses
        missing = sorted(set(names) - set(table.column_names))
        if missing:
            raise SchemaError(f"table lacks the columns {missing} of {record.__name__}")
        self.whole, self.record, self.places = table.select(names), record, places
        columns = zip(names, self.whole.columns, strict=True)
        self._columns = [(name, found.chunk(0) if found.num_chunks == 1 else found) for name, found in columns]

    @property
    def table(self) -> pa.Table:
        """A table of these rows alone; with ``places`` a copy, so of millions ask for one :meth:`column`."""
        return self.whole if self.places is None else self.whole.take(pa.array(self.places))

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of these rows."""
        values = self.whole.column(name)
        return values if self.places is None else values.take(pa.array(self.places))

    def value(self, name: str, place: int) -> Any:
        """One value."""
        return self.whole.column(name)[place if self.places is None else int(self.places[place])].as_py()

    def blocks(self, names: Sequence[str], rows: int = 1024) -> Iterator[pa.Table]:
        """Some columns of these rows, so many rows at a time, in their order."""
        some = self.whole.select(names)
        for start in range(0, len(self), rows):
            if self.places is None:
                yield some.slice(start, rows)
            else:
                yield some.take(pa.array(self.places[start : start + rows]))

    def __len__(self) -> int:
        return int(self.whole.num_rows) if self.places is None else len(self.places)

    def __iter__(self) -> Iterator[_Record]:
        for block in self.blocks(self.whole.column_names):
            yield from map(self._made, block.to_pylist())

    def _made(self, row: dict[str, Any]) -> _Record:
        return self.record(**{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()})

    @overload
    def __getitem__(self, place: int) -> _Record: ...
    @overload
    def __getitem__(self, place: slice) -> Rows[_Record]: ...
    def __getitem__(self, place: int | slice) -> _Record | Rows[_Record]:
        numbers = range(len(self))[place]
        if isinstance(numbers, int):
            row = numbers if self.places is None else int(self.places[numbers])
            return self._made({name: values[row].as_py() for name, values in self._columns})
        return Rows(self.whole, self.record, np.arange(len(self))[place] if self.places is None else self.places[place])


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
