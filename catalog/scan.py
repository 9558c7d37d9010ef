"""Look at what lies on disk and describe it: rows, bytes, hashes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from catalog.artifacts import CatalogEntry
from catalog.graph import Graph
from catalog.tables import table_files
from sahmr.files import file_sha256, folder_digest
from schemas.fields import SchemaError
from schemas.table_check import DamagedTableError, open_parquet


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An output the pipeline may have made: where it would lie and which stage makes it."""

    path: Path
    stage: str
    dataset: str | None
    kind: str


def list_artifacts(graph: Graph, root: Path, without: str) -> Iterator[Artifact]:
    """What the root's stages make and DVC keeps, in their order, and other methods' predictions.

    Args:
        graph: of the folder.
        root: the folder; paths are given without it.
        without: the stage that asks; its own output is in the making.
    """
    others = [(path.relative_to(root).as_posix(), output) for path, output in table_files(graph, root)]
    for stage in graph.stages:
        for output in stage.outputs:
            if stage.file != "dvc.yaml" or stage.name == without or not output.is_cached or output.kind == "manifest":
                continue
            kind = output.kind
            if kind == "folder":
                kind = "shards" if (root / output.path / "index.parquet").is_file() else "arrays"
            yield Artifact(path=Path(output.path), stage=stage.name, dataset=stage.dataset, kind=kind)
            for path, maker in others:
                if maker == output and path != output.path and output.kind == "table":
                    yield Artifact(path=Path(path), stage=Path(path).stem, dataset=stage.dataset, kind="table")


def scan(artifacts: Iterable[Artifact]) -> Iterator[CatalogEntry]:
    """Describe every artifact that exists, in the order given; those that do not exist are left out."""
    for artifact in artifacts:
        if artifact.path.exists():
            yield _describe(artifact)


def _describe(artifact: Artifact) -> CatalogEntry:
    files = _files(artifact.path)
    try:
        name, rows = _count(artifact)
    except (DamagedTableError, ValueError) as problem:
        raise SchemaError(f"{artifact.path}: {problem}; rebuild with: dvc repro {artifact.stage}") from None
    return CatalogEntry(
        path=artifact.path.as_posix(),
        stage=artifact.stage,
        dataset=artifact.dataset,
        kind=artifact.kind,
        schema_name=name,
        rows=rows,
        files=len(files),
        bytes=sum(file.stat().st_size for file in files),
        sha256=file_sha256(artifact.path) if artifact.path.is_file() else folder_digest(artifact.path),
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


def _count(artifact: Artifact) -> tuple[str | None, int | None]:
    """Schema name and number of rows, where the kind has such a thing."""
    if artifact.kind == "table":
        return _table(artifact.path)
    if artifact.kind == "shards":
        return _table(artifact.path / "index.parquet")
    if artifact.kind == "zarr":
        return None, _groups(artifact.path)
    return None, None


def _table(path: Path) -> tuple[str | None, int | None]:
    if not path.is_file():
        return None, None
    file, schema = open_parquet(path)
    name = (schema.metadata or {}).get(b"sahmr.schema")
    return (name.decode() if name else None), file.metadata.num_rows


def _groups(store: Path) -> int:
    """Number of groups one level below the root of a Zarr v3 store."""
    return sum(_is_group(node) for node in store.glob("*/zarr.json"))


def _is_group(node: Path) -> bool:
    try:
        return bool(json.loads(node.read_bytes())["node_type"] == "group")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"{node.parent.name}/{node.name} is damaged ({problem})") from None
