"""Pickles of strangers, read without running them: numbers, numpy arrays, sparse matrices and plain containers only."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.errors import RawDataError

ALLOWED = "numbers, text, plain containers, numpy arrays, scipy csc/csr/coo matrices, chumpy arrays"


class _Stub:
    """Stands in for a class we do not want to run; keeps its state until ``plain`` turns it into an array."""

    kind = "chumpy"

    state: dict[str, Any]

    def __new__(cls, *_: object) -> _Stub:
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: object) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.state.update({_text(key): value for key, value in part.items()})


class _Csc(_Stub):
    kind = "csc"


class _Csr(_Stub):
    kind = "csr"


class _Coo(_Stub):
    kind = "coo"


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _new_stub(cls: object, *_: object) -> _Stub:
    """``copyreg._reconstructor`` for the classes above, and for nothing else."""
    if isinstance(cls, type) and issubclass(cls, _Stub):
        return cls.__new__(cls)
    raise pickle.UnpicklingError(f"object of class {cls!r}")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """``_codecs.encode`` as protocol-2 pickles of byte strings use it."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text encoding {encoding!r}")
    return text.encode("latin1")


def _numpy_functions() -> dict[tuple[str, str], Any]:
    """What numpy's own pickles call, under the module names of numpy 1 and 2."""
    from numpy._core import multiarray, numeric

    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = multiarray._reconstruct
        table[f"{core}.multiarray", "scalar"] = multiarray.scalar
        table[f"{core}.numeric", "_frombuffer"] = numeric._frombuffer  # type: ignore[attr-defined]
    return table


def _allowed_globals() -> dict[tuple[str, str], Any]:
    table = _numpy_functions()
    for builtins in ("builtins", "__builtin__"):
        for kind in (set, frozenset, list, dict, tuple, bytearray, complex, int, float, bool, str, bytes, object):
            table[builtins, kind.__name__] = kind
        table[builtins, "unicode"], table[builtins, "long"] = str, int
    table["collections", "OrderedDict"] = OrderedDict
    table["_codecs", "encode"] = _encode
    for module in ("copyreg", "copy_reg"):
        table[module, "_reconstructor"] = _new_stub
    for stub in (_Csc, _Csr, _Coo):
        for module in (f"scipy.sparse.{stub.kind}", f"scipy.sparse._{stub.kind}"):
            for suffix in ("matrix", "array"):
                table[module, f"{stub.kind}_{suffix}"] = stub
    return table


_GLOBALS = _allowed_globals()


class _RestrictedUnpickler(pickle.Unpickler):
    """Finds the classes of the table above and stubs for chumpy; everything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _GLOBALS:
            return _GLOBALS[module, name]
        if module.split(".")[0] == "chumpy":
            return _Stub
        raise pickle.UnpicklingError(f"class '{module}.{name}'")


def _chumpy_value(state: dict[str, Any]) -> NDArray[Any]:
    """The array a chumpy object stands for: its own values, or a selection from another one."""
    if "x" in state:
        return np.asarray(plain(state["x"]))
    if "a" in state and "idxs" in state:
        chosen: NDArray[Any] = np.asarray(plain(state["a"])).ravel()[np.asarray(plain(state["idxs"]))]
        shape = plain(state.get("preferred_shape"))
        return chosen if shape is None else chosen.reshape(shape)
    raise ValueError(f"a chumpy expression with the terms {sorted(state)}; only plain arrays and selections are known")


def _sparse_value(kind: str, state: dict[str, Any]) -> Any:
    """Build the matrix anew so that scipy checks indices and shape."""
    shape = tuple(int(n) for n in state["_shape"])
    if kind == "coo":
        row, col = state["coords"] if "coords" in state else (state["row"], state["col"])
        return sp.coo_matrix((state["data"], (row, col)), shape=shape)
    make: Callable[..., Any] = sp.csc_matrix if kind == "csc" else sp.csr_matrix
    matrix = make((state["data"], state["indices"], state["indptr"]), shape=shape)
    matrix.check_format(full_check=True)
    return matrix


def plain(value: Any) -> Any:
    """Replace every stub inside a value by the array or matrix it stands for; byte-string keys become text."""
    if isinstance(value, _Stub):
        return _chumpy_value(value.state) if value.kind == "chumpy" else _sparse_value(value.kind, value.state)
    if isinstance(value, dict):
        return {_text(k) if isinstance(k, bytes) else k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        out = np.empty(value.shape, dtype=object)
        for index in np.ndindex(value.shape):
            out[index] = plain(value[index])
        return out
    return value


def read_pickle(stream: BinaryIO, where: str, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read one pickle from a stream; ``where`` names it in the error message."""
    try:
        return plain(_RestrictedUnpickler(stream, encoding="latin1").load())
    except pickle.UnpicklingError as problem:
        raise error(f"{where}: not read, found {problem}; allowed in a pickle: {ALLOWED}") from None
    except Exception as problem:  # a damaged pickle may raise anything at all
        raise error(
            f"{where}: damaged or not a pickle ({type(problem).__name__}: {problem}); fetch it again"
        ) from problem


def load_pickle(path: Path, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read a pickle file of Python 2 or 3 (latin1) without running code from it.

    Chumpy objects come back as numpy arrays, whatever else is not plain data raises.

    Raises:
        RawDataError: (or ``error``) if the file is missing, damaged, or holds a class that is not allowed.
    """
    if not path.is_file():
        raise error(f"{path}: no such file")
    with path.open("rb") as stream:
        return read_pickle(stream, str(path), error=error)


def _read_npy(stream: BinaryIO, where: str, error: type[RawDataError]) -> Any:
    """An npy stream; object arrays go through the restricted unpickler."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if not dtype.hasobject:
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        raise error(f"{where}: not a readable npy file ({problem}); fetch it again") from None
    array = read_pickle(stream, where, error=error)
    if not isinstance(array, np.ndarray) or array.size != int(np.prod(shape)):
        raise error(f"{where}: its content does not fit its header {shape}; fetch it again")
    return array.reshape(shape, order="F" if fortran else "C")


def load_npy(path: Path, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read an ``.npy`` file; a pickled object inside (0-d object array) comes back as that object.

    Raises:
        RawDataError: (or ``error``) if it is missing, damaged, or its pickle holds a forbidden class.
    """
    if not path.is_file():
        raise error(f"{path}: no such file")
    array = _read_npy(io.BytesIO(path.read_bytes()), str(path), error)
    return array.item() if array.dtype == object and array.ndim == 0 else array


def npz_keys(path: Path, *, error: type[RawDataError] = RawDataError) -> tuple[str, ...]:
    """Names of the arrays in an ``.npz``, without reading any of them."""
    if not path.is_file():
        raise error(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except zipfile.BadZipFile as problem:
        raise error(f"{path}: not an npz archive ({problem}); fetch it again") from None


def load_npz_member(path: Path, key: str, *, error: type[RawDataError] = RawDataError) -> Any:
    """Read one array of an ``.npz`` and touch no other; object arrays through the restricted unpickler.

    Raises:
        RawDataError: (or ``error``) if the file or key is missing or damaged.
    """
    keys = npz_keys(path, error=error)
    if key not in keys:
        raise error(f"{path}: no key '{key}', found {sorted(keys)}")
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(f"{key}.npy")
    except (zipfile.BadZipFile, OSError, ValueError) as problem:
        raise error(f"{path}: key '{key}' is damaged ({problem}); fetch the file again") from None
    return _read_npy(io.BytesIO(content), f"{path}, key '{key}'", error)
