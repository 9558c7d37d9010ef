"""Which files, members of archives and columns hold a pickle, which runs what its author wants when it is opened."""

from __future__ import annotations

import io
import pickletools
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from numpy.lib import format as npy

_NPY, _SHORTEST = b"\x93NUMPY", 4


def find_pickles(folder: Path) -> list[str]:
    """Names, relative to the folder, with ``!`` before a member; tar, zip, npz, npy and Parquet are looked into."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [f"{path.relative_to(folder)}{inner}" for path in files for inner in _inside(path.read_bytes(), path.name)]


def _inside(data: bytes, name: str) -> Iterator[str]:
    if name.endswith(".tar"):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                yield from (
                    f"!{member.name}{inner}" for inner in _inside(stream.read() if stream else b"", member.name)
                )
    elif zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from (f"!{member}{inner}" for inner in _inside(archive.read(member), member))
    elif data.startswith(_NPY):
        version = npy.read_magic(stream := io.BytesIO(data))
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        if reader(stream)[2].hasobject:
            yield ""
    elif name.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(data))
        for field in table.schema:
            if str(field.type) in ("binary", "large_binary") and any(map(is_pickle, table[field.name].to_pylist())):
                yield f"!{field.name}"
    elif is_pickle(data):
        yield ""


def is_pickle(data: bytes) -> bool:
    """Whether bytes are a program for the pickle machine, of any protocol, from the first byte to a stop."""
    if len(data) < _SHORTEST:
        return False
    try:
        return any(code.name == "STOP" for code, _, _ in pickletools.genops(data))
    except Exception:  # whatever else the bytes are, the machine would not get through
        return False
