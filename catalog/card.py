"""The data card of a dataset: its reviewed entry, and all that tables, locks and folders say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.entry import Entry, Quirk, choose_entry
from catalog.errors import QueryError, UnknownError
from catalog.graph import Graph, Output, full_name
from catalog.lock import Lock
from catalog.query import Database
from catalog.rows import nearest
from catalog.source import DvcCache
from catalog.tables import Table
from sahmr.files import MANIFEST_NAME

_SMALL = ("manifest", "report")  # beside the data, no places of it
_VERSION_DIGITS = 12
_SPLITS = """
    SELECT split, count(*) AS frames, count(DISTINCT sequence) AS sequences, count(DISTINCT scene_key) AS scenes,
           count(DISTINCT subject) AS subjects, count(body_file) AS with_body, count(contact_file) AS with_contact,
           round(quantile_cont(person_box[4] - person_box[2], 0.1)) AS person_px_low,
           round(quantile_cont(person_box[4] - person_box[2], 0.5)) AS person_px_median,
           round(quantile_cont(person_box[4] - person_box[2], 0.9)) AS person_px_high
    FROM frame GROUP BY split ORDER BY split"""
_SHARDS = "SELECT split, count(DISTINCT shard) AS shards, sum(length) AS bytes FROM shard_index GROUP BY split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An output that DVC keeps, and where it is.

    Attributes:
        path, stage, kind: as dvc.yaml says.
        files, bytes: here.
        md5: by dvc.lock; None: its stage did not run.
        is_local, is_cached: it lies in the working folder; in DVC's cache.
        is_remote: in the remote that was asked; None: none was.
    """

    path: str
    stage: str
    kind: str
    files: int
    bytes: int
    md5: str | None
    is_local: bool
    is_cached: bool
    is_remote: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: what its values are, in which unit and frame of reference."""

    table: str
    name: str
    kind: str
    unit: str
    frame: str
    note: str
    may_be_null: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What ``show`` prints.

    Attributes:
        dataset: its name on the command line and in params.yaml.
        raw: folder of the publisher's tree.
        entry: the reviewed one.
        version: digest of the shards' manifest, of any other data that of its outputs; None: nothing is made.
        splits: per split frames, sequences, scenes, subjects, shards, bytes, and heights of people in pixels.
        scenes: in the scene table.
        places: outputs.
        columns: of its tables, each schema once.
        quirks: text and how often; None: not counted.
        scores: means of each method, where there are any.
    """

    dataset: str
    raw: str
    entry: Entry
    version: str | None
    splits: tuple[dict[str, Any], ...]
    scenes: int
    places: tuple[Place, ...]
    columns: tuple[Column, ...]
    quirks: tuple[tuple[str, int | None], ...]
    scores: tuple[dict[str, Any], ...]

    @property
    def frames(self) -> int:
        """In all splits."""
        return sum(split["frames"] for split in self.splits)

    @property
    def shards(self) -> int:
        """In all splits."""
        return sum(split.get("shards", 0) for split in self.splits)

    @property
    def bytes(self) -> int:
        """Of all outputs that lie here."""
        return sum(place.bytes for place in self.places)


def raw_keys(graph: Graph, entries: dict[str, Entry]) -> dict[str, str]:
    """Datasets in use: name -> key of params.yaml that says where the publisher's tree is."""
    found = {name: f"raw.{name}" for name in graph.datasets}
    for entry in entries.values():
        section, _, key = entry.raw.rpartition(".")
        if section != "raw" and key == "raw" and section in graph.params:
            found[section] = entry.raw
    return found


def entry_of(graph: Graph, entries: dict[str, Entry], dataset: str) -> Entry:
    """The entry that applies to what a dataset's key leads to.

    Raises:
        SettingsError: if there is none, or more than one.
    """
    key = raw_keys(graph, entries)[dataset]
    maker = graph.maker(graph.param(key))
    return choose_entry(entries, key, maker.name if maker else None)


def find_dataset(graph: Graph, entries: dict[str, Entry], name: str) -> str:
    """A dataset by its own name or its entry's.

    Raises:
        UnknownError: if none in use is called so.
    """
    datasets = raw_keys(graph, entries)
    names = {dataset: dataset for dataset in datasets}
    names = {entry_of(graph, entries, dataset).name: dataset for dataset in datasets} | names
    if name in names:
        return names[name]
    why = "its raw tree is not what params.yaml leads to" if name in entries else "found no such dataset"
    near = nearest(name, names)
    remedy = f"did you mean {near[0]}?" if near and name not in entries else "edit section raw, or choose one of them"
    raise UnknownError(f"{name}: {why}, allowed: {', '.join(sorted(names))}; {remedy}")


