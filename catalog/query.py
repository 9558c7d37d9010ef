"""SQL over the tables: DuckDB reads the Parquet files where they lie; nothing is written, nothing else is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from catalog.errors import QueryError
from catalog.tables import Table
from schemas.fields import SchemaError

_BATCH = 1000


class Database:
    """Views named as the schemas: all tables of one schema end to end, with the columns ``dataset`` and ``table_file``.

    Args:
        tables: sound ones.
        wrong: by schema, what is wrong with a table that was left out.
    """

    def __init__(self, tables: Sequence[Table], wrong: Mapping[str, SchemaError] = {}) -> None:
        self._connection, self._wrong = duckdb.connect(), wrong
        self._connection.execute("SET allowed_paths = ?", [[str(table.path) for table in tables]])
        self._connection.execute("SET enable_external_access = false; SET autoinstall_known_extensions = false")
        self.names = sorted({table.name for table in tables})
        for name in self.names:
            parts = [_select(table) for table in tables if table.name == name]
            self._connection.execute(f'CREATE VIEW "{name}" AS {" UNION ALL BY NAME ".join(parts)}')
        self._connection.execute("SET lock_configuration = true")

    def run(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Column names and rows of one query.

        Raises:
            QueryError: if it fails, is no query, or more than one.
            SchemaError: if it needs a table that is damaged or of another version.
        """
        try:
            statements = duckdb.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                found = ", ".join(statement.type.name for statement in statements) or "nothing"
                raise QueryError(f"query: found {found}, allowed one SELECT, SHOW, DESCRIBE or SUMMARIZE; nothing ran")
            for name in sorted(self._wrong):  # as a word: DuckDB itself names the tables only where all of them exist
                if re.search(rf"\b{name}\b", sql, re.IGNORECASE):
                    raise self._wrong[name]
            done = self._connection.execute(sql)
            return [column[0] for column in done.description or ()], _rows(done)
        except (duckdb.Error, RuntimeError) as problem:
            raise self._failed(problem) from None

    def _failed(self, problem: Exception) -> QueryError:
        text = " ".join(str(problem).split())[:500]
        return QueryError(
            f"query: {text}; tables: {', '.join(self.names) or 'none, run dvc repro'}; columns: DESCRIBE <table>"
        )

    def number(self, sql: str) -> int:
        """The single number of a query. Raises QueryError if it has another shape."""
        _, rows = self.run(sql)
        found = [value for row in rows for value in row]
        if len(found) != 1 or int(found[0]) != found[0]:
            raise QueryError(f"query: found {str(found)[:80]}, allowed a single whole number: {sql}")
        return int(found[0])


def _rows(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    try:
        while rows := found.fetchmany(_BATCH):
            yield from rows
    except (duckdb.Error, RuntimeError) as problem:
        raise QueryError(f"query: {' '.join(str(problem).split())[:500]}") from None


def _select(table: Table) -> str:
    more = [f"{_text(table.path.as_posix())} AS table_file"]
    if "dataset" not in table.schema.names:
        more.insert(0, f"{'NULL' if table.output.dataset is None else _text(table.output.dataset)} AS dataset")
    return f"SELECT *, {', '.join(more)} FROM read_parquet({_text(str(table.path))})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
