"""Our own npz files: body tables, what is kept of scans, what is exported. Plain arrays, no pickles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import BodyModelError
from sahmr.files import publish_file


def save_npz(path: Path, content: Mapping[str, NDArray[Any]]) -> None:
    """Uncompressed npz, keys sorted; appears under its name only when complete."""
    with publish_file(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **dict(sorted(content.items())))  # type: ignore[arg-type]  # numpy's stub names allow_pickle


def load_npz(path: Path, wanted: Iterable[str]) -> dict[str, NDArray[Any]]:
    """All arrays of a file of :func:`save_npz`.

    Args:
        path: the file.
        wanted: keys it must have.

    Raises:
        BodyModelError: naming the file and what rebuilds it, if it is missing, damaged, or lacks a key.
    """
    remedy = "rebuild with: dvc repro bodies"
    if not path.is_file():
        raise BodyModelError(f"{path}: no such file; {remedy}")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as problem:  # zipfile, zlib and numpy raise whatever the damaged bytes provoke
        reason = f"{type(problem).__name__}: {problem}".replace("\n", " ")[:200]
        raise BodyModelError(f"{path}: damaged ({reason}); {remedy}") from None
    odd = sorted({*wanted} - {key for key, array in arrays.items() if isinstance(array, np.ndarray)})
    if odd:  # numpy returns plain bytes for a member that is no array
        raise BodyModelError(f"{path}: lacks {odd}, found {sorted(arrays)}; {remedy}")
    return arrays
