"""Values out of a stranger's JSON object: numbers, lists and matrices of the shape that is wanted, or one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.params_file import describe
from sahmr.untrusted.texts import read_json

_MOST_BYTES = 1 << 26  # a recording of 100 000 frames has 70 MB


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object. Errors as :func:`read_json`, and if it holds anything else."""
    content = read_json(path, most_bytes=_MOST_BYTES)
    if not isinstance(content, dict):
        raise RawDataError(f"{path}: holds a {type(content).__name__}; allowed: a JSON object of a camera or cameras")
    return content


def need_object(where: str, value: Any) -> dict[str, Any]:
    """The value, if it is an object."""
    if not isinstance(value, dict):
        raise RawDataError(f"{where}: found {describe(value)}; allowed: a JSON object; correct it")
    return value


def need_number(where: str, content: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """A number; ``default``, if there is one, where the key is absent."""
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = describe(value) if key in content else "nothing"
        raise RawDataError(f"{where}: '{key}' is {found}; allowed: a number; add or correct it")
    return float(value)


def need_side(where: str, content: Mapping[str, Any], key: str) -> int:
    """A side of an image, a whole number of pixels; 1920.0 is one."""
    value = need_number(where, content, key)
    if value != int(value):
        raise RawDataError(f"{where}: '{key}' is {value:.9g}; allowed: a whole number of pixels; correct it")
    return int(value)


def need_text(where: str, content: Mapping[str, Any], key: str, allowed: Collection[str], default: str | None) -> str:
    """One of some words; ``default``, if there is one, where the key is absent."""
    value = content.get(key, default)
    if not isinstance(value, str) or value not in allowed:
        found = describe(value) if key in content else "nothing"
        raise RawDataError(f"{where}: '{key}' is {found}; allowed: {', '.join(allowed)}; add or correct it")
    return value


def need_matrix(where: str, value: Any, shapes: Collection[tuple[int, ...]]) -> Float[ndarray, "..."]:
    """A matrix as nested lists of numbers, or a vector as a list."""
    rows = value if isinstance(value, list) else []
    flat = [item for row in rows for item in (row if isinstance(row, list) else [row])]
    is_matrix = bool(rows) and all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows)
    shape = (len(rows), len(rows[0])) if is_matrix else (len(rows),)
    if shape not in shapes or any(isinstance(item, bool) or not isinstance(item, int | float) for item in flat):
        allowed = " or ".join("x".join(map(str, each)) for each in shapes)
        raise RawDataError(
            f"{where}: found {describe(value)}; allowed: {allowed} numbers as nested lists, row by row; correct it"
        )
    return np.array(flat, dtype=np.float64).reshape(shape)


def need_transform(where: str, value: Any) -> Float[ndarray, "4 4"]:
    """A 4x4 matrix, or its 3x4 upper part, as nested lists; not yet checked to be rigid."""
    matrix = need_matrix(where, value, [(4, 4), (3, 4)])
    made: Float[ndarray, "4 4"] = matrix if len(matrix) == 4 else np.concatenate([matrix, [[0.0, 0.0, 0.0, 1.0]]])
    return made


def refuse_unknown(where: str, content: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raise RawDataError if there is a key that nobody reads: a misspelt one would be left out without a word."""
    if unknown := sorted(set(content) - set(allowed)):
        names = ", ".join(repr(name[:40]) for name in unknown[:3])
        raise RawDataError(f"{where}: unknown keys {names}; allowed: {', '.join(allowed)}; correct or remove them")
