"""A large index as an Arrow file that every process maps into memory, made once from the Parquet file.

That stays the truth. The copy lies in the user's cache and is found again by what the disk says of the Parquet file and
by its footer; it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa

from sahmr.errors import ShardError
from sahmr.files import publish_file
from sahmr.shards.index_check import check_shards

MAPPED_BYTES = 2**25  # from a Parquet file of this length on, some 800 000 samples
FORMAT = b"1"  # of the copies
_FOOTER = 2**16  # bytes at a file's end that go into its name
_KEPT = 8  # copies, those used last
_ENDS = b"sahmr.shard_ends"


def cache_folder() -> Path:
    """Where copies lie: ``$XDG_CACHE_HOME/sahmr/index``, by default in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sahmr/index"


def mapped_table(path: Path, read: Callable[[], pa.Table]) -> pa.Table:
    """An index, mapped; its values take no memory until they are looked at, and share it between processes.

    Args:
        path: the Parquet file.
        read: reads and checks it, if there is no copy yet; one chunk, shards as a dictionary.

    Raises:
        ShardError: if a shard is gone or too short, or the copy cannot be written.
    """
    copy = cache_folder() / f"{_name_of(path)}.arrow"
    with suppress(OSError, pa.ArrowException):  # none yet, or damaged: it is made again
        table = _map(copy)
        os.utime(copy)
        check_shards(path, json.loads(table.schema.metadata[_ENDS]))
        return table
    table = read()
    try:
        _write(copy, table)
        return _map(copy)
    except OSError as problem:
        raise ShardError(
            f"{copy}: cannot be written ({problem.strerror or problem}); a large index needs this copy: make room, or "
            "set XDG_CACHE_HOME to another folder"
        ) from None


def _name_of(path: Path) -> str:
    with path.open("rb") as stream:
        state = os.fstat(stream.fileno())
        stream.seek(max(0, state.st_size - _FOOTER))
        said = [state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, stream.read().hex()]
    return hashlib.sha256(FORMAT + json.dumps(said).encode()).hexdigest()


def _map(copy: Path) -> pa.Table:
    table = pa.ipc.open_file(pa.memory_map(str(copy))).read_all()
    table.validate()
    return table


def _write(copy: Path, table: pa.Table) -> None:
    shards = table.column("shard").combine_chunks()
    ends = np.zeros(len(shards.dictionary), np.int64)
    offset, length = (table.column(name).to_numpy() for name in ("offset", "length"))
    np.maximum.at(ends, shards.indices.to_numpy(), offset + length)
    said = json.dumps(dict(zip(shards.dictionary.to_pylist(), ends.tolist(), strict=True)))
    schema = table.schema.with_metadata({**(table.schema.metadata or {}), _ENDS: said.encode()})
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with publish_file(copy) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata))
    others = sorted(copy.parent.glob("*.arrow"), key=lambda each: each.stat().st_mtime_ns)
    for each in others[:-_KEPT]:
        each.unlink(missing_ok=True)  # who has mapped it keeps it
