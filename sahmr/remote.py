"""Files of a published dataset wherever they lie, each sure to be what its manifest says.

Nothing is written but into a cache, if there is one (:mod:`sahmr.cache`).
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sahmr.cache import Cache
from sahmr.errors import ContentError, RemoteError
from sahmr.server import Server

Range = tuple[str, int, int, str]
"""Part of a file: its name, where it starts, how long it is, its SHA-256."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0  # between tries


@dataclass(frozen=True, slots=True)
class _State:
    """The two fields of ``os.stat_result`` that are asked for."""

    st_size: int
    st_mode: int = stat.S_IFREG | 0o444


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a server's files are fetched.

    Attributes:
        cache: what was fetched is kept there.
        patience_s: how long a server that does not answer is asked again.
        connections: requests at a time, of each process.
    """

    cache: Cache | None = None
    patience_s: float = 0.0
    connections: int = 8


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """Files of one version of a dataset.

    Attributes:
        server: where its root is.
        version: SHA-256 of the manifest that all others hang on.
        files: length and SHA-256 of each file, by its name relative to the root.
        held: content of files that are in memory already.
        reach: how they are fetched.
    """

    server: Server
    version: str
    files: Mapping[str, tuple[int, str]]
    held: Mapping[str, bytes] = field(default_factory=dict)
    reach: Reach = field(default_factory=Reach)

    def read(self, name: str) -> bytes:
        """A whole file, sure to be what the manifest says.

        Raises:
            RemoteError: if it is not there, cut off, or of other content.
        """
        if name in self.held:
            return self.held[name]
        if name not in self.files:
            raise RemoteError(f"{self.server}/{name}: not in the manifest; published are {len(self.files)} other files")
        try:
            return self.fetch(name, *self.files[name])
        except ContentError as problem:
            wrong = difference(problem.found, *self.files[name])
            raise RemoteError(f"{self.server}/{name}: {wrong}; ask its publisher to send it again") from None

    def fetch(self, name: str, length: int, sha256: str, *, start: int | None = None) -> bytes:
        """Content of a known digest, from the cache or the server: a file, or from ``start`` on ``length`` bytes of it.

        Raises:
            RemoteError: if the server does not answer for longer than ``reach`` has patience.
            ContentError: if it sends other bytes, with patience twice.
        """
        cache, waits = self.reach.cache, _waits(self.reach.patience_s)
        if cache is not None and (kept := cache.get(sha256, length)) is not None:
            return kept
        tries = 2 if self.reach.patience_s else 1
        while True:
            try:
                data = self.server.read(name) if start is None else self.server.read(name, start, length)
            except RemoteError as problem:
                wait = next(waits, None)
                if not problem.may_pass or wait is None:
                    raise
                time.sleep(wait)
                continue
            if not (wrong := difference(data, length, sha256)):
                break
            if (tries := tries - 1) == 0:
                raise ContentError(f"{self.server}/{name}: {wrong}", data)
        if cache is not None:
            cache.put({sha256: data})
        return data

    def fetch_all(self, wanted: Sequence[Range]) -> list[bytes | None]:
        """The same of many parts at once and without patience; None in place of one that cannot be had like that."""
        cache = self.reach.cache
        found = [None if cache is None else cache.get(sha256, length) for _, _, length, sha256 in wanted]
        missing = [place for place, data in enumerate(found) if data is None]
        came = self.server.read_ranges([wanted[place][:3] for place in missing], self.reach.connections)
        for place, data in zip(missing, came, strict=True):
            if data is not None and not difference(data, *wanted[place][2:]):
                found[place] = data
        if cache is not None:
            cache.put({wanted[place][3]: data for place in missing if (data := found[place]) is not None})
        return found


def _waits(patience_s: float) -> Iterator[float]:
    """Seconds between tries, longer and longer, while there is patience."""
    end, wait = time.monotonic() + patience_s, _FIRST_WAIT_S
    while (left := end - time.monotonic()) > 0:
        yield min(wait, left)
        wait = min(2 * wait, _LONGEST_WAIT_S)


def difference(data: bytes, length: int, sha256: str) -> str:
    """What is wrong with a file's content; empty: nothing."""
    if len(data) != length:
        return f"has {len(data)} bytes, the manifest says {length}"
    return "" if hashlib.sha256(data).hexdigest() == sha256 else "SHA-256 differs from the manifest"


