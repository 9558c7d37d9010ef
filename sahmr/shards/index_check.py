"""A shard index is not believed: names, files and byte ranges are checked once, when it is opened. It only refuses."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sahmr.errors import ShardError
from sahmr.remote import Place

BLOCK = 512  # bytes; tar members begin and end on multiples
_NAME = re.compile(r"[^./\\\0][^/\\\0]*\.tar")
_REMEDY = "rebuild with: dvc repro shards"


def check_shard_name(name: str) -> str:
    """What is wrong with a shard's name; empty: nothing."""
    return "" if _NAME.fullmatch(name) else f"shard {name!r} is no plain file name ending in .tar"


def check_index(path: Place, table: pa.Table) -> None:
    """Insist that keys are sorted and unique, and samples lie in the folder's own files without overlap.

    Args:
        path: of the index, beside the shards.
        table: its rows.

    Raises:
        ShardError: naming the first row that is wrong.
    """
    keys = table.column("key")
    if len(keys) == 0:
        return
    _refuse(path, keys, _not_ascending(keys), "is not after the key before it; keys must be unique and sorted")
    shards = table.column("shard").combine_chunks().dictionary_encode()
    if isinstance(shards, pa.ChunkedArray):
        shards = shards.unify_dictionaries().combine_chunks()
    sizes = np.array([_size(path, name) for name in shards.dictionary.to_pylist()], dtype=np.int64)
    codes = shards.indices.to_numpy(zero_copy_only=False)
    offset, length = (table.column(name).to_numpy() for name in ("offset", "length"))
    _refuse(path, keys, (offset < 0) | (offset % BLOCK != 0), f"has an offset that is no multiple of {BLOCK}", offset)
    _refuse(path, keys, (length <= 0) | (length % BLOCK != 0), f"has a length that is no multiple of {BLOCK}", length)
    _refuse(path, keys, offset > sizes[codes] - length, "ends behind the end of its shard", offset)
    order = np.lexsort((offset, codes))
    same = codes[order][1:] == codes[order][:-1]
    overlap = np.zeros(len(keys), dtype=bool)
    overlap[order[1:]] = same & (offset[order][1:] < (offset + length)[order][:-1])
    _refuse(path, keys, overlap, "overlaps the sample before it in its shard", offset)


def check_shards(path: Path, ends: Mapping[str, int]) -> None:
    """Insist that shards are there and reach as far as their samples; for an index whose rows were checked before.

    Raises:
        ShardError: naming the first that is not.
    """
    for name, end in ends.items():
        if (size := _size(path, name)) < end:
            raise ShardError(f"{path.parent / name}: has {size} bytes, its samples end at {end}; {_REMEDY}")


def _not_ascending(keys: pa.ChunkedArray) -> NDArray[np.bool_]:
    wrong = np.zeros(len(keys), dtype=bool)
    wrong[1:] = pc.less_equal(keys.slice(1), keys.slice(0, len(keys) - 1)).to_numpy()
    return wrong


def _refuse(
    path: Place, keys: pa.ChunkedArray, wrong: NDArray[np.bool_], what: str, value: NDArray[np.integer] | None = None
) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        found = "" if value is None else f" (found {value[first]})"
        more = f", and {wrong.sum() - 1} more" if wrong.sum() > 1 else ""
        raise ShardError(f"{path}: sample {keys[first].as_py()!r} {what}{found}{more}; {_REMEDY}")


def _size(path: Place, name: str) -> int:
    """Bytes of a shard, sure to be a file of the index's folder."""
    if wrong := check_shard_name(name):
        raise ShardError(f"{path}: {wrong}; {_REMEDY}")
    try:
        state = (path.parent / name).lstat()
    except FileNotFoundError:
        raise ShardError(f"{path.parent / name}: no such shard, but the index names it; {_REMEDY}") from None
    except (OSError, ValueError) as problem:
        raise ShardError(f"{path.parent / name}: cannot be looked at ({problem}); {_REMEDY}") from None
    if not stat.S_ISREG(state.st_mode):
        raise ShardError(f"{path.parent / name}: is a link, a pipe, a device or a folder, expected a file; {_REMEDY}")
    return state.st_size
