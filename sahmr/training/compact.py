"""A checkpoint small enough for a repository: in half precision."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from sahmr.errors import CheckpointError
from sahmr.training.checkpoint import Checkpoint, checkpoint_content, save_atomically
from sahmr.training.unpack import SPARSE


def save_compact(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in half precision; :func:`sahmr.training.checkpoint.read_checkpoint` reads it.

    Floats are rounded (relative error below 2^-11), those of sparse matrices are not. Same content, same bytes.

    Raises:
        CheckpointError: if a number does not fit into half precision, or the file cannot be written.
    """
    content = checkpoint_content(checkpoint)
    network = {name: _halve(value, name) for name, value in content["network"].items()}
    save_atomically(path, {SPARSE: {}} | content | {"network": network})


def _halve(value: Tensor, name: str) -> Tensor:
    if not value.is_floating_point():
        return value.clone()
    half = value.half()
    if not bool(half.isfinite().all()):
        raise CheckpointError(f"{name}: {float(value.abs().max()):.3g} does not fit into half precision")
    return half
