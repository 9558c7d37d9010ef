"""Reading a folder of shards: its index, and any sample by its byte range."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import google_crc32c
import pyarrow as pa

from sahmr.errors import ContentError, ShardError
from sahmr.files import open_regular
from sahmr.remote import Place, RemotePath
from sahmr.shards.ahead import Ahead
from sahmr.shards.decode import StoredGeometry, StoredSample, decode_geometry, decode_sample
from sahmr.shards.index_check import check_index, check_shard_name
from sahmr.shards.mapped import MAPPED_BYTES, mapped_table
from schemas.fields import Rows, read_table
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry

INDEX_NAME = "index.parquet"
_BESIDE = 50  # keys on either side of a wrong one that are compared with it


class ShardReader:
    """Random access to the samples of one shard folder; files are opened when first read, per process.

    A sample's bytes are compared with the CRC-32C of the index, where it has one. Of shards that lie elsewhere only
    a sample's bytes are asked for, and their SHA-256 is compared; :meth:`expect` has them fetched beforehand.

    Args:
        folder: of tars and index.
        is_checked: False: believe local files; for measurements.
    """

    def __init__(self, folder: Place, *, is_checked: bool = True) -> None:
        self.folder, self.is_checked = folder, is_checked
        self._files: dict[tuple[int, str], tuple[int, int]] = {}  # handle and length
        self._ahead = Ahead(self._fetch, self._fetch_all) if isinstance(folder, RemotePath) else None

    @property
    def is_remote(self) -> bool:
        """Whether samples come from a server."""
        return self._ahead is not None

    def expect(self, entries: Sequence[ShardEntry], *, more: bool = False) -> None:
        """Samples that are read soon, alone or beside those said before: a server's are fetched meanwhile."""
        if self._ahead is not None:
            self._ahead.ask({entry.key: entry for entry in entries}, more=more)

    def read(self, entry: ShardEntry, *, verify: bool = False) -> bytes:
        """Bytes of one sample.

        Args:
            entry: its row of the index.
            verify: compare the SHA-256, which no accident and no ill will gets by.

        Raises:
            ShardError: if the shard is missing, no file, too short, or not what the index says.
            RemoteError: if it lies elsewhere and cannot be had.
        """
        is_sure = False
        try:
            data, is_sure = self._bytes(entry)
        except ContentError as problem:
            data = problem.found
        except OSError as problem:
            raise self._refused(entry, str(problem.strerror)) from None
        if len(data) != entry.length or entry.offset < 0:
            raise self._refused(entry, f"found {len(data)} of {entry.length} bytes")
        is_asked = verify or self._ahead is not None
        if is_asked and not is_sure and hashlib.sha256(data).hexdigest() != entry.sha256:
            raise self._refused(entry, "SHA-256 differs from the index")
        if self.is_checked and entry.crc32c is not None and google_crc32c.value(data) != entry.crc32c:
            raise self._refused(entry, "CRC-32C differs from the index")
        return data

    def _refused(self, entry: ShardEntry, reason: str) -> ShardError:
        return ShardError(f"{self.folder / entry.shard}: sample {entry.key}: {reason}; rebuild with: dvc repro shards")

    def decode(self, entry: ShardEntry, *, verify: bool = False) -> StoredSample:
        """One sample, decoded. Errors as :meth:`read` and :func:`sahmr.shards.decode.decode_sample`."""
        return decode_sample(self.read(entry, verify=verify), place=f"{self.folder / entry.shard}: sample {entry.key}")

    def geometry(self, entry: ShardEntry) -> StoredGeometry:
        """One sample without its picture. Errors as :meth:`read` and :func:`sahmr.shards.decode.decode_geometry`."""
        return decode_geometry(self.read(entry), place=f"{self.folder / entry.shard}: sample {entry.key}")

    def _bytes(self, entry: ShardEntry) -> tuple[bytes, bool]:
        """As many of a sample's bytes as its shard has, and whether their SHA-256 was compared."""
        if self._ahead is not None:
            self._path(entry.shard)
            return self._ahead.take(entry.key, entry), True
        file, size = self._files.get((os.getpid(), entry.shard)) or self._open_file(entry.shard)
        start = max(0, entry.offset)
        return os.pread(file, max(0, min(entry.length, size - start)), start), False

    def _fetch(self, entry: ShardEntry) -> bytes:
        shard = self._path(entry.shard)
        assert isinstance(shard, RemotePath)
        return shard.read_range(max(0, entry.offset), max(0, entry.length), entry.sha256)

    def _fetch_all(self, entries: Sequence[ShardEntry]) -> list[bytes | None]:
        assert isinstance(self.folder, RemotePath)
        return self.folder.read_ranges(
            [(entry.shard, max(0, entry.offset), max(0, entry.length), entry.sha256) for entry in entries]
        )

    def _open_file(self, shard: str) -> tuple[int, int]:
        """A shard's handle and length, in this process from now on."""
        path = self._path(shard)
        assert isinstance(path, Path)
        handle = open_regular(path)
        opened = handle, os.fstat(handle).st_size
        kept = self._files.setdefault((os.getpid(), shard), opened)
        if kept is not opened:  # another thread was faster
            os.close(handle)
        return kept

    def _path(self, shard: str) -> Place:
        if wrong := check_shard_name(shard):
            raise ShardError(f"{self.folder}: {wrong}; rebuild with: dvc repro shards")
        return self.folder / shard

    def close(self) -> None:
        """Close this process's files; the next read opens them again."""
        for pid, shard in list(self._files):
            if pid == os.getpid():
                os.close(self._files.pop((pid, shard))[0])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": {}}

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()


def read_index(folder: Place) -> Rows[ShardEntry]:
    """Rows of a shard folder's index, sorted by key; they stay columns, names that repeat are kept once.

    A large one is mapped into memory (:mod:`sahmr.shards.mapped`).

    Raises:
        ShardError: if there is no index, or a row leads out of the folder's shards.
        SchemaError: if it is damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise ShardError(f"{path}: no shard index; make it with: dvc repro shards")
    if not isinstance(path, RemotePath) and path.stat().st_size >= MAPPED_BYTES:
        return Rows(mapped_table(path, lambda: _checked(path)), ShardEntry)
    return Rows(_checked(path), ShardEntry)


def find_key(entries: Rows[ShardEntry], key: str, *, of: str) -> int:
    """Number of the row of a key, found by halves; ``of`` says in an error whose rows they are.

    Raises:
        KeyError: if there is none; it names the nearest.
    """
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if entries.value("key", middle) < key else (low, middle)
    if low < len(entries) and entries.value("key", low) == key:
        return low
    beside = [entries.value("key", row) for row in range(max(0, low - _BESIDE), min(len(entries), low + _BESIDE))]
    near = difflib.get_close_matches(key, beside, n=3, cutoff=0)
    raise KeyError(f"{key}: no sample of {of} has this key; the nearest: {', '.join(near)}")


def _checked(path: Place) -> pa.Table:
    table = read_table(path, SHARD_INDEX_SCHEMA)
    check_index(path, table)
    for place, name in enumerate(table.column_names):
        if name in ("split", "sequence", "scene_key", "shard"):
            table = table.set_column(place, name, table.column(name).dictionary_encode())
    return table.combine_chunks()
