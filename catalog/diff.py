"""What differs between two states of the repository: outputs, rows of tables, scenes, parameters and code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from catalog.errors import MissingError
from catalog.graph import Graph, Output, full_name, read_graph
from catalog.lock import Lock, read_lock
from catalog.source import DvcCache, Source
from catalog.tables import known_schemas
from sahmr.files import file_sha256

_KEYS = {"frame": ["key"], "scene": ["scene_key"], "metric": ["key", "predictor"]}
_STORE = "voxels and distance field"  # what changed in a scene's arrays, beside the columns of its row


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsDiff:
    """Rows of one table.

    Attributes:
        what: frame | scene | metric: its schema.
        dataset, table: whose, and its file's name.
        added, removed: keys, sorted; of scores ``key predictor``.
        changed: by key, the columns that differ.
    """

    what: str
    dataset: str | None
    table: str
    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """From ``a`` to ``b``.

    Attributes:
        a, b: what was compared.
        outputs: path -> added | removed | changed.
        rows: tables that differ.
        params: key -> its values in a and b.
        code: stages that ran other code.
        unread: tables that differ and whose rows are not here, with the command that fetches them.
    """

    a: str
    b: str
    outputs: dict[str, str]
    rows: tuple[RowsDiff, ...]
    params: dict[str, list[Any]]
    code: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both are the same."""
        return not (self.outputs or self.rows or self.params or self.code or self.unread)


class _Side:
    """One state, and where its files can be read."""

    def __init__(self, source: Source) -> None:
        if not source.has("dvc.lock"):
            raise MissingError(
                f"dvc.lock: not there in {source}; run dvc repro, and commit dvc.lock to compare revisions"
            )
        self.source, self.graph, self.lock = source, read_graph(source), read_lock(source)
        self.cache = DvcCache(source.root)
        self.outputs = {_identity(output): output for output in self.graph.outputs if output.is_cached}
        self.here = _here(source.root) if source.revision else None

    def digest(self, output: Output) -> str:
        """Of an output, where it is known: MD5 by the lock, or of the file itself."""
        known = self.lock.output(full_name(output.stage, output.dataset), output.path)
        return known.md5 if known else ""

    def file(self, output: Output) -> Path | None:
        """Where a file output can be read; None: not on this machine."""
        path, md5 = self.source.root / output.path, self.digest(output)
        if self.source.revision is None:
            return path if path.is_file() else None
        if self.cache.has(md5):
            return self.cache.path(md5)
        is_same = self.here is not None and self.here.get(output.path) == md5 and path.is_file()
        return path if is_same and _md5(path) == md5 else None


def _here(root: Path) -> dict[str, str]:
    """MD5 by path of what lies in the working folder, as its lock says."""
    working = Source(root=root)
    if not (working.has("dvc.yaml") and working.has("params.yaml")):
        return {}
    lock = read_lock(working)
    known = (
        (out.path, lock.output(full_name(out.stage, out.dataset), out.path)) for out in read_graph(working).outputs
    )
    return {path: locked.md5 for path, locked in known if locked}


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _identity(output: Output) -> tuple[str, str | None, str]:
    """Names an output, wherever params.yaml puts it."""
    return output.stage, output.dataset, Path(output.path).name


def find_diff(a: Source, b: Source) -> Diff:
    """Compare two states.

    Raises:
        MissingError, SettingsError: if one of them lacks its dvc.yaml or params.yaml, or they are damaged.
    """
    one, two = _Side(a), _Side(b)
    names = [*one.outputs, *(name for name in two.outputs if name not in one.outputs)]
    outputs = dict(_outputs(one, two, names))
    rows, unread = [], []
    for name in names:
        for found in _tables(one, two, name):
            if isinstance(found, str):
                unread.append(found)
            else:
                rows.append(found)
    return Diff(
        a=str(a),
        b=str(b),
        outputs=outputs,
        rows=tuple(_with_stores(one, two, rows)),
        params=_params(one, two),
        code=tuple(_code(one.lock, two.lock, two.graph)),
        unread=tuple(unread),
    )


def _outputs(one: _Side, two: _Side, names: list[tuple[str, str | None, str]]) -> Iterator[tuple[str, str]]:
    for name in names:
        digests = [side.digest(side.outputs[name]) if name in side.outputs else "" for side in (one, two)]
        path = (two if name in two.outputs else one).outputs[name].path
        if digests[0] != digests[1]:
            yield path, "changed" if all(digests) else ("removed" if digests[0] else "added")


def _tables(one: _Side, two: _Side, name: tuple[str, str | None, str]) -> Iterator[RowsDiff | str]:
    """The rows that differ in one table, or why that is not known."""
    outputs = [side.outputs.get(name) for side in (one, two)]
    if not any(output and output.kind == "table" for output in outputs):
        return
    files = [side.file(output) if output else None for side, output in zip((one, two), outputs, strict=True)]
    digests = [side.digest(output) if output else "" for side, output in zip((one, two), outputs, strict=True)]
    if digests[0] == digests[1] != "" and not (all(files) and None in (one.source.revision, two.source.revision)):
        return
    if all(files) and file_sha256(files[0]) == file_sha256(files[1]):  # type: ignore[arg-type]  # neither is None
        return
    for side, output, file, digest in zip((one, two), outputs, files, digests, strict=True):
        if output and digest and file is None:
            yield f"{output.path} of {side.source}: not on this machine; fetch it with: dvc fetch --all-commits"
            return
    if any(files) and (found := _rows(name, files)) is not None:
        yield found


