"""The Parquet tables the pipeline makes: where they lie, and which schema each follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa

from catalog.artifacts import CATALOG_SCHEMA
from catalog.graph import Graph, Output
from schemas.fields import SchemaError
from schemas.registry import STORED, TABLE
from schemas.table_check import CheckedFile, DamagedTableError, open_parquet

_NAME = b"sahmr.schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table on disk.

    Attributes:
        path: where.
        output: the stage's output that it is, lies in, or (another method's predictions) lies beside.
        schema: what it follows.
        rows: how many.
    """

    path: Path
    output: Output
    schema: pa.Schema
    rows: int

    @property
    def name(self) -> str:
        """Of its schema; also its name in SQL."""
        return str(self.schema.metadata[_NAME].decode())


@cache
def known_schemas() -> dict[str, pa.Schema]:
    """Every schema of a table of ours by its name."""
    found = [stored.schema for stored in STORED if stored.kind == TABLE] + [CATALOG_SCHEMA]
    return {schema.metadata[_NAME].decode(): schema for schema in found}


def table_files(graph: Graph, root: Path) -> Iterator[tuple[Path, Output]]:
    """Every table there is, in the order of dvc.yaml: outputs, what lies in a folder of theirs, and other methods'."""
    named = {root / output.path for output in graph.outputs}
    seen: set[Path] = set()
    for output in graph.outputs:
        place = root / output.path
        if output.kind == "table":
            found = [place]
            if _is_shared(graph, output):
                found += [path for path in sorted(place.parent.glob("*.parquet")) if path not in named]
        else:
            found = sorted(place.glob("*.parquet")) if output.kind == "folder" else []
        for path in found:
            if path not in seen and path.is_file():
                seen.add(path)
                yield path, output


def _is_shared(graph: Graph, output: Output) -> bool:
    """Whether other methods may put tables beside an output: a stage reads its folder as a whole."""
    folder = output.path.rpartition("/")[0]
    return any(folder in stage.data and stage.dataset == output.dataset for stage in graph.stages)


def schema_name(path: Path, output: Output) -> str:
    """Which schema a table says it follows. Raises SchemaError if its footer is damaged."""
    try:
        _, found = open_parquet(path)
    except DamagedTableError as problem:
        raise SchemaError(f"{path}: {problem}; rebuild with: {output.rebuild}") from None
    return str((found.metadata or {}).get(_NAME, b"None").decode(errors="replace"))


def open_table(path: Path, output: Output, root: Path) -> Table:
    """A table whose footer is sound and whose columns are those of its schema.

    Raises:
        SchemaError: naming file, finding and command.
    """
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    name = schema_name(path, output)
    if name not in known_schemas():
        raise SchemaError(
            f"{shown}: has the schema {name[:80]!r}, allowed: {', '.join(sorted(known_schemas()))}; rebuild with: "
            f"{output.rebuild}"
        )
    rows = sum(CheckedFile(path, known_schemas()[name]).group_rows)
    return Table(path=path, output=output, schema=known_schemas()[name], rows=rows)


def find_tables(graph: Graph, root: Path) -> tuple[list[Table], dict[str, SchemaError]]:
    """All sound tables; and of the others, by the names of the schemas they may follow, what is wrong."""
    sound: list[Table] = []
    wrong: dict[str, SchemaError] = {}
    for path, output in table_files(graph, root):
        try:
            sound.append(open_table(path, output, root))
        except SchemaError as problem:
            wrong |= dict.fromkeys(_schemas_of(output.stage), problem)
    return sound, wrong


def _schemas_of(stage: str) -> list[str]:
    """Schemas whose tables a stage writes."""
    return [
        name for name, schema in known_schemas().items() if stage in schema.metadata[b"sahmr.stage"].decode().split()
    ]
