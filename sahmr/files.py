"""Folders and files that appear under their final name only when complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def publish_folder(final: Path) -> Iterator[Path]:
    """Offer an empty folder beside ``final`` and give it that name when the block ends without an error.

    An earlier ``final`` is replaced as a whole; after an error it stays as it was and the unfinished folder is gone.
    What a killed process left beside ``final`` is cleared away.
    """
    for left in sorted(final.parent.glob(f".{final.name}.*.partial")):
        if not is_alive(left.name.split(".")[-2]):
            shutil.rmtree(left, ignore_errors=True)
    partial, old = (final.with_name(f".{final.name}.{kind}{os.getpid()}.partial") for kind in ("", "old."))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if final.exists():
            final.rename(old)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def is_alive(pid: str) -> bool:
    """Whether a process of this host has that number."""
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def publish_text(final: Path, text: str) -> None:
    """Write a text file that appears under its name only when complete."""
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)