def _rows(name: tuple[str, str | None, str], files: list[Path | None]) -> RowsDiff | None:
    """Join both tables by their keys; None: a table whose rows are not compared."""
    with duckdb.connect() as connection:
        try:
            schemas = [_schema(connection, file) for file in files if file]
            if schemas[0] not in _KEYS:
                return None
            for view, file in zip("ab", files, strict=True):
                known = f"read_parquet({_text(file or files[0] or files[1])})"
                connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {known}" + ("" if file else " LIMIT 0"))
            columns = [{row[0] for row in connection.execute(f"DESCRIBE {view}").fetchall()} for view in "ab"]
            found = connection.execute(_join(_KEYS[schemas[0]], sorted(columns[0] & columns[1]))).fetchall()
        except duckdb.Error as problem:
            raise MissingError(f"{name[2]}: cannot be compared ({' '.join(str(problem).split())[:300]})") from None
    sides: dict[str, list[str]] = {"added": [], "removed": []}
    changed: dict[str, list[str]] = {}
    for key, status, differing in found:
        if status == "changed":
            changed[key] = differing
        else:
            sides[status].append(key)
    return RowsDiff(what=schemas[0], dataset=name[1], table=name[2], changed=changed, **sides)


def _schema(connection: duckdb.DuckDBPyConnection, file: Path) -> str:
    sql = f"SELECT value FROM parquet_kv_metadata({_text(file)}) WHERE key = 'sahmr.schema'"
    row = connection.execute(sql).fetchone()
    name = row[0].decode() if row else ""
    return name if name in known_schemas() else ""


def _join(keys: list[str], columns: list[str]) -> str:
    def name(view: str) -> str:
        return " || ' ' || ".join(f"{view}.{key}" for key in keys)

    differing = ", ".join(
        f'CASE WHEN a."{column}" IS DISTINCT FROM b."{column}" THEN \'{column}\' END' for column in columns
    )
    return f"""
        SELECT coalesce({name("a")}, {name("b")}) AS name,
               CASE WHEN a.{keys[0]} IS NULL THEN 'added'
                    WHEN b.{keys[0]} IS NULL THEN 'removed' ELSE 'changed' END AS status,
               list_filter([{differing}], lambda x: x IS NOT NULL) AS differing
        FROM a FULL JOIN b ON {" AND ".join(f"a.{key} = b.{key}" for key in keys)}
        WHERE status <> 'changed' OR len(differing) > 0 ORDER BY name"""


def _text(path: object) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _with_stores(one: _Side, two: _Side, rows: list[RowsDiff]) -> Iterator[RowsDiff]:
    """Adds to the scenes' rows those whose arrays differ, as far as both manifests are here."""
    stores = {name: _changed_scenes(one, two, name) for name in one.outputs if name[2].endswith(".zarr")}
    for row in rows:
        if row.what == "scene":
            for name in [name for name in stores if name[1] == row.dataset]:
                for key in stores.pop(name):
                    if key not in row.added:
                        row.changed.setdefault(key, []).append(_STORE)
        yield row
    for (_, dataset, table), keys in stores.items():
        if keys:
            changed = {key: [_STORE] for key in keys}
            yield RowsDiff(what="scene", dataset=dataset, table=table, added=[], removed=[], changed=changed)


def _changed_scenes(one: _Side, two: _Side, name: tuple[str, str | None, str]) -> list[str]:
    """Scenes of a store that both states have, with other bytes."""
    stage, dataset, store = name
    manifest = (stage, dataset, f"{store.removesuffix('.zarr')}.manifest.json")
    found = [_scene_digests(side, manifest) for side in (one, two)]
    return [key for key in sorted(found[0].keys() & found[1].keys()) if found[0][key] != found[1][key]]


def _scene_digests(side: _Side, manifest: tuple[str, str | None, str]) -> dict[str, dict[str, Any]]:
    """Of each scene its files' states, as the store's manifest has them."""
    file = side.file(side.outputs[manifest]) if manifest in side.outputs else None
    scenes: dict[str, dict[str, Any]] = {}
    if file is not None:
        try:
            listed = json.loads(file.read_bytes())["files"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
            raise MissingError(f"{file}: no manifest ({problem!r}); rebuild with: dvc repro {manifest[0]}") from None
        for path, state in listed.items():
            _, _, below = path.partition("/")
            if "/" in below:
                scenes.setdefault(below.partition("/")[0], {})[below] = state
    return scenes


def _params(one: _Side, two: _Side) -> dict[str, list[Any]]:
    """Parameters that stages ran with, where they differ."""
    flat = [dict(_flat("", side.graph.params)) for side in (one, two)]
    return {
        key: [flat[0].get(key), flat[1].get(key)]
        for key in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(key) != flat[1].get(key)
    }


def _flat(start: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{start}{name}.", value)
        else:
            yield f"{start}{name}", value


def _code(one: Lock, two: Lock, graph: Graph) -> Iterator[str]:
    for stage in graph.stages:
        versions = [lock.stage(stage.full_name) for lock in (one, two)]
        if all(versions) and versions[0].code != versions[1].code:  # type: ignore[union-attr]  # neither is None
            yield stage.full_name
