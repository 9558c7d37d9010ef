"""The one way a stranger's file is opened: a regular file of a size its kind may have, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sahmr.errors import RawDataError
from sahmr.files import is_plain_name

LARGEST = 1 << 32  # bytes of any file; the largest published ones, scans and body models, have less than a quarter
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Opening a FIFO waits for whoever writes into it; this does not, should one take the file's place in between.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


@contextmanager
def open_regular(
    path: Path, *, most_bytes: int = LARGEST, error: type[RawDataError] = RawDataError
) -> Iterator[BinaryIO]:
    """Open a stranger's file for reading.

    Args:
        path: the file, or a link to it.
        most_bytes: what a file of its kind has at most.
        error: what is raised in place of RawDataError.

    Raises:
        RawDataError: (or ``error``) if it is missing, larger, no regular file, or may not or cannot be read.
    """
    try:
        _check(path, path.stat(), most_bytes, error)  # first: opening a device may move it
        descriptor = os.open(path, _FLAGS)
        with os.fdopen(descriptor, "rb") as stream:
            _check(path, os.fstat(descriptor), most_bytes, error)
            yield stream
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{path}: no such file") from None
    except PermissionError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}); allow it") from None
    except OSError as problem:
        if problem.errno is None:  # of whoever reads: Pillow calls damage an OSError
            raise
        reason = problem.strerror or str(problem)
        raise error(f"{path}: cannot be read ({reason}); check its disk") from None


def read_regular(path: Path, *, most_bytes: int = LARGEST, error: type[RawDataError] = RawDataError) -> bytes:
    """All bytes of a stranger's file. Arguments and errors as :func:`open_regular`."""
    with open_regular(path, most_bytes=most_bytes, error=error) as stream:
        content = stream.read(os.fstat(stream.fileno()).st_size + 1)  # never more than was checked
        if len(content) > most_bytes:
            raise error(f"{path}: grows while it is read; wait until it is complete")
        return content


def inside(root: Path, name: str) -> Path:
    """The file of a tree that a table names.

    Args:
        root: of the tree; links in it may lead anywhere, their owner made them.
        name: as in a table, parts joined by ``/``.

    Raises:
        RawDataError: if the name is absolute or leads out of the tree.
    """
    if not is_plain_name(name):
        raise RawDataError(f"{root}: a table names the file {name[:200]!r}, which is not inside; run: dvc repro frames")
    return root / name


def _check(path: Path, found: os.stat_result, most_bytes: int, error: type[RawDataError]) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise error(f"{path}: is {kind}, not a regular file; put the published file there")
    if found.st_size > most_bytes:
        raise error(f"{path}: has {found.st_size:,} bytes, such a file has at most {most_bytes:,}; fetch it again")
