"""Folders and files that appear under their final name only when complete, and digests of what they hold.

The standard library only: schemas and catalog stand on this module too, and start without torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def folder_digest(folder: Path) -> str:
    """SHA-256, hexadecimal, of the listing of a folder's files as ``sha256sum`` would print it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = (f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
