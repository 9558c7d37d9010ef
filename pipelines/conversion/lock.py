"""One process at a time writes one output: a lock that the kernel keeps, with a note about who holds it.

The lock is ``flock``: it ends with its process, however that ends, so nothing has to be cleaned up after a kill. On one
host it always holds. Between hosts it holds where the file system passes locks on (NFS from version 4, Lustre and GPFS
as they are usually mounted); where it does not, nothing is worse than without: pieces and outputs still appear whole or
not at all, and the later of two equal outputs stays.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from sahmr.errors import StoreError
from sahmr.files import is_alive
from sahmr.settings import Paths

_Run = TypeVar("_Run", bound=Callable[..., None])
_BUSY = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)
_MOST_NOTE = 4096  # bytes that are read of a note
_FRESH_S = 1.0  # a holder writes its note at once; an older note may stand there before


@contextmanager
def hold(work: Path, stage: str, output: Path) -> Iterator[None]:
    """Keep every other process away from an output while the block runs.

    Args:
        work: the work store, ``paths.work``; the lock files are below ``locks``.
        stage: what runs.
        output: the file or folder that it writes: two stages with other outputs may share a work store.

    Raises:
        StoreError: if another process holds it, named with host, number, start and command; or if the lock file cannot
            be made.
    """
    place = str(output.resolve())
    file = work.resolve() / "locks" / f"{stage}-{output.name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}.lock"
    handle = _open(file)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno not in _BUSY:
                raise StoreError(
                    f"{file}: cannot be locked ({problem.strerror}); the work store (paths.work) must be on a file "
                    "system with locks: move it, or mount it with them"
                ) from None
            raise StoreError(
                f"{stage} is running already and writes {output}: {_holder(file)}; wait for it, or stop it and run the "
                f"same command again; lock file {file}"
            ) from None
        _note(handle, place)
        yield
    finally:
        os.close(handle)  # gives the lock back; the file stays, as another process may be waiting to look at it


def _open(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as problem:
        raise StoreError(
            f"{file}: {problem.strerror}; the work store (paths.work) must be writable and have room: correct it and "
            "run the same command again"
        ) from None


def _note(handle: int, output: str) -> None:
    """Say who holds the lock; a note that does not fit on the disk is none."""
    spec = sys.modules["__main__"].__spec__
    command = f"python -m {spec.name} {shlex.join(sys.argv[1:])}".strip() if spec else shlex.join(sys.argv)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command[:300]}
    os.ftruncate(handle, 0)
    try:
        os.pwrite(handle, json.dumps({**holder, "output": output}).encode(), 0)
    except OSError:
        os.ftruncate(handle, 0)


def _holder(file: Path) -> str:
    """Who holds the lock, as the file says. What a killed process left there is not told."""
    until = time.monotonic() + _FRESH_S
    while True:
        try:
            with file.open("rb") as stream:
                note = json.loads(stream.read(_MOST_NOTE))
            pid, host, since, command = (str(note[name])[:300] for name in ("pid", "host", "since", "command"))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pid, host = "", socket.gethostname()
        if host != socket.gethostname() or is_alive(pid):
            return f"pid {pid} on {host} since {since} ({command})".replace("\n", " ")
        if time.monotonic() > until:
            return "another process, or a helper that it left behind, holds it"
        time.sleep(0.05)


def one_at_a_time(stage: str) -> Callable[[_Run], _Run]:
    """Let a stage's ``run(dataset, settings, paths, ...)`` hold the lock on its output; errors as :func:`hold`."""

    def wrap(run: _Run) -> _Run:
        @functools.wraps(run)
        def alone(dataset: str, settings: Any, paths: Paths, *args: Any, **named: Any) -> None:
            with hold(paths.work, stage, getattr(paths, stage) / dataset):
                run(dataset, settings, paths, *args, **named)

        return cast("_Run", alone)

    return wrap
