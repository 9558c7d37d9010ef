"""A checkpoint in a tenth of its size: half precision, and matrices of mostly zeros as the numbers that are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from sahmr.errors import CheckpointError
from sahmr.training.checkpoint import Checkpoint, checkpoint_content, save_atomically
from sahmr.training.unpack import SPARSE

_FEW = 0.1  # share of numbers that are not 0, at most, in a sparse matrix
_LARGE = 10_000  # numbers; smaller ones are not worth it


def save_compact(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint small enough for a repository; :func:`sahmr.training.checkpoint.read_checkpoint` reads it.

    Floats are rounded to half precision (relative error below 2^-11), those of sparse matrices are not. Same content,
    same bytes.

    Raises:
        CheckpointError: if a number does not fit into half precision, or the file cannot be written.
    """
    network: dict[str, Tensor] = {}
    sparse: dict[str, dict[str, Any]] = {}
    for name, value in checkpoint.network.items():
        if _is_sparse(value):
            place = value.flatten().nonzero()[:, 0]
            shape = tuple(value.shape)
            sparse[name] = {"shape": shape, "place": place.int(), "value": value.flatten()[place].clone()}
        else:
            network[name] = _halve(value, name)
    content = checkpoint_content(checkpoint) | {"network": network, SPARSE: sparse}
    save_atomically(path, content)


def _is_sparse(value: Tensor) -> bool:
    if not (value.is_floating_point() and value.numel() >= _LARGE):
        return False
    return int(value.count_nonzero()) <= _FEW * value.numel()


def _halve(value: Tensor, name: str) -> Tensor:
    if not value.is_floating_point():
        return value.clone()
    half = value.half()
    if not bool(half.isfinite().all()):
        raise CheckpointError(f"{name}: {float(value.abs().max()):.3g} does not fit into half precision")
    return half
