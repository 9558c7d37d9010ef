"""Whether what the stages made is still what they made: every checksum, count and schema."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from catalog.graph import Graph, Output, full_name
from catalog.lock import Lock, Locked
from catalog.tables import Table, open_table, table_files
from sahmr.files import MANIFEST_NAME, ManifestError, manifest_differences, open_regular, read_manifest
from schemas.agreement import verify_index
from schemas.fields import SchemaError, from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry

THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """Something that is not as its stage left it.

    Attributes:
        path: which file, relative to the repository.
        problem: what was found.
        rebuild: command that mends it.
    """

    path: str
    problem: str
    rebuild: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was looked at.

    Attributes:
        files, bytes: read and compared with a checksum.
        tables, rows: whose schema and counts were compared.
        absent: outputs that neither exist nor are said to: their stages have not run here.
        findings: sorted; empty if all is sound.
    """

    files: int
    bytes: int
    tables: int
    rows: int
    absent: tuple[str, ...]
    findings: tuple[Finding, ...]


def verify(graph: Graph, lock: Lock, root: Path, *, threads: int = THREADS) -> Verified:
    """Compare all outputs with their manifests and ``dvc.lock``, all tables with their schemas and each other.

    Every file is read once: those that a manifest lists for its SHA-256, the others for the MD5 that DVC knows.

    Args:
        graph, lock: of the working folder.
        root: that folder.
        threads: that hash at once.
    """
    there = [output for output in graph.outputs if (root / output.path).exists()]
    absent = [output for output in graph.outputs if output not in there]
    findings = [
        Finding(path=output.path, problem="missing, dvc.lock has it", rebuild=output.rebuild)
        for output in absent
        if lock.output(_full_name(output), output.path)
    ]
    with ThreadPoolExecutor(threads) as pool:
        sums = _Sums(root, lock, pool)
        found = [*sums.compare(there), *_tables(graph, root)]
    tables = [table for table in found if isinstance(table, Table)]
    findings += [one for one in found if isinstance(one, Finding)]
    findings += _counts(tables, root)
    findings += _stores([output for output in there if output.kind == "zarr"], tables, root)
    known = {finding.path for finding in findings}
    return Verified(
        files=sums.files,
        bytes=sums.bytes,
        tables=len(tables),
        rows=sum(table.rows for table in tables),
        absent=tuple(output.path for output in absent if output.path not in known),
        findings=tuple(sorted(set(findings))),
    )


class _Sums:
    """Checksums of outputs; counts what it reads."""

    def __init__(self, root: Path, lock: Lock, pool: ThreadPoolExecutor) -> None:
        self._root, self._lock, self._pool = root, lock, pool
        self.files, self.bytes = 0, 0

    def compare(self, outputs: list[Output]) -> Iterator[Finding]:
        """Findings of all outputs."""
        manifests = [output for output in outputs if self._manifest(output).is_file()]
        listed: set[Path] = set()
        for output in manifests:
            listed |= self._listed(output)
        waiting: list[tuple[Output, Future[str]]] = []
        for output in outputs:  # first, so that both threads are busy with what is large and alone
            known = self._lock.output(_full_name(output), output.path)
            if known is not None and not known.md5.endswith(".dir") and self._root / output.path not in listed:
                self._count(self._root / output.path)
                waiting.append((output, self._pool.submit(_md5_problem, self._root / output.path, known.md5)))
        for output in manifests:
            yield from self._with_manifest(output)
        for output, future in waiting:
            if problem := future.result():
                yield Finding(path=output.path, problem=problem, rebuild=output.rebuild)
        for output in outputs:
            known = self._lock.output(_full_name(output), output.path)
            if known is not None and known.md5.endswith(".dir") and (problem := _size_problem(self._root, known)):
                yield Finding(path=output.path, problem=problem, rebuild=output.rebuild)

    def _manifest(self, output: Output) -> Path:
        place = self._root / output.path
        return place if output.kind == "manifest" else place / MANIFEST_NAME

    def _listed(self, output: Output) -> set[Path]:
        manifest = self._manifest(output)
        try:
            names = read_manifest(manifest, stage=output.stage, dataset=output.dataset)
        except ManifestError:
            return set()
        return {manifest.parent / name for name in names}

    def _with_manifest(self, output: Output) -> Iterator[Finding]:
        manifest = self._manifest(output)
        for path in self._listed(output):
            self._count(path)
        try:
            found = manifest_differences(manifest, stage=output.stage, dataset=output.dataset, each=self._pool.map)
        except ManifestError as problem:
            text = str(problem).partition(": ")[2].rpartition("; ")[0]
            yield Finding(path=self._shown(manifest), problem=text, rebuild=output.rebuild)
            return
        for path, wrong in found:
            yield Finding(path=self._shown(path), problem=wrong, rebuild=output.rebuild)

    def _count(self, path: Path) -> None:
        if path.is_file():
            self.files, self.bytes = self.files + 1, self.bytes + path.stat().st_size

    def _shown(self, path: Path) -> str:
        return (path.relative_to(self._root) if path.is_relative_to(self._root) else path).as_posix()


