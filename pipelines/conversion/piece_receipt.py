"""What a finished piece says about itself, and whether its files still are what it says."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sahmr.files import file_sha256

RECEIPT_NAME = "piece.json"
_MOST_BYTES = 256 << 20  # of a receipt; a shard's has 0.4 kB per sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a finished piece says about itself.

    Attributes:
        key: see :func:`pipelines.conversion.work_store.piece_key`.
        sizes: bytes of each file by its path inside the piece.
        facts: what the stage wants to know when it puts pieces together; JSON.
        is_flawed: a damaged raw file was left out; such a piece is rebuilt by the next run.
    """

    key: str
    sizes: dict[str, int]
    facts: dict[str, Any]
    is_flawed: bool

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())


def write_receipt(folder: Path, facts: dict[str, Any], *, is_flawed: bool) -> Path:
    """Describe all files of a folder in a file beside them, which is returned."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    content = {
        "facts": facts,
        "is_flawed": is_flawed,
        "sha256": {name: file_sha256(path) for name, path in files.items()},
        "sizes": {name: path.stat().st_size for name, path in files.items()},
        "times": {name: path.stat().st_mtime_ns for name, path in files.items()},
    }
    text = json.dumps(content, sort_keys=True)
    receipt = folder / RECEIPT_NAME
    receipt.write_text(json.dumps({"content": text, "digest": _digest(text)}), encoding="utf-8")
    return receipt


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_receipt(folder: Path, key: str) -> Receipt | None:
    """Receipt of a finished piece; None if there is none, or its files are not as they were written.

    Outputs are links to the files of their pieces, so what damages one damages the other. A file that was written to
    since (its time says so) is compared by its SHA-256; nothing outside the folder is looked at. Receipts of earlier
    versions, without digests, count as long as the lengths are right.
    """
    try:
        place = folder / RECEIPT_NAME
        found = os.lstat(place)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            return None
        stored = json.loads(place.read_bytes())
        if "content" in stored:
            if _digest(stored["content"]) != stored["digest"]:
                return None
            stored = json.loads(stored["content"])
        sizes, facts, is_flawed = stored["sizes"], stored["facts"], stored["is_flawed"]
        if not (isinstance(sizes, dict) and isinstance(facts, dict) and isinstance(is_flawed, bool)):
            return None
        sums, times = stored.get("sha256", {}), stored.get("times", {})
        whole = all(_is_whole(folder, name, size, sums.get(name), times.get(name)) for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Receipt(key=key, sizes=sizes, facts=facts, is_flawed=is_flawed) if whole else None


def _is_whole(folder: Path, name: str, size: object, sha256: str | None, time_ns: int | None) -> bool:
    """Whether a file is a regular one inside the folder, as long as it should be, and as it was."""
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or not inner.parts or inner.as_posix() != name:
        return False
    if any((folder / parent).is_symlink() for parent in inner.parents):
        return False
    found = os.lstat(folder / name)
    if not stat.S_ISREG(found.st_mode) or type(size) is not int or found.st_size != size:
        return False
    return sha256 is None or found.st_mtime_ns == time_ns or file_sha256(folder / name) == sha256
