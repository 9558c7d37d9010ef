"""The door for Parquet: opens a file and refuses it, or what is read of it, where its parts contradict each other.

Whatever Arrow or the disk raises becomes one ValueError here; nothing is repaired. Page checksums cover the pages'
content alone. What they leave out, page headers and the footer, is compared with what else the file says: the schema
stands in it twice, and the footer has every column's smallest and largest value.
"""

from __future__ import annotations

import base64
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sahmr.remote import Place, RemotePath
from schemas.version import VersionError, readable_minor

_SHOWN = 300  # characters of what a library says
FIXED = ("unit", "frame")  # what a column says of itself and must not be otherwise; notes may be reworded


class SchemaError(ValueError):
    """A record or file does not have the columns its schema asks for."""


class DamagedTableError(ValueError):
    """A file is no table of ours, or a damaged one; the message says what was found, not where."""


@contextmanager
def one_error() -> Iterator[None]:
    """Whatever damaged bytes provoke, as one DamagedTableError in one line; libraries' warnings are kept in."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DamagedTableError:
        raise
    except Exception as problem:  # Arrow raises its own, OSError, ValueError, KeyError, MemoryError, ...
        text = " ".join(str(problem).split())[:_SHOWN]
        raise DamagedTableError(f"damaged or no Parquet file ({text or type(problem).__name__})") from None


def open_parquet(path: Place) -> tuple[pq.ParquetFile, pa.Schema]:
    """Open a regular file whose footer makes sense; its rows are not looked at. Also gives the schema it says it has.

    Raises:
        DamagedTableError: if it is anything else.
        RemoteError: if it lies elsewhere and cannot be had.
    """
    content = path.read_bytes() if isinstance(path, RemotePath) else None
    with one_error():
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise DamagedTableError("is a folder, a pipe or a device, expected a file")
        file = pq.ParquetFile(
            pa.OSFile(str(path)) if content is None else pa.BufferReader(content),
            pre_buffer=False,  # would keep what was read
            page_checksum_verification=True,
            thrift_string_size_limit=max(1, state.st_size),  # no part of a file is longer than the file
            thrift_container_size_limit=max(1, state.st_size),
        )
        _check_footer(file.metadata, state.st_size)
        schema = file.schema_arrow
        _ = schema.names  # decodes them
    return file, schema


class CheckedFile:
    """A file that is open, of a schema and a version of it that is read, and has its columns.

    Raises:
        SchemaError: naming the file, what was found and what to do; also later, if a row group is damaged.
    """

    def __init__(self, path: Place, target: pa.Schema) -> None:
        self.path, self._stage = path, target.metadata[b"sahmr.stage"].decode()
        try:
            with one_error():
                is_there = path.is_file() if isinstance(path, RemotePath) else path.exists()
            if not is_there:
                raise SchemaError(f"{path}: no such file; make it with: dvc repro {self._stage}")
            self._file, found = open_parquet(path)
            self.metadata: dict[bytes, bytes] = dict(found.metadata or {})
            minor = self._minor(target)
            stored = pa.schema([field for field in target if _minor_of(field) <= minor])
            check_columns(found, stored)
        except DamagedTableError as problem:
            raise self._damaged(problem) from None
        footer, self.columns = self._file.metadata, stored.names
        self.group_rows = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]

    def _minor(self, target: pa.Schema) -> int:
        name, version = (target.metadata[f"sahmr.{key}".encode()].decode() for key in ("schema", "schema_version"))
        found = self.metadata.get(b"sahmr.schema", b"None").decode(errors="replace")
        if found != name:
            raise DamagedTableError(f"sahmr.schema is {found}, expected {name}")
        said = self.metadata.get(b"sahmr.schema_version", b"None").decode(errors="replace")
        try:
            return readable_minor(said, version, rebuild=f"dvc repro {self._stage}")
        except VersionError as problem:
            raise SchemaError(f"{self.path}: {problem}") from None

    def _damaged(self, problem: DamagedTableError) -> SchemaError:
        return SchemaError(f"{self.path}: {problem}; rebuild with: dvc repro {self._stage}")

    def group(self, number: int, columns: list[str]) -> pa.Table:
        """Some columns of a row group."""
        try:
            return read_group(self._file, number, columns)
        except DamagedTableError as problem:
            raise self._damaged(problem) from None


def _minor_of(field: pa.Field) -> int:
    """Minor version that added a column."""
    return int((field.metadata or {}).get(b"since", b"0.0").split(b".")[1])


def _check_footer(footer: pq.FileMetaData, size: int) -> None:
    """Whether its row groups add up, and its two copies of the schema's metadata agree.

    Column chunks are left alone: pyarrow ends the whole process over a damaged one (``RowGroupMetaData.column``),
    unless the column could be read before.
    """
    total = 0
    for number in range(footer.num_row_groups):
        rows = footer.row_group(number).num_rows
        if not 0 <= rows <= size:
            raise DamagedTableError(f"row group {number} claims {rows} rows, the file has {size} bytes")
        total += rows
    if total != footer.num_rows:
        raise DamagedTableError(f"claims {footer.num_rows} rows, its row groups have {total}")
    said = dict(footer.metadata or {})
    if b"ARROW:schema" not in said:
        raise DamagedTableError("lacks the schema that pyarrow stores; write it with pyarrow")
    stored = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said.pop(b"ARROW:schema"), validate=True)))
    if dict(stored.metadata or {}) != said:
        raise DamagedTableError("its two copies of the metadata differ")


def check_columns(found: pa.Schema, target: pa.Schema) -> None:
    """Insist on names, types, units and frames of columns; where the schema allows no null, none may be allowed.

    Raises:
        DamagedTableError: naming the first that differs.
    """
    if found.names != target.names:
        raise DamagedTableError(f"columns {found.names}, expected {target.names}")
    for ours, field in zip(target, found, strict=True):
        if field.type != ours.type:
            raise DamagedTableError(f"column '{field.name}' is {field.type}, expected {ours.type}")
        if field.nullable and not ours.nullable:
            raise DamagedTableError(f"column '{field.name}' may be null, expected one that is not")
        said, wanted = field.metadata or {}, ours.metadata or {}
        for key in (word.encode() for word in FIXED):
            if said.get(key, wanted.get(key)) != wanted.get(key):
                raise DamagedTableError(
                    f"column '{field.name}' has {key.decode()} {said[key].decode(errors='replace')!r}, expected "
                    f"{wanted.get(key, b'').decode()!r}"
                )


def read_group(file: pq.ParquetFile, number: int, columns: list[str]) -> pa.Table:
    """One row group, sure to be what the footer says of it: rows, nulls, smallest and largest values, finite numbers.

    Raises:
        DamagedTableError: if it is not.
    """
    with one_error():
        table, group = file.read_row_group(number, columns=columns), file.metadata.row_group(number)
        table.validate(full=True)  # texts are UTF-8, offsets inside
        if table.num_rows != group.num_rows or table.column_names != columns:
            raise DamagedTableError(f"row group {number} has {table.num_rows} rows, its footer says {group.num_rows}")
        for field in table.schema:
            if not field.nullable and table.column(field.name).null_count:
                raise DamagedTableError(f"column '{field.name}' has nulls")
        for place in range(group.num_columns):
            name = file.metadata.schema.column(place).path.split(".")[0]
            if name in columns:  # was read, so its metadata can be looked at
                column = group.column(place)
                if column.physical_type != file.metadata.schema.column(place).physical_type:
                    raise DamagedTableError(f"column '{name}' has two types")  # its statistics would end the process
                _check_values(name, table.column(name), column)
    return table


def _check_values(name: str, values: pa.ChunkedArray, column: pq.ColumnChunkMetaData) -> None:
    """Compare a column of a row group with its statistics."""
    nested = pa.types.is_nested(values.type)
    if nested:
        values = pa.chunked_array([chunk.flatten() for chunk in values.chunks], values.type.value_type)
    if (
        pa.types.is_floating(values.type) and not pc.all(pc.is_finite(values), min_count=0).as_py()
    ):  # nulls are no numbers
        raise DamagedTableError(f"column '{name}' has a number that is not finite")
    said = column.statistics
    if said is None:
        return
    if said.has_null_count and not nested and said.null_count != values.null_count:
        raise DamagedTableError(f"column '{name}' has {values.null_count} nulls, its footer says {said.null_count}")
    if said.has_min_max and values.null_count < len(values):
        bounds: dict[str, Any] = pc.min_max(values).as_py()
        if [bounds["min"], bounds["max"]] != [said.min, said.max]:
            raise DamagedTableError(f"column '{name}' has other smallest or largest values than its footer says")