def make_card(
    graph: Graph,
    lock: Lock,
    root: Path,
    entries: dict[str, Entry],
    tables: Sequence[Table],
    dataset: str,
    *,
    absent_remotely: set[str] | None = None,
) -> Card:
    """Everything about one dataset.

    Args:
        graph, lock, root, entries, tables: of the working folder.
        dataset: its name.
        absent_remotely: paths that a remote lacks; None: none was asked.

    Raises:
        QueryError: if an entry's count is no query over the dataset's tables.
    """
    entry = entry_of(graph, entries, dataset)
    own = [table for table in tables if table.output.dataset == dataset and table.output.stage != "catalog"]
    database = Database(own)
    outputs = [out for out in graph.outputs if dataset == (out.dataset or out.stage) and out.is_cached]
    cache = DvcCache(root)
    return Card(
        dataset=dataset,
        raw=graph.param(entry.raw),
        entry=entry,
        version=_version(outputs, lock, root),
        splits=tuple(_splits(database)),
        scenes=database.number("SELECT count(*) FROM scene") if "scene" in database.names else 0,
        places=tuple(_place(out, lock, root, cache, absent_remotely) for out in outputs if out.kind not in _SMALL),
        columns=tuple(_columns(own)),
        quirks=tuple((quirk.text, _times(database, entry, quirk)) for quirk in entry.quirks),
        scores=tuple(_scores(database)),
    )


def _records(database: Database, sql: str) -> Iterator[dict[str, Any]]:
    names, rows = database.run(sql)
    for row in rows:
        yield dict(zip(names, row, strict=True))


def _splits(database: Database) -> Iterator[dict[str, Any]]:
    if "frame" not in database.names:
        return
    shards = {row["split"]: row for row in _records(database, _SHARDS)} if "shard_index" in database.names else {}
    for row in _records(database, _SPLITS):
        more = shards.get(row["split"], {"shards": 0, "bytes": 0})
        yield {**row, "shards": int(more["shards"]), "bytes": int(more["bytes"])}


def _scores(database: Database) -> Iterator[dict[str, Any]]:
    if "metric" in database.names:
        yield from _records(
            database,
            "SELECT predictor, count(*) AS frames, round(avg(global_mpjpe_mm), 1) AS global_mpjpe_mm, "
            "round(avg(mpjpe_mm), 1) AS mpjpe_mm, round(avg(pa_mpjpe_mm), 1) AS pa_mpjpe_mm, "
            "round(avg(penetration_m), 3) AS penetration_m FROM metric GROUP BY predictor ORDER BY global_mpjpe_mm",
        )


def _times(database: Database, entry: Entry, quirk: Quirk) -> int | None:
    if quirk.count is None or not any(name in quirk.count for name in database.names):
        return None
    try:
        return database.number(quirk.count)
    except QueryError as problem:
        raise QueryError(f"entry {entry.name}: quirk {quirk.text[:40]!r}: {problem}") from None


def _version(outputs: Sequence[Output], lock: Lock, root: Path) -> str | None:
    """Of the shards: their manifest's SHA-256; without shards: of the manifest of the first folder that has one."""
    folders = [root / out.path for out in outputs if out.kind == "folder"]
    for manifest in [folder / MANIFEST_NAME for folder in folders if (folder / MANIFEST_NAME).is_file()]:
        return hashlib.sha256(manifest.read_bytes()).hexdigest()[:_VERSION_DIGITS]
    return None


def _place(output: Output, lock: Lock, root: Path, cache: DvcCache, absent: set[str] | None) -> Place:
    path = root / output.path
    sizes = [file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    known = lock.output(full_name(output.stage, output.dataset), output.path)
    return Place(
        path=output.path,
        stage=full_name(output.stage, output.dataset),
        kind=output.kind,
        files=len(sizes),
        bytes=sum(sizes),
        md5=known.md5 if known else None,
        is_local=path.exists(),
        is_cached=known is not None and cache.has(known.md5),
        is_remote=None if absent is None else known is not None and output.path not in absent,
    )


def _columns(tables: Sequence[Table]) -> Iterator[Column]:
    seen: set[str] = set()
    for table in tables:
        if table.name not in seen:
            seen.add(table.name)
            yield from (_column(table.name, field) for field in table.schema)


def _column(table: str, field: pa.Field) -> Column:
    about = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
    texts = {key: about.get(key, "") for key in ("unit", "frame", "note")}
    return Column(table=table, name=field.name, kind=_kind(field.type), may_be_null=field.nullable, **texts)


def _kind(kind: pa.DataType) -> str:
    """A type as people read it: ``double[16]``."""
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    return f"{kind.value_type}[]" if pa.types.is_list(kind) else str(kind)
