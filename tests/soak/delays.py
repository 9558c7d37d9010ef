"""Random pauses in front of every step that makes something visible, so that a kill at any moment may fall between."""

from __future__ import annotations

import functools
import os
import random
import time
from typing import Any

from pipelines.conversion import pieces

_STEPS = ("fsync", "link", "mkdir", "rename", "replace", "rmdir")
_make_piece = pieces._make_piece


def _seconds() -> float:
    return float(os.environ.get("SOAK_DELAY_S", "0"))


def slow_down() -> None:
    """Make this process pause; in the stage and, by the way of :func:`make_piece`, in every worker."""
    if _seconds() == 0 or hasattr(os.rename, "__wrapped__"):
        return
    for name in _STEPS:
        setattr(os, name, _paused(getattr(os, name)))
    pieces._make_piece = make_piece


def _paused(step: Any) -> Any:
    @functools.wraps(step)
    def run(*args: Any, **named: Any) -> Any:
        time.sleep(random.random() * _seconds() / 10)
        return step(*args, **named)

    return run


def make_piece(job: Any, **named: Any) -> Any:
    """The original after a pause, so that pieces are finished in random order."""
    slow_down()
    time.sleep(random.random() * _seconds())
    return _make_piece(job, **named)
