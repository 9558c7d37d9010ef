"""A resume file of other settings or data: refused, set aside, or taken up, as the user says."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sahmr.errors import CheckpointError
from sahmr.training.checkpoint import load_plain, save_atomically
from sahmr.training.progress import BETWEEN
from sahmr.training.resume import foreign_message, set_aside

log = logging.getLogger("sahmr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What becomes of a resume file of other settings or data.

    Attributes:
        restart: it is set aside.
        adopt: a checkpoint to go on from, whatever it was made with; None: such a file is refused.
    """

    restart: bool = False
    adopt: Path | None = None


REFUSED = Others()


def settle(path: Path, digest: str, about: Mapping[str, Any], others: Others) -> str:
    """Digest under which a training goes on: its own, or, with an adopted checkpoint, one that names that as well.

    An adopted checkpoint's weights, averages and moments are taken with its history; the epoch it was in begins again.

    Args:
        path: the training's resume file.
        digest: of its settings and data.
        about: what these are.
        others: what the user wants.

    Raises:
        CheckpointError: if there is a resume file of other settings or data and the user said nothing of it; or the
            checkpoint to adopt is none.
    """
    content = _peek(path)
    if others.adopt is not None:
        return _adopt(path, content, others.adopt, digest, about)
    found = content.get("digest")
    if not isinstance(found, str) or found == digest:
        return digest
    if not others.restart:
        raise CheckpointError(foreign_message(path, content.get("about"), about))
    set_aside(path, "belongs to other settings or data", "other")
    return digest


def _peek(path: Path) -> dict[str, Any]:
    """Content of a file; nothing if it is missing or damaged, which is found out later."""
    if not os.path.lexists(path):
        return {}
    try:
        return load_plain(path, remedy="")
    except CheckpointError:
        return {}


def _adopt(path: Path, present: dict[str, Any], source: Path, digest: str, about: Mapping[str, Any]) -> str:
    origin = present.get("origin")
    if isinstance(origin, str) and origin and present["digest"] == _named(digest, origin):
        return _named(digest, origin)  # begun before, by the same command
    content = present if source.absolute() == path.absolute() and present else load_plain(source, remedy="")
    if not isinstance(content.get("digest"), str) or not content.get("history"):
        raise CheckpointError(
            f"{source}: no checkpoint of a training with a whole epoch; give a ..._last.pt, ..._best.pt or .resume.pt"
        )
    origin = content["digest"]
    made = {"digest": _named(digest, origin), "origin": origin, "about": dict(about), "within": dict(BETWEEN)}
    if os.path.lexists(path) and source.absolute() != path.absolute():
        set_aside(path, "another one is adopted", "other")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomically(path, {**content, **made, "loader": ""})
    log.info("%s: adopted from %s, %d epochs", path, source, len(content["history"]))
    return _named(digest, origin)


def _named(digest: str, origin: str) -> str:
    return hashlib.sha256(f"{digest} from {origin}".encode()).hexdigest()
