"""Arrow types for boxes, transforms and points, and the one way tables are written and read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from sahmr.files import publish_file
from schemas.version import VersionError, readable_minor

_IDENTITY = ("schema", "schema_version", "stage")  # keys of a schema's metadata, after "sahmr."
_Record = TypeVar("_Record")


class SchemaError(ValueError):
    """A record or file does not have the columns its schema asks for."""


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


def from_table(table: pa.Table, record: type[_Record]) -> list[_Record]:
    """Rows of a table as dataclass records; list columns become tuples."""
    names = [field.name for field in fields(record)]  # type: ignore[arg-type]  # callers pass dataclasses
    missing = sorted(set(names) - set(table.column_names))
    if missing:
        raise SchemaError(f"table lacks the columns {missing} of {record.__name__}")
    return [
        record(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
        for row in table.select(names).to_pylist()
    ]


def write_table(path: Path, table: pa.Table, *, extra: Mapping[str, str] | None = None) -> None:
    """Write Parquet whose bytes depend on the content alone; appears under its name only when complete.

    Page checksums are on; ``extra`` joins the schema metadata in sorted order.
    """
    meta = {**(table.schema.metadata or {}), **{k.encode(): v.encode() for k, v in (extra or {}).items()}}
    table = table.replace_schema_metadata(dict(sorted(meta.items()))).combine_chunks()
    with publish_file(path) as partial:
        pq.write_table(
            table,
            partial,
            compression="zstd",
            compression_level=3,
            version="2.6",
            data_page_version="1.0",
            row_group_size=4096,
            use_dictionary=False,
            write_page_checksum=True,
        )


def read_table(path: Path, target: pa.Schema) -> pa.Table:
    """Read Parquet, verify page checksums, and insist on the schema's name, major version and columns.

    A table of an older minor version gets the columns added since, with their defaults.

    Raises:
        SchemaError: if there is no such file, or it is of another schema, another major or a newer minor version.
    """
    name, version, stage = (target.metadata[f"sahmr.{key}".encode()].decode() for key in _IDENTITY)
    if not path.is_file():
        raise SchemaError(f"{path}: no such file; make it with: dvc repro {stage}")
    table = pq.read_table(path, page_checksum_verification=True)
    found = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if found.get("sahmr.schema") != name:
        raise SchemaError(
            f"{path}: sahmr.schema is {found.get('sahmr.schema')}, expected {name}; rebuild with: dvc repro {stage}"
        )
    try:
        minor = readable_minor(found.get("sahmr.schema_version"), version, rebuild=f"dvc repro {stage}")
    except VersionError as problem:
        raise SchemaError(f"{path}: {problem}") from None
    added = [field for field in target if _minor_of(field) > minor]
    for field in added:
        values = pa.array([json.loads(field.metadata[b"default"])] * len(table), field.type)
        table = table.add_column(target.get_field_index(field.name), field, values)
    if table.column_names != target.names:
        raise SchemaError(
            f"{path}: columns {table.column_names}, expected {target.names}; rebuild with: dvc repro {stage}"
        )
    if f"{minor}" == version.split(".")[1]:
        return table
    meta = {**(table.schema.metadata or {}), **target.metadata}
    return table.cast(target).replace_schema_metadata(meta)


def _minor_of(field: pa.Field) -> int:
    """Minor version that added a column."""
    return int((field.metadata or {}).get(b"since", b"0.0").split(b".")[1])
