"""Content that was fetched once, kept in a folder by its SHA-256: of a size at most, shared by processes, self-healing.

What stays when there is no room for all is a *stable subset*: the entries with the smallest digests, which is the same
choice in every epoch, order and process. Read over and over, a cache of half the data so serves half of the reads; one
that kept what was used last would serve none, because whatever comes round again was just thrown out.

The standard library only. Nothing here stops a reading: a folder that cannot be written is reported once.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("sahmr")

NOTICE = "NOTICE.txt"
_NOTICE = (
    "Copies of parts of datasets. Whoever may not have a dataset may not have this folder: its licence binds what lies "
    "here as it binds the dataset. Any of it may be deleted at any time.\n"
)
_STATE = "state.json"  # bytes kept and the digest from which on nothing is; also the lock of whoever changes it
_STALE_S = 7 * 86400.0  # what nobody read for so long goes first
_SEEN_S = 3600.0  # a read is noted at most once in so long
_LOOK_AGAIN_S = 3600.0  # after it a full cache looks for what is stale
_KEPT_SHARE = 0.99  # of the limit, after something was thrown out: looking through the folder takes a while
_NO_END = "~"  # greater than any digest
_LEFTOVER_S = 3600.0  # an unfinished entry of this age is nobody's


@dataclass(slots=True)
class _State:
    """What all processes know: bytes kept (roughly), where the kept digests end, and since when."""

    used: int = 0
    end: str = _NO_END
    since: float = 0.0

    def admits(self, sha256: str, length: int, limit: int) -> bool:
        """Whether an entry has a place."""
        is_old = time.time() - self.since > _LOOK_AGAIN_S
        return self.used + length <= limit or sha256 < self.end or is_old


class Cache:
    """Entries are found by their digest, whatever they were called and wherever they came from.

    Args:
        folder: made when first needed, for this user alone; processes of one machine may share it.
        limit: bytes; 0 keeps nothing.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._is_given_up = False

    def get(self, sha256: str, length: int) -> bytes | None:
        """Content of that digest and length; None if it is not there. A damaged entry is removed."""
        path = self._path(sha256)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as stream:
            try:
                state, data = os.fstat(handle), stream.read(length + 1)
            except OSError:
                return None
        if len(data) != length or hashlib.sha256(data).hexdigest() != sha256:
            with suppress(OSError):
                path.unlink()
            return None
        if time.time() - state.st_mtime > _SEEN_S:
            with suppress(OSError):
                os.utime(path)
        return data

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep contents by their SHA-256, those that are of the stable subset."""
        if self._is_given_up or not entries or not self.limit:
            return
        try:
            self._put(entries)
        except OSError as problem:
            self._is_given_up = True
            reason = problem.strerror or type(problem).__name__
            log.warning("%s: cannot be written (%s); what is fetched from now on is not kept", self.folder, reason)

    def _put(self, entries: Mapping[str, bytes]) -> None:
        state, written = self._read_state(), 0
        for sha256, data in entries.items():
            path = self._path(sha256)
            has_place = len(data) <= self.limit and state.admits(sha256, written + len(data), self.limit)
            if has_place and not path.exists():
                self._write(path, data)
                written += len(data)
        if not written:
            return
        with self._alone() as state:
            state.used += written
            if state.used > self.limit:
                self._make_room(state)

    def _write(self, path: Path, data: bytes) -> None:
        if not path.parent.is_dir():
            self._make(path.parent)
        partial = path.with_name(f".{path.name[:16]}.{os.getpid()}.{next(_NUMBERS)}.partial")
        try:
            partial.write_bytes(data)
            partial.replace(path)  # not flushed to the disk: an entry that is not whole is found out and fetched again
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _make(self, place: Path) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.folder / NOTICE).exists():
            (self.folder / NOTICE).write_text(_NOTICE)
        place.mkdir(exist_ok=True)

    def _read_state(self) -> _State:
        try:
            return _parsed((self.folder / _STATE).read_bytes())
        except FileNotFoundError:
            return _State()

    @contextmanager
    def _alone(self) -> Iterator[_State]:
        """Offer the state to one thread of one process at a time, and write it down."""
        with _THREADS, (self.folder / _STATE).open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            state = _parsed(stream.read())
            yield state
            stream.truncate(0)
            stream.write(json.dumps([state.used, state.end, state.since]).encode())

    def _make_room(self, state: _State) -> None:
        """Throw out what is stale, then the greatest digests; count anew what is there."""
        now, kept = time.time(), list[tuple[bool, str, int]]()
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                found = path.stat()
                if not path.name.startswith("."):
                    kept.append((now - found.st_mtime > _STALE_S, path.name, found.st_size))
                elif now - found.st_mtime > _LEFTOVER_S:
                    path.unlink()
        kept.sort()
        state.used, state.end, state.since = sum(size for _, _, size in kept), _NO_END, now
        while kept and state.used > self.limit * _KEPT_SHARE:
            is_stale, name, size = kept.pop()
            self._path(name).unlink(missing_ok=True)
            state.used -= size
            state.end = _NO_END if is_stale else name


_NUMBERS = itertools.count()  # of unfinished entries of this process
_THREADS = threading.Lock()  # a lock on a file keeps processes apart, and threads not everywhere
os.register_at_fork(before=_THREADS.acquire, after_in_parent=_THREADS.release, after_in_child=_THREADS.release)


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/sahmr/samples``, by default in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sahmr/samples"


def _parsed(text: bytes) -> _State:
    """The state as it was written down; without one, or a damaged one, the next entry has it counted anew."""
    try:
        used, end, since = json.loads(text)
        return _State(int(used), str(end), float(since))
    except (ValueError, TypeError):
        return _State(used=2**62, since=0.0)
