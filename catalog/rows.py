"""Single rows of large tables: the row groups that cannot hold a key are not read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from schemas.fields import SchemaError
from schemas.table_check import DamagedTableError, one_error, open_parquet

_NEAREST = 5


def find_rows(
    path: Path, key: str, columns: Sequence[str] | None = None, *, by: str = "key", rebuild: str
) -> list[dict[str, Any]]:
    """All rows of one key.

    Args:
        path: a table.
        key: looked for.
        columns: to be read; default: all.
        by: column of texts where it is looked for; only flat columns come before it.
        rebuild: command for the error.

    Raises:
        SchemaError: if the table is damaged.
    """
    try:
        with one_error():
            file, schema = open_parquet(path)
            wanted = [name for name in schema.names if columns is None or name in columns]
            return [
                row
                for group in _groups(file, schema.names.index(by), key)
                for row in _rows(file, group, by, key, wanted)
            ]
    except DamagedTableError as problem:
        raise SchemaError(f"{path}: {problem}; rebuild with: {rebuild}") from None


def _groups(file: pq.ParquetFile, column: int, key: str) -> Iterator[int]:
    """Row groups whose smallest and largest key leave room for this one."""
    for number in range(file.metadata.num_row_groups):
        about = file.metadata.row_group(number).column(column).statistics
        if about is None or not about.has_min_max or about.min <= key <= about.max:
            yield number


def _rows(file: pq.ParquetFile, group: int, by: str, key: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Compared in Python: to make an Arrow value of the key would import pandas, ten times the time of all the rest."""
    keys = file.read_row_group(group, columns=[by], use_threads=False).column(0).to_pylist()
    places = [place for place, one in enumerate(keys) if one == key]
    if places:
        rows = file.read_row_group(group, columns=list(columns), use_threads=False)
        for place in places:
            yield from rows.slice(place, 1).to_pylist()


def nearest(key: str, known: Iterable[str]) -> list[str]:
    """Those that a mistyped key may have meant, the likeliest first."""
    known = list(known)
    start = key[: max(4, len(key) // 2)]
    same = [one for one in known if one.startswith(start)]  # all of them compared would take a second per 10 000
    return difflib.get_close_matches(key, (same or known)[:20_000], n=_NEAREST, cutoff=0.5)
