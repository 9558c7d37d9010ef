"""The raw datasets by name."""

from __future__ import annotations

from pathlib import Path

from sahmr.errors import RawDataError
from sahmr.readers.base import Reader
from sahmr.readers.prox import PARTS, ProxReader
from sahmr.readers.rich import RichReader


def open_reader(dataset: str, raw_root: Path, *, bodies: Path, prox_parts: tuple[str, ...] | None = None) -> Reader:
    """A reader of one raw dataset; nothing is opened yet.

    Args:
        dataset: rich | prox.
        raw_root: where the publisher's tree lies.
        bodies: output folder of the stage ``bodies``, needed by measuring and loading.
        prox_parts: parts of PROX; None: those that exist.

    Raises:
        RawDataError: on an unknown name.
    """
    if dataset == "rich":
        return RichReader(root=raw_root, bodies=bodies)
    if dataset == "prox":
        present = tuple(part for part in PARTS if (raw_root / part).is_dir())
        return ProxReader(root=raw_root, bodies=bodies, parts=prox_parts if prox_parts is not None else present)
    raise RawDataError(f"dataset '{dataset}' is unknown; allowed: rich, prox")
