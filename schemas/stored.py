"""Rows that stay on disk until they are asked for: by number, as records, or in the order of their keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.fields import Rows, SchemaError, TableFile, read_table

_Record = TypeVar("_Record")
_KEPT = 2  # row groups; rows are mostly asked for in their order
_MERGED = 4096  # rows of many tables at a time
_PIECES = 64  # tables that are open at once while many are merged


class StoredTable(TableFile):
    """A table whose rows are read by number; the row groups used last are kept. Arguments as ``TableFile``."""

    def __init__(self, path: Path, target: pa.Schema, columns: Sequence[str] | None = None) -> None:
        super().__init__(path, target, columns)
        self._ends = np.cumsum([0, *self.group_rows])
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def take(self, numbers: NDArray[np.integer]) -> pa.Table:
        """Rows by their numbers, in the order given. Raises SchemaError if a row group is damaged."""
        return _gather(numbers, self._ends, self._group) if len(numbers) else self.schema.empty_table()

    def _group(self, number: int) -> pa.Table:
        if number not in self._kept:
            while len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            self._kept[number] = self.group(number)
        self._kept.move_to_end(number)
        return self._kept[number]


class StoredRows(Sequence[_Record]):
    """Some rows of a table, as records that are read when they are asked for; pickles as a path and row numbers.

    Args:
        path: of the table, which must stay as it is.
        target: its schema.
        record: dataclass of its rows.
        numbers: of the rows, in the order wanted.

    Raises:
        SchemaError: also later, if the table is replaced or damaged meanwhile.
    """

    def __init__(self, path: Path, target: pa.Schema, record: type[_Record], numbers: NDArray[np.integer]) -> None:
        self.path, self.numbers, self._target, self._record = path, numbers, target, record
        self._state = _state(path)

    def __getstate__(self) -> dict[str, Any]:
        """A pickled schema forgets that elements of lists are never null; Arrow's own format does not."""
        return {**self.__dict__, "_target": self._target.serialize().to_pybytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _target=pa.ipc.read_schema(pa.py_buffer(state["_target"])))

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[_Record]:
        return iter(self._rows(self.numbers))

    @overload
    def __getitem__(self, place: int) -> _Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[_Record]: ...
    def __getitem__(self, place: int | slice) -> _Record | Sequence[_Record]:
        chosen = self.numbers[place]
        return self._rows(chosen) if isinstance(place, slice) else self._rows(np.array([chosen]))[0]

    def _rows(self, numbers: NDArray[np.integer]) -> Rows[_Record]:
        if _state(self.path) != self._state:
            raise SchemaError(f"{self.path}: changed while it was in use; run the same command again")
        return Rows(_opened(self.path, self._state, self._target).take(numbers), self._record)


@lru_cache(maxsize=2)
def _opened(path: Path, _: tuple[int, int], target: pa.Schema) -> StoredTable:
    """One per process, as long as the file is the same."""
    return StoredTable(path, target)


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as problem:
        raise SchemaError(f"{path}: {problem.strerror}; run the same command again") from None
    return found.st_size, found.st_mtime_ns


def merge_tables(paths: Sequence[Path], target: pa.Schema, *, by: str) -> Iterator[pa.Table]:
    """All rows of many small tables, sorted by a column, some thousands at a time.

    Only that column is ever in memory as a whole; the tables are read again where their rows are due.

    Raises:
        SchemaError: if one of them is damaged or of another schema.
    """
    sorts = [read_table(path, target, [by]) for path in paths]
    starts = np.cumsum([0, *map(len, sorts)])
    if not sorts:
        return
    order = pc.sort_indices(pa.concat_tables(sorts), sort_keys=[(by, "ascending")]).to_numpy().astype(np.int64)
    del sorts
    read = lru_cache(maxsize=_PIECES)(lambda number: read_table(paths[number], target))
    for start in range(0, len(order), _MERGED):
        yield _gather(order[start : start + _MERGED], starts, read)


def _gather(numbers: NDArray[np.integer], ends: NDArray[np.integer], part: Any) -> pa.Table:
    """Rows by their numbers, out of parts that lie end to end; each part that is needed is asked for once."""
    parts = np.searchsorted(ends, numbers, side="right") - 1
    taken, places = [], []
    for number in np.unique(parts):
        here = np.flatnonzero(parts == number)
        taken.append(part(int(number)).take(pa.array(numbers[here] - ends[number])))
        places.append(here)
    rows = pa.concat_tables(taken)
    return rows if len(taken) == 1 else rows.take(pa.array(np.argsort(np.concatenate(places))))