class RemotePath:
    """A file or folder of a published dataset, with as much of ``Path`` as the readers of tables and stores use.

    What there is, and how long it is, the manifest says: only reading asks the server.
    """

    __slots__ = ("name_in_root", "published")

    def __init__(self, published: Published, name_in_root: str = "") -> None:
        self.published, self.name_in_root = published, name_in_root

    def __str__(self) -> str:
        return f"{self.published.server}/{self.name_in_root}".rstrip("/")

    def _key(self) -> tuple[str, str, str]:
        return self.published.server.url, self.published.version, self.name_in_root

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __lt__(self, other: RemotePath) -> bool:
        return self.name_in_root < other.name_in_root

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.published, "/".join(part for part in (self.name_in_root, name) if part))

    def joinpath(self, *names: str) -> RemotePath:
        """``/`` of several names."""
        return self / "/".join(names)

    @property
    def name(self) -> str:
        """Its last part."""
        return self.name_in_root.rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder it is in."""
        return RemotePath(self.published, self.name_in_root.rpartition("/")[0])

    @property
    def parents(self) -> list[RemotePath]:
        """All folders it is in, the innermost first."""
        parts = self.name_in_root.split("/")
        return [RemotePath(self.published, "/".join(parts[:depth])) for depth in range(len(parts) - 1, -1, -1)]

    def relative_to(self, folder: RemotePath) -> str:
        """Its name in a folder above it."""
        return self.name_in_root.removeprefix(f"{folder.name_in_root}/")

    def is_file(self) -> bool:
        """Whether the manifest lists it."""
        return self.name_in_root in self.published.files

    def is_symlink(self) -> bool:
        """Never: a published name is a file."""
        return False

    def lstat(self) -> _State:
        """Its length, as the manifest says. Raises FileNotFoundError if it lists no such file."""
        if not self.is_file():
            raise FileNotFoundError(str(self))
        return _State(self.published.files[self.name_in_root][0])

    stat = lstat

    @property
    def sha256(self) -> str:
        """As the manifest says. Raises KeyError if it lists no such file."""
        return self.published.files[self.name_in_root][1]

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Files below it whose names relative to it match; ``*`` stands for one part of a name."""
        for path in self.below():
            name = path.relative_to(self)
            if name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern):
                yield path

    def below(self) -> Iterator[RemotePath]:
        """All files below it."""
        start = f"{self.name_in_root}/" if self.name_in_root else ""
        for name in self.published.files:
            if name.startswith(start):
                yield RemotePath(self.published, name)

    def read_bytes(self) -> bytes:
        """All of it. Errors as :meth:`Published.read`."""
        return self.published.read(self.name_in_root)

    def read_range(self, start: int, length: int, sha256: str) -> bytes:
        """Some bytes, sure to have that digest. Errors as :meth:`Published.fetch`."""
        return self.published.fetch(self.name_in_root, length, sha256, start=start)

    def read_ranges(self, wanted: Sequence[Range]) -> list[bytes | None]:
        """The same of many files of this folder. See :meth:`Published.fetch_all`."""
        return self.published.fetch_all([((self / each[0]).name_in_root, *each[1:]) for each in wanted])

    def open(self, mode: str = "rb") -> io.BytesIO:
        """All of it as a file in memory. Errors as :meth:`Published.read`."""
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: published files are only read")
        return io.BytesIO(self.read_bytes())

    def hold(self) -> RemotePath:
        """The same place with all files below it in memory, for readers that look at them more than once."""
        held = {path.name_in_root: path.read_bytes() for path in self.below()}
        return RemotePath(replace(self.published, held=held), self.name_in_root)

    def contents(self) -> dict[str, bytes]:
        """Content of each file below it, by its name relative to it."""
        return {path.relative_to(self): path.read_bytes() for path in self.below()}


Place = Path | RemotePath
"""Where a table, a folder of shards or a store may lie."""