def _full_name(output: Output) -> str:
    return full_name(output.stage, output.dataset)


def _md5_problem(path: Path, expected: str) -> str:
    """What is wrong with a file that only DVC knows; empty: nothing."""
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            found = hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    except OSError as problem:
        return f"{problem.strerror}"
    return "" if found == expected else "MD5 differs from dvc.lock"


def _size_problem(root: Path, known: Locked) -> str:
    sizes = [path.stat().st_size for path in (root / known.path).rglob("*") if path.is_file()]
    if (len(sizes), sum(sizes)) == (known.files, known.size):
        return ""
    return f"has {len(sizes)} files of {sum(sizes)} bytes, dvc.lock says {known.files} of {known.size}"


def folder_md5(folder: Path) -> str:
    """MD5 of a folder as DVC names it: of the listing of its files' MD5s."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listing = [{"md5": _md5(path), "relpath": path.relative_to(folder).as_posix()} for path in files]
    ordered = sorted(listing, key=lambda item: item["relpath"])
    return hashlib.md5(json.dumps(ordered, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _tables(graph: Graph, root: Path) -> Iterator[Table | Finding]:
    """Every table, or what is wrong with it."""
    for path, output in table_files(graph, root):
        try:
            yield open_table(path, output, root)
        except SchemaError as problem:
            shown, _, text = str(problem).partition(": ")
            yield Finding(path=shown, problem=text.rpartition("; ")[0], rebuild=output.rebuild)


def _counts(tables: list[Table], root: Path) -> Iterator[Finding]:
    """Whether tables of one dataset speak of the same frames and scenes."""
    for dataset in dict.fromkeys(table.output.dataset for table in tables):
        own = [table for table in tables if table.output.dataset == dataset]
        by_name = {table.name: table for table in own}
        for key, of in (("key", "frame"), ("scene_key", "scene")):
            if of in by_name:
                known = _column(by_name[of], key)
                for table in own:
                    if key in table.schema.names and table is not by_name[of]:
                        yield from _strangers(table, key, known, by_name[of], root)
        if {"frame", "shard_index"} <= set(by_name):
            yield from _index(by_name, root)


def _column(table: Table, name: str) -> pa.ChunkedArray:
    return read_table(table.path, table.schema, [name]).column(name)


def _strangers(table: Table, key: str, known: pa.ChunkedArray, of: Table, root: Path) -> Iterator[Finding]:
    """Keys of a table that the table it must refer to lacks."""
    found = _column(table, key)
    strange = found.filter(pc.invert(pc.is_in(found, value_set=known.combine_chunks()))).unique()
    if len(strange):
        shown = ", ".join(strange.slice(0, 3).to_pylist())
        yield Finding(
            path=_relative(table.path, root),
            problem=f"{len(strange)} values of {key} are not in {_relative(of.path, root)} ({shown})",
            rebuild=table.output.rebuild,
        )


def _index(by_name: dict[str, Table], root: Path) -> Iterator[Finding]:
    """Whether index and frame table name the same samples."""
    index, frames, left_out = by_name["shard_index"], by_name["frame"], by_name.get("quarantine")
    entries = from_table(read_table(index.path, SHARD_INDEX_SCHEMA), ShardEntry)
    records = from_table(read_table(frames.path, FRAME_SCHEMA), FrameRecord)
    missing = set() if left_out is None else set(_column(left_out, "item").to_pylist())
    for problem in verify_index(entries, records, missing):
        yield Finding(path=_relative(index.path, root), problem=problem, rebuild=index.output.rebuild)


def _stores(stores: list[Output], tables: list[Table], root: Path) -> Iterator[Finding]:
    """Whether a store has the scenes that its dataset's table lists, but for those it says it does without."""
    for output in stores:
        store = root / output.path
        try:
            attributes = json.loads((store / "zarr.json").read_bytes())["attributes"]
            has = {place.parent.name for place in store.glob("*/zarr.json")} | set(attributes.get("left_out", []))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            yield Finding(path=output.path, problem=f"zarr.json is damaged ({problem!r})"[:200], rebuild=output.rebuild)
            continue
        for table in tables:
            if (table.name, table.output.dataset) == ("scene", output.dataset):
                for key in sorted(set(_column(table, "scene_key").to_pylist()) - has):
                    yield Finding(path=output.path, problem=f"lacks the scene {key}", rebuild=output.rebuild)


def _relative(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
