"""Folders and files that appear under their final name only when complete, their digests and manifests.

The standard library only: schemas and catalog stand on this module too, and start without torch.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

MANIFEST_NAME = "manifest.json"  # of a folder whose files it lists; beside a store or table: <name>.manifest.json
_MANIFEST_LIMIT = 2**28  # bytes, a hundred times what 10^6 samples need
_SHA256 = re.compile(r"[0-9a-f]{64}")


@contextmanager
def publish_file(final: Path) -> Iterator[Path]:
    """Offer a path beside ``final``; the file written there gets that name when the block ends without an error.

    An earlier ``final`` is replaced; after an error it stays as it was and the unfinished file is gone. The content is
    on the disk before the name is, so a machine that loses power leaves the old file or the new one.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
    try:
        yield partial
        flush_to_disk(partial)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def publish_text(final: Path, text: str) -> None:
    """Write a text file as :func:`publish_file` does."""
    with publish_file(final) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def publish_folder(final: Path) -> Iterator[Path]:
    """Offer an empty folder beside ``final`` and give it that name when the block ends without an error.

    An earlier ``final`` is replaced as a whole; after an error it stays as it was and the unfinished folder is gone.
    What a killed process left beside ``final`` is cleared away.
    """
    for left in sorted(final.parent.glob(f".{final.name}.*.partial")):
        if not is_alive(left.name.split(".")[-2]):
            shutil.rmtree(left, ignore_errors=True)
    partial, old = (final.with_name(f".{final.name}.{kind}{os.getpid()}.partial") for kind in ("", "old."))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if final.exists():
            final.rename(old)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def flush_to_disk(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, would outlive the machine's power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_alive(pid: str) -> bool:
    """Whether a process of this host has that number."""
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def kept_sha256(path: Path) -> str:
    """:func:`file_sha256`, kept per process while size and times of the file are the same: a video has thousands of
    frames.
    """
    found = path.stat()
    return _kept_sha256(path, (found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(maxsize=16)
def _kept_sha256(path: Path, state: tuple[int, int, int]) -> str:
    return file_sha256(path)


def folder_digest(folder: Path, *, without: tuple[str, ...] = ()) -> str:
    """SHA-256, hexadecimal, of the listing of a folder's files as ``sha256sum`` would print it.

    Args:
        folder: with all below it.
        without: names of files in it that do not count, such as a manifest, which says the same over again.
    """
    left_out = {folder / name for name in without}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in left_out)
    lines = (f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class ManifestError(ValueError):
    """A manifest is missing, damaged, or not that of the stage it is asked for."""


def open_regular(path: Path) -> int:
    """Open a regular file for reading; follows no link and never waits. Whoever asks must close it.

    Raises:
        OSError: as ``os.open`` does, and if it is a link, a pipe, a device or a folder.
    """
    flags = (getattr(os, name, 0) for name in ("O_RDONLY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))
    try:
        handle = os.open(path, sum(flags))
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a link, expected the file itself", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is a pipe, a device or a folder, expected a file", str(path))
    return handle


def is_plain_name(name: str) -> bool:
    """Whether a name stays in its folder: parts joined by ``/``, none of them empty, ``.`` or ``..``."""
    return "\0" not in name and "\\" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def remove_manifest(manifest: Path) -> None:
    """Take a manifest away, for good, before what it lists is replaced."""
    with contextlib.suppress(FileNotFoundError):
        manifest.unlink()
        flush_to_disk(manifest.parent)


def write_manifest(
    manifest: Path, outputs: Iterable[str] = (".",), *, stage: str, dataset: str | None, known: Mapping[str, str] = {}
) -> None:
    """List files with their lengths and SHA-256; comes last of all a stage publishes.

    Args:
        manifest: where; names are relative to its folder.
        outputs: files, and folders whose files are all listed; default: all that lie beside the manifest.
        stage, dataset: whose outputs; no dataset: shared by all.
        known: SHA-256 by name, of files whose content need not be read again.
    """
    folder = manifest.parent
    names = {name for output in outputs for name in _names_below(folder, output)} - {manifest.name}
    files = {}
    for name in sorted(names):
        path = folder / name
        files[name] = path.stat().st_size, known.get(name) or file_sha256(path)
    publish_text(manifest, render_manifest(files, stage=stage, dataset=dataset))


def render_manifest(files: Mapping[str, tuple[int, str]], *, stage: str, dataset: str | None) -> str:
    """Text of a manifest: length and SHA-256 of each file by its name. What lists the same has the same text."""
    lines = [
        f"    {json.dumps(name)}: {json.dumps({'bytes': length, 'sha256': sha256})}"
        for name, (length, sha256) in sorted(files.items())
    ]
    listed = "{\n" + ",\n".join(lines) + "\n  }" if lines else "{}"
    parts = {"dataset": json.dumps(dataset), "files": listed, "manifest_version": '"1.0"', "stage": json.dumps(stage)}
    return "{\n" + ",\n".join(f'  "{key}": {text}' for key, text in parts.items()) + "\n}\n"


def read_manifest(manifest: Path, *, stage: str, dataset: str | None) -> dict[str, tuple[int, str]]:
    """Length and SHA-256 of each file by its name, relative to the manifest's folder.

    Raises:
        ManifestError: if it is missing, damaged, of another version, stage or dataset, or a name leads elsewhere.
    """
    remedy = f"dvc repro {stage}"
    try:
        with os.fdopen(open_regular(manifest), "rb") as stream:
            content = stream.read(_MANIFEST_LIMIT + 1)
        return parse_manifest(content, stage=stage, dataset=dataset)
    except FileNotFoundError:
        raise ManifestError(f"{manifest}: missing, so what it lists is unfinished; run: {remedy}") from None
    except OSError as problem:
        raise ManifestError(f"{manifest}: {problem.strerror}; rebuild with: {remedy}") from None
    except ManifestError as problem:
        raise ManifestError(f"{manifest}: {problem}; rebuild with: {remedy}") from None


def parse_manifest(content: bytes, *, stage: str, dataset: str | None) -> dict[str, tuple[int, str]]:
    """Length and SHA-256 of each file by its name.

    Raises:
        ManifestError: saying what was found, not where.
    """
    try:
        if len(content) > _MANIFEST_LIMIT:
            raise ValueError(f"has more than {_MANIFEST_LIMIT} bytes")
        found = json.loads(content, object_pairs_hook=_without_doubles)
        wanted = {"manifest_version": "1.0", "stage": stage, "dataset": dataset}
        said = {key: found[key] for key in wanted}
        if said != wanted:
            raise ValueError(f"says {said}, expected {wanted}")
        return {name: _stated(name, state) for name, state in found["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as problem:
        raise ManifestError(f"no manifest ({_told(problem)})") from None


def check_manifest(manifest: Path, *, stage: str, dataset: str | None) -> list[str]:
    """Compare files with their manifest: one line for each that is missing, strange, or of other length or content."""
    try:
        found = manifest_differences(manifest, stage=stage, dataset=dataset)
    except ManifestError as problem:
        return [str(problem)]
    return [f"{path}: {wrong}; rebuild with: dvc repro {stage}" for path, wrong in found]


def manifest_differences(
    manifest: Path, *, stage: str, dataset: str | None, each: Callable[..., Iterable[str]] = map
) -> list[tuple[Path, str]]:
    """Each file that differs from its manifest, and how; sorted by what a line about it would say.

    Files beside those listed are strange only in folders that are the manifest's own: those it names, and, of a
    ``manifest.json``, the one it lies in. What is read is bounded by the lengths it states.

    Args:
        manifest: where.
        stage, dataset: whose it must be.
        each: ``map``, or one that works in several threads; the longest files come first.

    Raises:
        ManifestError: as :func:`read_manifest`.
    """
    listed = read_manifest(manifest, stage=stage, dataset=dataset)
    folder = manifest.parent
    own = {"."} if manifest.name == MANIFEST_NAME else {name.split("/")[0] for name in listed if "/" in name}
    there = {name for output in own for name in _names_below(folder, output)} - {manifest.name}
    found = {(folder / name, f"not in {manifest.name}") for name in there - set(listed)}
    states = sorted(((name, *state) for name, state in listed.items()), key=lambda state: -state[1])
    for (name, _, _), wrong in zip(states, each(lambda state: _difference(folder, *state), states), strict=True):
        if wrong:
            found.add((folder / name, wrong))
    return sorted(found, key=lambda line: f"{line[0]}: {line[1]}")


def _names_below(folder: Path, output: str) -> Iterator[str]:
    """Whatever is no folder, links included, in or at ``output``; relative to ``folder``."""
    place = folder / output
    if place.is_symlink() or not place.is_dir():
        yield output
        return
    for where, folders, files in os.walk(place):
        links = [name for name in folders if Path(where, name).is_symlink()]
        yield from (Path(where, name).relative_to(folder).as_posix() for name in [*files, *links])


def _difference(folder: Path, name: str, length: int, sha256: str) -> str:
    """What is wrong with a listed file; empty: nothing."""
    try:
        inner = [folder.joinpath(*name.split("/")[:depth]) for depth in range(1, name.count("/") + 1)]
        if any(place.is_symlink() for place in inner):
            return "lies behind a link"
        with os.fdopen(open_regular(folder / name), "rb") as stream:
            if (size := os.fstat(stream.fileno()).st_size) != length:
                return f"has {size} bytes, the manifest says {length}"
            if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                return "SHA-256 differs from the manifest"
    except FileNotFoundError:
        return "missing"
    except OSError as problem:
        return f"{problem.strerror}"
    return ""


def _stated(name: str, state: dict[str, Any]) -> tuple[int, str]:
    length, sha256 = state["bytes"], state["sha256"]
    if not is_plain_name(name):
        raise ValueError(f"the name {name!r} leads elsewhere")
    if type(length) is not int or length < 0 or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"{name}: bytes {length!r} and sha256 {sha256!r} are none")
    return length, sha256


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _told(problem: Exception) -> str:
    return f"lacks {problem}" if isinstance(problem, KeyError) else str(problem) or type(problem).__name__
