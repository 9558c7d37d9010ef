"""What writers insist on: a table, an array or a JSON object is what its schema says, or it is not written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.fields import SchemaError, may_be_absent
from schemas.table_check import FIXED

_SHOWN = 120  # characters of a value that is refused
_REMEDY = "raise the schema's version and change both, or neither"


def conform(table: pa.Table, target: pa.Schema) -> pa.Table:
    """A table that is sure to be what its schema promises, with the schema's metadata.

    Args:
        table: its columns have the schema's names, order and types, and say the schema's units and frames.
        target: the schema.

    Raises:
        SchemaError: naming the schema, the column, and what is extra, missing, in another order, of another type or
            length, without its unit or frame, null where nothing may be, or not finite.
    """
    name = target.metadata[b"sahmr.schema"].decode()
    _check_names(table.column_names, target.names, f"table '{name}'")
    columns = []
    for ours, field, values in zip(target, table.schema, table.columns, strict=True):
        place = f"table '{name}': column '{field.name}'"
        if pa.types.is_dictionary(field.type) and field.type.value_type == ours.type:
            values = values.cast(ours.type)  # another encoding of the same values
        if values.type != ours.type:
            raise SchemaError(f"{place} is {field.type}, expected {ours.type}")
        said, wanted = field.metadata or {}, ours.metadata or {}
        for key in (word.encode() for word in FIXED):
            if said.get(key) != wanted.get(key):
                found, expected = (meta.get(key, b"none").decode(errors="replace") for meta in (said, wanted))
                raise SchemaError(f"{place} says the {key.decode()} '{found}', expected '{expected}'; {_REMEDY}")
        _check_column(values, ours, place)
        columns.append(values)
    return pa.table(columns, schema=target)


def _check_names(found: list[str], wanted: list[str], place: str) -> None:
    if extra := [name for name in found if name not in wanted]:
        raise SchemaError(f"{place}: has the extra columns {extra}; {_REMEDY}")
    if missing := [name for name in wanted if name not in found]:
        raise SchemaError(f"{place}: lacks the columns {missing}; {_REMEDY}")
    if found != wanted:
        raise SchemaError(f"{place}: has its columns in the order {found}, expected {wanted}")


def _check_column(values: pa.ChunkedArray, field: pa.Field, place: str) -> None:
    """Nulls and numbers of a column, and of the elements of its lists."""
    if values.null_count and not field.nullable:
        raise SchemaError(f"{place} must not be null, and is in {values.null_count} rows")
    while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
        inner = values.type.value_field
        values = pa.chunked_array([chunk.flatten() for chunk in values.chunks], values.type.value_type)
        if values.null_count and not inner.nullable:
            raise SchemaError(f"{place} has nulls inside its lists")
    if pa.types.is_floating(values.type) and not pc.all(pc.is_finite(values), min_count=0).as_py():
        raise SchemaError(f"{place} has a number that is not finite")


def check_object(value: Mapping[str, Any], target: pa.Schema, place: str) -> None:
    """Insist that a JSON object, or the attributes of a Zarr group, has the fields of a schema and no others.

    Args:
        value: what is to be written.
        target: its schema; a field that ``may_be_absent`` need not be there.
        place: where it goes; begins the message.

    Raises:
        SchemaError: naming the first field that is extra, missing, null, of another type or length, or not finite.
    """
    wanted = {field.name: field for field in target}
    if extra := sorted(set(value) - set(wanted)):
        raise SchemaError(f"{place}: has the extra fields {extra}; {_REMEDY}")
    if missing := [name for name, field in wanted.items() if name not in value and not may_be_absent(field)]:
        raise SchemaError(f"{place}: lacks the fields {missing}; {_REMEDY}")
    for name, found in value.items():
        _check_value(found, wanted[name].type, wanted[name].nullable, f"{place}: field '{name}'")


def _check_value(value: Any, kind: pa.DataType, nullable: bool, place: str) -> None:
    if value is None:
        if not nullable:
            raise SchemaError(f"{place} must not be null")
    elif pa.types.is_map(kind):
        _require(isinstance(value, Mapping) and all(isinstance(key, str) for key in value), value, kind, place)
        for key, found in value.items():
            _check_value(found, kind.item_type, kind.item_field.nullable, f"{place}, '{key}'")
    elif pa.types.is_struct(kind):
        _require(isinstance(value, Mapping), value, kind, place)
        check_object(value, pa.schema([kind.field(number) for number in range(kind.num_fields)]), place)
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        _require(isinstance(value, list | tuple), value, kind, place)
        if pa.types.is_fixed_size_list(kind) and len(value) != kind.list_size:
            raise SchemaError(f"{place} has the length {len(value)}, expected {kind.list_size}")
        for found in value:
            _check_value(found, kind.value_type, kind.value_field.nullable, place)
    else:
        _require(_is_plain(value, kind), value, kind, place)


def _is_plain(value: Any, kind: pa.DataType) -> bool:
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if pa.types.is_integer(kind):
        return isinstance(value, int) and not isinstance(value, bool)
    if pa.types.is_floating(kind):
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return pa.types.is_string(kind) and isinstance(value, str)


def _require(claim: bool, value: Any, kind: pa.DataType, place: str) -> None:
    if not claim:
        raise SchemaError(f"{place} is {repr(value)[:_SHOWN]}, expected {kind}")


def check_array(shape: tuple[int, ...], dtype: str, field: pa.Field, place: str) -> None:
    """Insist that an array has as many axes as its schema has nested lists, their lengths where fixed, and its dtype.

    Args:
        shape, dtype: of the array; dtype as numpy names it, such as ``float32``.
        field: nested lists of a number.
        place: where it goes; begins the message.

    Raises:
        SchemaError: saying what was found and what is expected.
    """
    kind, lengths = field.type, []
    while pa.types.is_nested(kind):
        lengths.append(kind.list_size if pa.types.is_fixed_size_list(kind) else None)
        kind = kind.value_type
    fits = len(shape) == len(lengths) and all(
        ours is None or ours == found for ours, found in zip(lengths, shape, strict=False)
    )
    if not fits or kind != pa.type_for_alias(dtype):
        expected = tuple("any" if length is None else length for length in lengths)
        raise SchemaError(f"{place}: '{field.name}' is {shape} {dtype}, expected {expected} {kind}")
