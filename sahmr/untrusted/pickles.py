"""Pickles, ``.npy`` and ``.npz`` files of strangers, read without running anything from them."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sahmr.errors import RawDataError
from sahmr.untrusted import unpickler
from sahmr.untrusted.arrays import check_shape
from sahmr.untrusted.budget import ALLOWED, RefusedError
from sahmr.untrusted.regular import LARGEST, open_regular, read_regular

_LARGEST_MEMBER = 1 << 29  # bytes, inflated; the largest published one, SMPL-X's pose directions, has 122 MB
_LARGEST_ARCHIVE = 1 << 31  # all members together; the largest published archive has 300 MB
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy's
_ENCRYPTED = 1  # flag of a member


def read_pickle(content: bytes, where: str, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read one pickle from memory; ``where`` names it in the error message."""
    with _told_as(error, f"{where}: damaged or not a pickle"):
        try:
            return unpickler.read(content)
        except RefusedError as problem:
            raise error(f"{where}: not read, found {problem}; allowed in a pickle: {ALLOWED}") from None


@contextmanager
def _told_as(error: type[RawDataError], what: str) -> Iterator[None]:
    """Turn whatever reading raises into one error.

    Of bytes that a stranger damaged, ``zipfile``, ``zlib``, ``ast``, numpy and the unpickler raise a dozen unrelated
    exceptions, documented or not; flipping random bytes finds them all (``tests/untrusted/test_pickles.py``).
    """
    try:
        yield
    except RawDataError:
        raise
    except Exception as problem:
        reason = f"{type(problem).__name__}: {problem}".replace("\n", " ").removesuffix(": ")[:200]
        raise error(f"{what} ({reason}); fetch it again") from None


def load_pickle(path: Path, *, most_bytes: int = LARGEST, error: type[RawDataError] = RawDataError) -> Any:
    """Read a pickle file of Python 2 or 3 (latin1) without running code from it.

    Chumpy objects come back as numpy arrays, whatever else is not plain data raises.

    Raises:
        RawDataError: (or ``error``) if the file is missing, damaged, larger than ``most_bytes``, holds a class that is
            not allowed, or makes more of its bytes than honest ones need: :class:`sahmr.untrusted.budget.Budget`.
    """
    return read_pickle(read_regular(path, most_bytes=most_bytes, error=error), str(path), error=error)


def _read_npy(content: bytes, where: str, error: type[RawDataError]) -> Any:
    """The bytes of an npy file; object arrays go through the restricted unpickler."""
    stream = io.BytesIO(content)
    with _told_as(error, f"{where}: not a readable .npy file"):
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        count, found = math.prod(check_shape(shape)), len(content) - stream.tell()
        if not dtype.hasobject:
            if count * dtype.itemsize != found or not dtype.itemsize:  # numpy sets the space aside before it reads
                raise ValueError(f"{found} bytes of data, its header promises {count} of {dtype}"[:160])
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    array = read_pickle(content[stream.tell() :], where, error=error)
    if not isinstance(array, np.ndarray) or array.size != count:
        raise error(f"{where}: its content does not fit its header {shape}; fetch it again")
    return array.reshape(shape, order="F" if fortran else "C")


def load_npy(path: Path, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read an ``.npy`` file; a pickled object inside (0-d object array) comes back as that object.

    Raises:
        RawDataError: (or ``error``) if it is missing, damaged, or its pickle holds a forbidden class.
    """
    array = _read_npy(read_regular(path, error=error), str(path), error)
    return array.item() if array.dtype == object and array.ndim == 0 else array


@contextmanager
def _archive(path: Path, error: type[RawDataError]) -> Iterator[tuple[zipfile.ZipFile, tuple[str, ...]]]:
    """An ``.npz`` and the names of its arrays."""
    with open_regular(path, error=error) as stream:
        with _told_as(error, f"{path}: not an npz archive"):
            archive = zipfile.ZipFile(stream)
            names = archive.namelist()
            _check_members(archive.infolist())
        if odd := [name for name in names if not name.endswith(".npy")]:
            raise error(f"{path}: not an npz archive (it holds {odd[:3]}, allowed are .npy files only); fetch it again")
        yield archive, tuple(name.removesuffix(".npy") for name in names)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Insist that an archive can be read, is not larger than any published one, and says each thing once."""
    names = set[str]()
    for member in members:
        if member.filename in names:
            raise ValueError(f"{member.filename[:40]!r} is in it twice")
        names.add(member.filename)
        if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
            raise ValueError(f"{member.filename[:40]!r} is encrypted or packed in another way than numpy does")
        if member.file_size > _LARGEST_MEMBER:
            raise ValueError(f"{member.filename[:40]!r} claims {member.file_size:,} bytes, at most {_LARGEST_MEMBER:,}")
    if (total := sum(member.file_size for member in members)) > _LARGEST_ARCHIVE:
        raise ValueError(f"its members claim {total:,} bytes, at most {_LARGEST_ARCHIVE:,}")


def npz_keys(path: Path, *, error: type[RawDataError] = RawDataError) -> tuple[str, ...]:
    """Names of the arrays in an ``.npz``, without reading any of them.

    Raises:
        RawDataError: (or ``error``) if the file is missing or no archive of arrays.
    """
    with _archive(path, error) as (_, keys):
        return keys


def load_npz_member(path: Path, key: str, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read one array of an ``.npz`` and touch no other; object arrays through the restricted unpickler.

    Raises:
        RawDataError: (or ``error``) if the file or key is missing or damaged.
    """
    with _archive(path, error) as (archive, keys):
        if key not in keys:
            raise error(f"{path}: no key '{key}', found {sorted(keys)}")
        with _told_as(error, f"{path}: key '{key}' is damaged"):
            content = archive.read(f"{key}.npy")  # never more than the member claims
            if len(content) != (claimed := archive.getinfo(f"{key}.npy").file_size):
                raise ValueError(f"{len(content)} bytes, it claims {claimed}")
    return _read_npy(content, f"{path}, key '{key}'", error)
