"""A folder that is a published dataset: ``catalog/<dataset>.manifest.json`` lists the manifests of its parts.

The parts are those of the stages ``frames``, ``scenes`` and ``shards``: each lists its files with length and SHA-256,
and the one in ``catalog/`` has length and SHA-256 of theirs. Names in it are relative to the folder above ``catalog/``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sahmr.errors import RemoteError
from sahmr.files import ManifestError, file_sha256, parse_manifest, render_manifest
from sahmr.remote import Published, Reach, RemotePath, difference
from sahmr.server import Server

FOLDER = "catalog"
DATASETS = ("rich", "prox", "own")  # looked for where none is named
STAGES = ("frames", "scenes", "shards")
_TAIL = 200  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts of a published dataset are.

    Attributes:
        dataset: its name.
        root: the folder above all of it.
        frames: folder of its tables.
        scenes: its scene store.
        shards: folder of its shards and their index.
        manifests: content of each manifest, by its name relative to ``root``; the one of the whole comes last.
    """

    dataset: str
    root: RemotePath
    frames: RemotePath
    scenes: RemotePath
    shards: RemotePath
    manifests: Mapping[str, bytes]


def manifest_name(dataset: str) -> str:
    """Of the manifest of a whole dataset, relative to its root."""
    return f"{FOLDER}/{dataset}.manifest.json"


def render_published(root: Path, dataset: str, manifests: Iterable[Path]) -> str:
    """Text of the manifest of a whole dataset.

    Args:
        root: the folder that names are relative to.
        dataset: its name.
        manifests: of its frames, scenes and shards, below ``root``.
    """
    states = {path.relative_to(root).as_posix(): (path.stat().st_size, file_sha256(path)) for path in manifests}
    return render_manifest(states, stage=FOLDER, dataset=dataset)


def find_published(url: str, dataset: str | None = None, *, options: Mapping[str, Any] | None = None) -> Parts:
    """Read the manifests of a published dataset, each compared with what the one above it says.

    Args:
        url: of the folder that holds ``catalog/``, or of the manifest in it.
        dataset: its name; None: the one that is there.
        options: what fsspec's filesystem takes.

    Raises:
        RemoteError: if there is none or more than one, it cannot be reached, or its manifests do not fit together.
    """
    if url.endswith(".manifest.json"):
        folder, _, name = url.rpartition("/")
        url, dataset = folder.rpartition("/")[0] or ".", name.removesuffix(".manifest.json")
    server = Server(url, options)
    dataset, top = _top(server, [dataset] if dataset else DATASETS)
    place = f"{server}/{manifest_name(dataset)}"
    files: dict[str, tuple[int, str]] = {}
    manifests: dict[str, bytes] = {}
    found: dict[str, str] = {}
    for name, (length, sha256) in _parsed(top, FOLDER, dataset, place).items():
        content = server.read(name)
        if wrong := difference(content, length, sha256):
            raise RemoteError(f"{server}/{name}: {wrong} ({place}); the publisher must run: dvc repro catalog")
        stage = _stage(content)
        below = name.rpartition("/")[0]
        listed = _parsed(content, stage, dataset, f"{server}/{name}")
        files |= {f"{below}/{inner}".lstrip("/"): state for inner, state in listed.items()}
        files[name], manifests[name], found[stage] = (length, sha256), content, below
    if missing := sorted(set(STAGES) - set(found)):
        raise RemoteError(f"{place}: lacks the manifests of {', '.join(missing)}; the publisher must run: dvc repro")
    manifests[manifest_name(dataset)] = top
    root = RemotePath(Published(server, hashlib.sha256(top).hexdigest(), files, manifests))
    return Parts(
        dataset=dataset,
        root=root,
        frames=root / found["frames"],
        scenes=root / found["scenes"] / f"{dataset}.zarr",
        shards=root / found["shards"],
        manifests=manifests,
    )


def find_part(url: str, manifest: str, *, stage: str, dataset: str, reach: Reach) -> RemotePath:
    """A folder with one stage's outputs, sure by its manifest alone: a share need not have all of a dataset.

    Args:
        url: of the folder.
        manifest: its name in the folder.
        stage, dataset: whose it must be.
        reach: how its files are fetched.

    Raises:
        RemoteError: if it cannot be reached, or is no such manifest.
    """
    server = Server(url)
    content = server.read(manifest)
    folder = manifest.rpartition("/")[0]
    listed = _parsed(content, stage, dataset, f"{server}/{manifest}")
    files = {f"{folder}/{name}".lstrip("/"): state for name, state in listed.items()}
    version = hashlib.sha256(content).hexdigest()
    files[manifest] = (len(content), version)
    return RemotePath(Published(server, version, files, {manifest: content}, reach))


def _top(server: Server, datasets: Sequence[str]) -> tuple[str, bytes]:
    """Name and manifest of the one dataset that is there."""
    contents: dict[str, bytes] = {}
    problems: list[RemoteError] = []
    for name in datasets:
        try:
            contents[name] = server.read(manifest_name(name))
        except RemoteError as problem:
            problems.append(problem)
    if len(contents) > 1:
        raise RemoteError(f"{server}: holds {' and '.join(sorted(contents))}; say which of them")
    if not contents:
        raise problems[0]
    return next(iter(contents.items()))


def _stage(content: bytes) -> str:
    """Which stage a manifest says it is of; it is not believed before it is parsed."""
    found = re.search(rb'"stage": "(\w+)"\s*}\s*$', content[-_TAIL:])
    return found[1].decode() if found else STAGES[0]


def _parsed(content: bytes, stage: str, dataset: str, place: str) -> dict[str, tuple[int, str]]:
    try:
        return parse_manifest(content, stage=stage, dataset=dataset)
    except ManifestError as problem:
        raise RemoteError(f"{place}: {problem}; the publisher must run: dvc repro {stage}") from None
