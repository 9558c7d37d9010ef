"""Which rows of an index are meant: a condition as text, read into an Arrow expression and never executed."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from jaxtyping import Integer
from numpy import ndarray

from sahmr.errors import ShardError
from schemas.shard import SHARD_INDEX_SCHEMA

COLUMNS = {field.name: field.type for field in SHARD_INDEX_SCHEMA}
_LONGEST = 2000  # characters of a condition
_TRUTHS = {"true": True, "false": False}  # beside Python's own
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], pc.Expression]] = {
    **{ast.Eq: operator.eq, ast.NotEq: operator.ne},
    **{ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge},
}
_ALLOWED = "columns, texts in quotes, whole numbers, == != < <= > >= in, and, or, not, parentheses"


def parse_where(text: str) -> pc.Expression:
    """Read a condition on the columns of the shard index.

    ``scene_key == 'Gym' and has_contact and not sequence in ('a', 'b')``: comparisons of a column with values of its
    kind, columns that are true or false, joined by ``and``, ``or``, ``not`` and parentheses as Python has them.

    Raises:
        ShardError: if it is anything else; says which part, and what is allowed.
    """
    if len(text) > _LONGEST:
        raise ShardError(f"condition of {len(text)} characters: allowed at most {_LONGEST}; shorten it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
        return _truth(tree.body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):  # no Python, or too much of it
        raise ShardError(f"condition {text[:200]!r}: cannot be read; allowed: {_ALLOWED}") from None


def _truth(node: ast.expr, text: str) -> pc.Expression:
    """What is true or false."""
    if isinstance(node, ast.BoolOp):
        found = _truth(node.values[0], text)
        for value in node.values[1:]:
            other = _truth(value, text)
            found = found & other if isinstance(node.op, ast.And) else found | other
        return found
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_truth(node.operand, text)
    if isinstance(node, ast.Compare):
        return _comparison(node, text)
    if isinstance(node, ast.Name):
        column, kind = _column(node, text)
        if not pa.types.is_boolean(kind):
            _refuse(node, text, "is a column of texts or numbers: compare it with something")
        return column
    _refuse(node, text, f"is not understood; allowed: {_ALLOWED}")


def _comparison(node: ast.Compare, text: str) -> pc.Expression:
    """``column op value``, the value on either side, or ``column in (value, ...)``; chained as in Python."""
    found: pc.Expression | None = None
    for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
        one = _pair(left, op, right, text)
        found = one if found is None else found & one
    return found


def _pair(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str) -> pc.Expression:
    if isinstance(op, ast.In | ast.NotIn) and _is_column(left) and isinstance(right, ast.Tuple | ast.List):
        column, kind = _column(left, text)
        one = column.isin(pa.array([_value(item, kind, text) for item in right.elts], kind))
        return ~one if isinstance(op, ast.NotIn) else one
    compare = _COMPARE.get(type(op))
    if compare is None or _is_column(left) == _is_column(right):
        _refuse(left, text, "is compared in a way that is not understood; write: column == value, or column in (a, b)")
    column, kind = _column(left if _is_column(left) else right, text)
    if _is_column(left):
        return compare(column, pa.scalar(_value(right, kind, text), kind))
    return compare(pc.scalar(pa.scalar(_value(left, kind, text), kind)), column)


def _is_column(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id not in _TRUTHS


def _column(node: ast.expr, text: str) -> tuple[pc.Expression, pa.DataType]:
    """A column and its kind. Names that repeat are kept once, as a dictionary; an expression needs the texts."""
    if not isinstance(node, ast.Name) or node.id not in COLUMNS:
        _refuse(node, text, f"is no column of the index; allowed: {', '.join(COLUMNS)}")
    return pc.field(node.id).cast(COLUMNS[node.id]), COLUMNS[node.id]


def _value(node: ast.expr, kind: pa.DataType, text: str) -> Any:
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(node, ast.Name):
        value = _TRUTHS.get(node.id)
    wanted = bool if pa.types.is_boolean(kind) else str if pa.types.is_string(kind) else int
    if type(value) is not wanted:
        name = {bool: "true or false", str: "a text in quotes", int: "a whole number"}[wanted]
        _refuse(node, text, f"is compared with a column of another kind, expected {name}")
    return value


def _refuse(node: ast.AST, text: str, why: str) -> NoReturn:
    part = ast.get_source_segment(text.strip(), node) or "?"
    raise ShardError(f"condition {text.strip()[:200]!r}: {part[:80]!r} {why}")


def named_columns(text: str) -> list[str]:
    """Columns that a condition names, sorted."""
    tree = ast.parse(text.strip(), mode="eval")
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in COLUMNS})


def select_rows(table: pa.Table, condition: pc.Expression) -> Integer[ndarray, " rows"]:
    """Numbers of the rows for which a condition is true, not null, ascending. Only its columns are looked at."""
    found = ds.dataset(table).to_table(columns={"is_meant": condition}, use_threads=False).column("is_meant")
    is_meant = pc.fill_null(found, False).combine_chunks()
    return np.flatnonzero(is_meant.to_numpy(zero_copy_only=False)).astype(np.uint32)
