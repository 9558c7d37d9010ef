"""Rows of a query, as text or as comma-separated values."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TextIO

from catalog.text import table


def first_rows(names: Sequence[str], rows: Iterator[tuple[Any, ...]], most: int) -> Iterator[str]:
    """The first rows under their names, and whether there are more."""
    shown = list(islice(rows, most))
    yield from table(names, shown)
    if next(rows, None) is not None:
        yield f"... more than {most} rows; --rows shows more, --csv all"


def write_csv(stream: TextIO, names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """All rows, lists as JSON, null empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([json.dumps(value) if isinstance(value, list | dict) else value for value in row])
