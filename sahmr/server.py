"""The door for fsspec: a folder behind an address. Whatever a server, a network or a library raises becomes one
:class:`sahmr.errors.RemoteError` in one line that names the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from sahmr.errors import RemoteError
from sahmr.repository import is_repository, open_repository

_PACKAGES = {"s3": "s3", "s3a": "s3", "ssh": "ssh", "sftp": "ssh"}  # protocol -> extra of ours that brings it
_SHOWN = 200  # characters of what a library says
_LATER = (408, 429)  # of HTTP's refusals those that ask for patience
_PASSWORD = re.compile(r"(?<=//)[^/@\s]*@")


class Server:
    """A folder behind a URL; connections are opened when first needed, per process.

    Args:
        url: ``s3://``, ``ssh://``, ``sftp://``, ``http(s)://``, ``file://``, a path, or a folder of a DVC repository
            (:mod:`sahmr.repository`).
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
        return self._cut(data, start, length)

    def read_ranges(self, asked: Sequence[tuple[str, int, int]], connections: int) -> list[bytes | None]:
        """Parts of files (name, start, length), ``connections`` at a time; None in place of what cannot be read.

        Where fsspec's filesystem is asynchronous they are one call, a third cheaper than a call each from threads.
        """
        fs, root = self._filesystem()
        if not fs.async_impl:
            with ThreadPoolExecutor(min(connections, len(asked) or 1)) as pool:
                return list(pool.map(self._try, asked))
        paths = [f"{root}/{name}" for name, _, _ in asked]
        starts, ends = [start for _, start, _ in asked], [start + length for _, start, length in asked]
        try:
            found = fs.cat_ranges(paths, starts, ends, batch_size=connections, on_error="return")
        except Exception:  # as in `read`; whoever needs one of them reads it, and hears why not
            return [None] * len(asked)
        return [
            None if isinstance(data, Exception) else self._cut(bytes(data), start, length)
            for data, (_, start, length) in zip(found, asked, strict=True)
        ]

    def _try(self, asked: tuple[str, int, int]) -> bytes | None:
        try:
            return self.read(*asked)
        except RemoteError:
            return None

    def _cut(self, data: bytes, start: int, length: int) -> bytes:
        """A part, also from a server that sends the whole file."""
        if len(data) <= length:
            return data
        self.has_ranges = False
        return data[start : start + length]

    def _filesystem(self) -> tuple[Any, str]:
        """The filesystem of this process, and the folder's path on it."""
        if os.getpid() not in self._opened:
            if is_repository(self.url):
                self._opened[os.getpid()] = open_repository(self.url)
                return self._opened[os.getpid()]
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
        error = RemoteError(f"{place}: cannot be read ({text}); check network and credentials and run it again")
        status = getattr(problem, "status", 500)  # of HTTP
        error.may_pass = not isinstance(problem, PermissionError) and (status >= 500 or status in _LATER)
        return error
