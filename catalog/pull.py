"""Copy a published dataset, or some of it, by its manifests: without DVC, resumable, every file compared."""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sahmr.errors import RemoteError
from sahmr.files import file_sha256, flush_to_disk, publish_file, remove_manifest
from sahmr.published import Parts, find_published, manifest_name
from schemas.fields import read_table
from schemas.shard import SHARD_INDEX_SCHEMA

PARTIAL = ".pull"  # folder of unfinished files in the target; gone when all is there
_PIECE = 8 << 20  # bytes asked for at a time: what a killed copy loses at most, per worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a copy did.

    Attributes:
        dataset, version: which; the version is the SHA-256 of the top manifest.
        files, bytes: of the selection.
        copied, received: files and bytes that came over the network now; the rest was there already.
        removed: files of an earlier version that the new one does not have.
    """

    dataset: str
    version: str
    files: int
    bytes: int
    copied: int
    received: int
    removed: int


def pull(
    url: str,
    target: Path,
    dataset: str | None = None,
    *,
    splits: Sequence[str] = (),
    sequences: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    workers: int = 8,
) -> Pulled:
    """Make ``target`` a copy of a published dataset.

    A file appears under its name once it is whole and has the stated SHA-256; the manifests come last. Killed or cut
    off, the same call goes on where it stopped. Files that are there already are compared and kept.

    Args:
        url: as of :func:`sahmr.published.find_published`.
        target: folder; may hold an earlier version or other splits, which stay where they are still published.
        dataset: its name; None: the one that is there.
        splits, sequences: only the shards of these, and the scenes they play in; none: all. Tables come whole.
        options: what fsspec's filesystem takes.
        workers: files copied at a time.

    Raises:
        RemoteError: if anything cannot be had or is not what its manifest says; no such file is left in ``target``.
    """
    parts = find_published(url, dataset, options=options)
    states = parts.root.published.files
    names = [name for name in _wanted(parts, splits, sequences) if name not in parts.manifests]
    with _alone(target):
        earlier = _earlier(target, parts)
        _require_room(target, sum(states[name][0] for name in names if not (target / name).exists()))
        received = _copy_all(parts, target, names, workers)
        for name, content in parts.manifests.items():  # the one of the whole comes last
            with publish_file(target / name) as partial:
                partial.write_bytes(content)
        stale = [name for name in earlier if name not in states and (target / name).is_file()]
        for name in stale:
            (target / name).unlink()
    return Pulled(
        dataset=parts.dataset,
        version=parts.root.published.version,
        files=len(names),
        bytes=sum(states[name][0] for name in names),
        copied=len(received),
        received=sum(received),
        removed=len(stale),
    )


def _wanted(parts: Parts, splits: Sequence[str], sequences: Sequence[str]) -> list[str]:
    """Names of the files that a selection needs, sorted."""
    whole = index = read_table(parts.shards / "index.parquet", SHARD_INDEX_SCHEMA)
    for column, chosen in (("split", splits), ("sequence", sequences)):
        if chosen:
            _require_known(parts, column, chosen, pc.unique(whole.column(column)).to_pylist())
            index = index.filter(pc.is_in(index.column(column), value_set=pa.array(chosen, pa.string())))
    if not len(index):
        raise RemoteError(f"{parts.root}: no sample is in split {list(splits)} and sequence {list(sequences)}")
    shards, scenes = set(index.column("shard").to_pylist()), set(index.column("scene_key").to_pylist())

    def is_wanted(name: str) -> bool:
        if name.startswith(f"{parts.shards.name_in_root}/"):
            return not name.endswith(".tar") or name.rpartition("/")[2] in shards
        inner = name.removeprefix(f"{parts.scenes.name_in_root}/")
        return inner == name or "/" not in inner or inner.partition("/")[0] in scenes

    return sorted(filter(is_wanted, parts.root.published.files))


def _require_known(parts: Parts, column: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=5, cutoff=0)
            raise RemoteError(f"{parts.root}: {parts.dataset} has no {column} {name!r}; the nearest: {', '.join(near)}")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Make the folder, and let nobody else copy into it meanwhile; unfinished files stay if it fails."""
    partial = target / PARTIAL
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RemoteError(f"{target}: another copy into this folder is running; wait for it") from None
        try:
            yield
        except BaseException:
            (partial / "lock").unlink()
            _remove_if_empty(partial, target)
            raise
        shutil.rmtree(partial)


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()


def _earlier(target: Path, parts: Parts) -> set[str]:
    """Files of another version of the dataset that is there; its top manifest goes, for it will not be true."""
    top = target / manifest_name(parts.dataset)
    if not top.is_file() or file_sha256(top) == parts.root.published.version:
        return set()
    try:
        found = set(find_published(str(target), parts.dataset).root.published.files)
    except RemoteError:  # damaged: then nothing in it is believed, and nothing removed
        found = set()
    remove_manifest(top)
    return found


def _require_room(target: Path, needed: int) -> None:
    if (free := shutil.disk_usage(target).free) < needed:
        raise RemoteError(f"{target}: needs {needed} bytes, the disk has {free}; free some, or name fewer sequences")


def _copy_all(parts: Parts, target: Path, names: Sequence[str], workers: int) -> list[int]:
    """Copy files that are not there, some at a time; bytes received for each. The first that fails stops the others."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running = [pool.submit(_copy, parts, target, name) for name in names]
        try:
            results = [done.result() for done in as_completed(running)]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [count for count in results if count is not None]


def _copy(parts: Parts, target: Path, name: str) -> int | None:
    """Copy one file; bytes received, None if it is there already."""
    length, sha256 = parts.root.published.files[name]
    final = target / name
    if final.is_file() and final.stat().st_size == length and file_sha256(final) == sha256:
        return None
    partial = target / PARTIAL / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.{sha256}"
    received = _download(parts, name, partial)
    if file_sha256(partial) != sha256 and received < length:  # what was left of an earlier run is of no use
        partial.unlink()
        received += _download(parts, name, partial)
    if (found := partial.stat().st_size) != length or file_sha256(partial) != sha256:
        partial.unlink()
        what = (
            f"has {found} bytes, the manifest says {length}" if found != length else "SHA-256 differs from the manifest"
        )
        raise RemoteError(f"{parts.root}/{name}: {what}; ask its publisher to send it again")
    final.parent.mkdir(parents=True, exist_ok=True)
    flush_to_disk(partial)
    partial.replace(final)
    return received


def _download(parts: Parts, name: str, partial: Path) -> int:
    """Append to a file what it lacks of a published one; bytes received."""
    server, length = parts.root.published.server, parts.root.published.files[name][0]
    start = partial.stat().st_size if partial.exists() else 0
    if start > length:
        partial.unlink()
        start = 0
    with partial.open("ab") as stream:
        at = start
        while at < length:
            piece = server.read(name, at, min(_PIECE, length - at))
            if not server.has_ranges:  # it sent all of it, and would again
                stream.truncate(0)
                stream.write(server.read(name))
                return length
            if not piece:
                break
            stream.write(piece)
            stream.flush()
            at += len(piece)
    return at - start
