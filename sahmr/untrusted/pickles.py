"""Pickles, ``.npy`` and ``.npz`` files of strangers, read without running anything from them."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sahmr.errors import RawDataError
from sahmr.untrusted.unpickler import ALLOWED, RefusedError, RestrictedUnpickler, plain


def read_pickle(stream: BinaryIO | io.BytesIO, where: str, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read one pickle from a stream; ``where`` names it in the error message."""
    with _told_as(error, f"{where}: damaged or not a pickle"):
        try:
            return plain(RestrictedUnpickler(stream, encoding="latin1").load())
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


@contextmanager
def _opened(path: Path, error: type[RawDataError]) -> Iterator[BinaryIO]:
    """A file that is there and may be read."""
    if not path.is_file():
        raise error(f"{path}: no such file")
    try:
        stream = path.open("rb")
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}); allow it, or fetch it again") from None
    with stream:
        yield stream


def load_pickle(path: Path, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read a pickle file of Python 2 or 3 (latin1) without running code from it.

    Chumpy objects come back as numpy arrays, whatever else is not plain data raises.

    Raises:
        RawDataError: (or ``error``) if the file is missing, damaged, or holds a class that is not allowed.
    """
    with _opened(path, error) as stream:
        return read_pickle(stream, str(path), error=error)


def _read_npy(content: bytes, where: str, error: type[RawDataError]) -> Any:
    """The bytes of an npy file; object arrays go through the restricted unpickler."""
    stream = io.BytesIO(content)
    with _told_as(error, f"{where}: not a readable npy file"):
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if not dtype.hasobject:
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    array = read_pickle(stream, where, error=error)
    if not isinstance(array, np.ndarray) or array.size != math.prod(shape):
        raise error(f"{where}: its content does not fit its header {shape}; fetch it again")
    return array.reshape(shape, order="F" if fortran else "C")


def load_npy(path: Path, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read an ``.npy`` file; a pickled object inside (0-d object array) comes back as that object.

    Raises:
        RawDataError: (or ``error``) if it is missing, damaged, or its pickle holds a forbidden class.
    """
    with _opened(path, error) as stream:
        array = _read_npy(stream.read(), str(path), error)
    return array.item() if array.dtype == object and array.ndim == 0 else array


@contextmanager
def _archive(path: Path, error: type[RawDataError]) -> Iterator[tuple[zipfile.ZipFile, tuple[str, ...]]]:
    """An ``.npz`` and the names of its arrays."""
    with _opened(path, error) as stream:
        with _told_as(error, f"{path}: not an npz archive"):
            archive = zipfile.ZipFile(stream)
            names = archive.namelist()
        if odd := [name for name in names if not name.endswith(".npy")]:
            raise error(f"{path}: not an npz archive (it holds {odd[:3]}, allowed are .npy files only); fetch it again")
        yield archive, tuple(name.removesuffix(".npy") for name in names)


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
            content = archive.read(f"{key}.npy")
    return _read_npy(content, f"{path}, key '{key}'", error)
