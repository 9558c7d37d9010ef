"""State dicts in a tenth of their size: matrices of mostly zeros, the up-sampling, as the numbers that are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sahmr.errors import CheckpointError

SPARSE = "sparse"
"""Key of the matrices that are stored as shape, places and values; each is left out of ``network``."""

_FEW = 0.1  # share of numbers that are not 0, at most, in a sparse matrix
_LARGE = 10_000  # numbers; smaller ones are not worth it
_MOST = 1 << 26  # numbers of a stored matrix; the largest of the published network has 12 million


def split_sparse(network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """A state dict without its large sparse matrices, and these as shapes, places and values; no number changes."""
    dense: dict[str, Tensor] = {}
    sparse: dict[str, dict[str, Any]] = {}
    for name, value in network.items():
        if _is_sparse(value):
            place = value.flatten().nonzero()[:, 0]
            numbers = value.flatten()[place].clone()
            sparse[name] = {"shape": tuple(value.shape), "place": place.int(), "value": numbers}
        else:
            dense[name] = value
    return dense, sparse


def _is_sparse(value: Tensor) -> bool:
    """Whether it is worth it, and reading gives the same bits: no negative zero, floats of 32 bits."""
    if value.dtype != torch.float32 or value.numel() < _LARGE or value.numel() > _MOST or value.ndim > 4:
        return False
    few = int(value.count_nonzero()) <= _FEW * value.numel()
    return few and not bool((value.signbit() & (value == 0)).any())


def expand(content: Mapping[str, Any], path: Path, *, remedy: str) -> dict[str, Any]:
    """Content of a file as if it had been saved in full; one that was is returned as it is.

    Args:
        content: as ``torch.load`` gives it.
        path: of the file.
        remedy: what to do about a damaged one, for the message's end.

    Raises:
        CheckpointError: if a sparse matrix contradicts itself.
    """
    if SPARSE not in content:
        return dict(content)
    network, sparse = content.get("network"), content[SPARSE]
    if not isinstance(network, dict) or not isinstance(sparse, dict):
        raise CheckpointError(f"{path}: 'network' and '{SPARSE}' must be dicts{remedy}")
    full = {
        name: value.float() if isinstance(value, Tensor) and value.dtype == torch.half else value
        for name, value in network.items()
    }
    for name, parts in sparse.items():
        if name in full or not isinstance(name, str):
            raise CheckpointError(f"{path}: matrix {str(name)[:60]!r} is there twice, or has no name{remedy}")
        full[name] = _fill(parts, f"{path}: matrix {name[:60]!r}", remedy)
    return {key: value for key, value in content.items() if key != SPARSE} | {"network": full}


def _fill(parts: object, source: str, remedy: str) -> Tensor:
    """The whole matrix."""
    shape, place, value = (parts.get(key) if isinstance(parts, dict) else None for key in ("shape", "place", "value"))
    is_shape = (
        isinstance(shape, tuple) and len(shape) <= 4 and all(isinstance(side, int) and side > 0 for side in shape)
    )
    if not is_shape or not isinstance(shape, tuple) or math.prod(shape) > _MOST:
        raise CheckpointError(f"{source}: its shape is none, or too large{remedy}")
    if not (isinstance(place, Tensor) and isinstance(value, Tensor)):
        raise CheckpointError(f"{source}: lacks places or values{remedy}")
    fits = (
        place.dtype == torch.int32 and value.dtype == torch.float32 and place.shape == value.shape and place.ndim == 1
    )
    if not fits or (len(place) and not 0 <= int(place.min()) <= int(place.max()) < math.prod(shape)):
        raise CheckpointError(f"{source}: places or values of another type, or places outside of it{remedy}")
    return torch.zeros(math.prod(shape)).index_copy_(0, place.long(), value).view(shape)
