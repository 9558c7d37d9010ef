"""The door for fsspec: the files of a published dataset wherever they lie, each sure to be what its manifest says.

Nothing is written: what is read stays in memory. Whatever a server, a network or a library raises becomes one
:class:`sahmr.errors.RemoteError` in one line that names the file.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sahmr.errors import RemoteError

_PACKAGES = {"s3": "s3", "s3a": "s3", "ssh": "ssh", "sftp": "ssh"}  # protocol -> extra of ours that brings it
_SHOWN = 200  # characters of what a library says
_PASSWORD = re.compile(r"(?<=//)[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class _State:
    """The two fields of ``os.stat_result`` that are asked for."""

    st_size: int
    st_mode: int = stat.S_IFREG | 0o444


class Server:
    """A folder behind a URL; connections are opened when first needed, per process.

    Args:
        url: ``s3://``, ``ssh://``, ``sftp://``, ``http(s)://``, ``file://`` or a path.
        options: what fsspec's filesystem takes besides: endpoint, user, key file.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.url, self.options = url.rstrip("/"), dict(options or {})
        self.has_ranges = True  # until it sends more than was asked for
        self._opened: dict[int, tuple[Any, str]] = {}

    def __str__(self) -> str:
        return _PASSWORD.sub("", self.url)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """A file, or ``length`` bytes of it from ``start`` on; fewer where it ends.

        Raises:
            RemoteError: if there is no such file, or it cannot be read.
        """
        try:
            fs, root = self._filesystem()
            if length is None:
                return bytes(fs.cat_file(f"{root}/{name}"))
            data = bytes(fs.cat_file(f"{root}/{name}", start=start, end=start + length))
        except RemoteError:
            raise
        except Exception as problem:  # aiohttp, botocore and asyncssh raise many types
            raise self._refused(name, problem) from None
        if len(data) <= length:
            return data
        self.has_ranges = False
        return data[start : start + length]

    def _filesystem(self) -> tuple[Any, str]:
        """The filesystem of this process, and the folder's path on it."""
        if os.getpid() not in self._opened:
            import fsspec  # not earlier: who reads local files alone need not wait for it

            try:
                fs, root = fsspec.core.url_to_fs(self.url, skip_instance_cache=True, **self.options)
            except ImportError:
                extra = _PACKAGES.get(urlsplit(self.url).scheme, "")
                remedy = f"pip install 'sahmr-pipeline[{extra}]'" if extra else "install the package fsspec names"
                raise RemoteError(f"{self}: the package for such addresses is missing; {remedy}") from None
            self._opened[os.getpid()] = (fs, str(root).rstrip("/"))
        return self._opened[os.getpid()]

    def _refused(self, name: str, problem: Exception) -> RemoteError:
        place = f"{self}/{name}" if name else f"{self}"
        if isinstance(problem, FileNotFoundError | NotADirectoryError) or "No such file" in str(problem):
            return RemoteError(f"{place}: not there; compare the address with the publisher's, or pull another version")
        text = _PASSWORD.sub("", " ".join(str(problem).split()))[:_SHOWN] or type(problem).__name__
        return RemoteError(f"{place}: cannot be read ({text}); check network and credentials and run it again")


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """Files of one version of a dataset.

    Attributes:
        server: where its root is.
        version: SHA-256 of the manifest that all others hang on.
        files: length and SHA-256 of each file, by its name relative to the root.
        held: content of files that are in memory already.
    """

    server: Server
    version: str
    files: Mapping[str, tuple[int, str]]
    held: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        """A whole file, sure to be what the manifest says.

        Raises:
            RemoteError: if it is not there, cut off, or of other content.
        """
        if name in self.held:
            return self.held[name]
        if name not in self.files:
            raise RemoteError(f"{self.server}/{name}: not in the manifest; published are {len(self.files)} other files")
        data = self.server.read(name)
        if wrong := difference(data, *self.files[name]):
            raise RemoteError(f"{self.server}/{name}: {wrong}; ask its publisher to send it again")
        return data


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

    def read_range(self, start: int, length: int) -> bytes:
        """Some bytes, which whoever asks must compare with a digest of their own. Errors as :meth:`Server.read`."""
        return self.published.server.read(self.name_in_root, start, length)

    def open(self, mode: str = "rb") -> io.BytesIO:
        """All of it as a file in memory. Errors as :meth:`Published.read`."""
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: published files are only read")
        return io.BytesIO(self.read_bytes())

    def hold(self) -> RemotePath:
        """The same place with all files below it in memory, for readers that look at them more than once."""
        held = {path.name_in_root: path.read_bytes() for path in self.below()}
        published = Published(self.published.server, self.published.version, self.published.files, held)
        return RemotePath(published, self.name_in_root)

    def contents(self) -> dict[str, bytes]:
        """Content of each file below it, by its name relative to it."""
        return {path.relative_to(self): path.read_bytes() for path in self.below()}


Place = Path | RemotePath
"""Where a table, a folder of shards or a store may lie."""
