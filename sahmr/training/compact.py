"""Both networks of a checkpoint in one small file."""

from __future__ import annotations

from pathlib import Path

from sahmr.training.checkpoint import Checkpoint, save_checkpoint


def save_compact(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint."""
    save_checkpoint(path, checkpoint)
