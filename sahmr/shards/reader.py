"""Reading a folder of shards: its index, and any sample by its byte range."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sahmr.errors import ShardError
from sahmr.shards.decode import StoredGeometry, StoredSample, decode_geometry, decode_sample
from schemas.fields import from_table, read_table
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry

INDEX_NAME = "index.parquet"


class ShardReader:
    """Random access to the samples of one shard folder; files are opened when first read, per process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[tuple[int, str], int] = {}

    def read(self, entry: ShardEntry, *, verify: bool = False) -> bytes:
        """Bytes of one sample.

        Args:
            entry: its row of the index.
            verify: also compare the SHA-256.

        Raises:
            ShardError: if the shard is missing, too short, or (``verify``) not what the index says.
        """
        place = f"{self.folder / entry.shard}: sample {entry.key}"
        data = os.pread(self._open(entry.shard), entry.length, entry.offset)
        if len(data) != entry.length:
            raise ShardError(f"{place}: found {len(data)} of {entry.length} bytes; rebuild with: dvc repro shards")
        if verify and hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ShardError(f"{place}: SHA-256 differs from the index; rebuild with: dvc repro shards")
        return data

    def decode(self, entry: ShardEntry, *, verify: bool = False) -> StoredSample:
        """One sample, decoded. Errors as :meth:`read` and :func:`sahmr.shards.decode.decode_sample`."""
        return decode_sample(self.read(entry, verify=verify), place=f"{self.folder / entry.shard}: sample {entry.key}")

    def geometry(self, entry: ShardEntry) -> StoredGeometry:
        """One sample without its picture. Errors as :meth:`read` and :func:`sahmr.shards.decode.decode_geometry`."""
        return decode_geometry(self.read(entry), place=f"{self.folder / entry.shard}: sample {entry.key}")

    def _open(self, shard: str) -> int:
        key = (os.getpid(), shard)
        if key not in self._files:
            try:
                self._files[key] = os.open(self.folder / shard, os.O_RDONLY)
            except OSError as problem:
                raise ShardError(f"{self.folder / shard}: {problem.strerror}; rebuild with: dvc repro shards") from None
        return self._files[key]

    def close(self) -> None:
        """Close this process's files; the next read opens them again."""
        for pid, shard in list(self._files):
            if pid == os.getpid():
                os.close(self._files.pop((pid, shard)))

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": {}}

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()


def read_index(folder: Path) -> list[ShardEntry]:
    """Rows of a shard folder's index, sorted by key.

    Raises:
        ShardError: if there is no index.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise ShardError(f"{path}: no shard index; make it with: dvc repro shards")
    return from_table(read_table(path, SHARD_INDEX_SCHEMA), ShardEntry)
