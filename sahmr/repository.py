"""Files of a DVC repository at a revision, read from its remote where they lie: nobody pulls.

``dvc+REPOSITORY@REVISION#FOLDER``: the repository as git knows it (``https://``, ``ssh://``, a folder), a branch, tag
or commit, and a folder in it, such as ``dvc+https://server/team/sahmr.git@v2#data/shards``.
"""

from __future__ import annotations

import re
from typing import Any

from sahmr.errors import RemoteError

_ADDRESS = re.compile(r"dvc\+(?P<repository>[^#]+)@(?P<revision>[^@#:]+)#(?P<folder>[^#]+)")


def is_repository(url: str) -> bool:
    """Whether an address means a DVC repository."""
    return url.startswith("dvc+")


def wrong_with(url: str) -> str:
    """What an address of a DVC repository lacks; empty: nothing."""
    return "" if _ADDRESS.fullmatch(url) else "dvc+REPOSITORY@REVISION#FOLDER"


def open_repository(url: str) -> tuple[Repository, str]:
    """The files of a repository, and the folder's path in it.

    Raises:
        RemoteError: if the address is none, or there is no such repository or revision.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise RemoteError(f"{url}: no address of a DVC repository; write {wrong_with(url)}")
    return Repository(found["repository"], found["revision"]), found["folder"].rstrip("/")


class Repository:
    """Just enough of a filesystem: ``cat_file``.

    DVC is asked once for each file where its content lies; ranges then come from there directly. Through DVC's own
    files each would cost three requests and read 5 MB ahead.
    """

    async_impl = False  # as fsspec's filesystems say

    def __init__(self, repository: str, revision: str) -> None:
        from dvc.api import DVCFileSystem  # not earlier: it takes a second

        self._files = DVCFileSystem(repository, rev=revision)
        self._places: dict[str, tuple[Any, str]] = {}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Content of a file, or some of it. Errors: whatever git, DVC and the remote's library raise."""
        if path not in self._places:
            self._places[path] = self._find(path)
        files, place = self._places[path]
        return bytes(files.cat_file(place, start=start, end=end))

    def _find(self, path: str) -> tuple[Any, str]:
        """Where the content of a file lies: in a cache that is at hand, or in the repository's default remote."""
        entry = self._files.info(path).get("dvc_info", {}).get("entry")
        if entry is None:  # git has it
            return self._files, path
        stored = self._files.repo.index.data["repo"].storage_map[entry.key]
        for storage in (stored.cache, stored.remote):
            found = storage and storage.get(entry)
            if found and found[0].exists(found[1]):
                return found[0], found[1]
        raise FileNotFoundError(path)
