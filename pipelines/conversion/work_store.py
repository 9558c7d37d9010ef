"""Finished pieces of work, found again by what they were made from: the reason a second conversion is short."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipelines.conversion.piece_receipt import Receipt, read_receipt, write_receipt
from sahmr.errors import StoreError
from sahmr.files import flush_to_disk, is_alive

# Their code decides output bytes: another version, other pieces.
LIBRARIES = (
    "numcodecs", "numpy", "opencv-python-headless", "pillow", "pyarrow", "scipy", "webdataset", "zarr",
)  # fmt: skip
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)
_GONE = (
    "gone while the stage ran; was the work store (paths.work) deleted, or pruned? Nothing unfinished was published, "
    "and earlier outputs are as they were: run the same command again, it makes what is lost anew"
)
_ABANDONED_S = 24 * 3600  # an unfinished piece of another host is given up after a day


@cache
def library_versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Installed versions; by default of the libraries that decide the bytes of shards, stores and tables."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def piece_key(
    stage: str, stage_version: int, settings: dict[str, Any], inputs: Any, libraries: tuple[str, ...] = LIBRARIES
) -> str:
    """SHA-256, hexadecimal, over everything that decides a piece's bytes.

    Args:
        stage: its name.
        stage_version: raised by hand whenever the same input gives other bytes.
        settings: its section of ``params.yaml``, without keys that cannot change a piece.
        inputs: JSON-able: content hashes and records of what goes in.
        libraries: whose versions decide too.
    """
    content = {
        "inputs": inputs,
        "libraries": library_versions(libraries),
        "settings": settings,
        "stage": stage,
        "version": stage_version,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkStore:
    """Folders of finished pieces, one per key. A piece appears complete or not at all and is never written again.

    Attributes:
        root: must lie on the same filesystem as the stages' outputs, to share their disk space by hard links.
    """

    root: Path

    def folder(self, stage: str, key: str) -> Path:
        """Where a piece is or will be."""
        return self.root / stage / key[:2] / key

    def find(self, stage: str, key: str) -> Receipt | None:
        """Receipt of a finished piece; None if there is none, or its files are not as they were written."""
        return read_receipt(self.folder(stage, key), key)

    @contextmanager
    def make(self, stage: str, key: str) -> Iterator[PieceDraft]:
        """Offer a folder for a piece's files and keep them under the key when the block ends without an error.

        A sound piece that appeared meanwhile (another worker was given the same task) stays, and this one is dropped.

        Raises:
            StoreError: if the disk is full, or the store cannot be written.
        """
        draft = PieceDraft(
            self.root / "tmp" / f"{stage}-{key[:12]}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        )
        try:
            draft.folder.mkdir(parents=True)
            yield draft
            draft.seal()
            self._keep(draft, self.folder(stage, key), stage, key)
        except OSError as problem:
            raise _told(problem, self.root) from None
        finally:
            shutil.rmtree(draft.folder, ignore_errors=True)

    def _keep(self, draft: PieceDraft, final: Path, stage: str, key: str) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        if self.find(stage, key) is not None:
            return
        self.discard(stage, key)  # damaged since it was written, if it is there at all
        try:
            draft.folder.rename(final)
        except OSError as problem:
            if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def discard(self, stage: str, key: str) -> None:
        """Take a piece away: it vanishes as a whole, then its space is freed."""
        doomed = self.root / "tmp" / f"old-{key[:12]}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        doomed.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.folder(stage, key).rename(doomed)
        except FileNotFoundError:
            return
        if doomed.is_dir() and not doomed.is_symlink():
            shutil.rmtree(doomed, ignore_errors=True)
        else:  # whatever stood in the place of a piece
            doomed.unlink(missing_ok=True)

    def require(self, stage: str, key: str) -> Receipt:
        """Receipt of a piece that was there a moment ago.

        Raises:
            StoreError: if it is not any more.
        """
        receipt = self.find(stage, key)
        if receipt is None:
            raise StoreError(f"{self.folder(stage, key)}: {_GONE}")
        return receipt

    def link(self, stage: str, receipt: Receipt, folder: Path, *, below: str = "") -> None:
        """Hard-link a piece's files into a folder, or copy them where links cannot be.

        Args:
            stage: whose piece it is.
            receipt: of the piece.
            folder: an existing folder on any filesystem.
            below: only files below this folder of the piece, named from there.

        Raises:
            StoreError: if the piece is gone meanwhile.
        """
        source = self.folder(stage, receipt.key)
        made: set[Path] = set()
        for name in receipt.sizes:
            if not Path(name).is_relative_to(below):
                continue
            target = folder / Path(name).relative_to(below)
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            try:
                _link_or_copy(source / name, target)
            except OSError as problem:
                if (source / name).is_file():
                    raise
                raise StoreError(f"{problem.filename or source}: {_GONE}") from None

    def unlinked(self, stage: str) -> Iterator[Receipt]:
        """Pieces of which no file has another name: no output, and no cache of DVC's, shares their disk space."""
        for folder in sorted((self.root / stage).glob("*/*")):
            receipt = self.find(stage, folder.name)
            if receipt is not None and all((folder / name).stat().st_nlink == 1 for name in receipt.sizes):
                yield receipt

    def sweep(self) -> int:
        """Remove what killed processes of this host left half made, and anything unfinished for a day; how many."""
        count = 0
        for place in sorted((self.root / "tmp").glob("*-*")):
            host, _, rest = place.name.partition("-")[2].partition("-")[2].rpartition("-")[0].rpartition("-")
            try:
                old = time.time() - place.stat().st_mtime > _ABANDONED_S
            except FileNotFoundError:
                continue
            if not is_alive(rest) if host == socket.gethostname() else old:
                shutil.rmtree(place, ignore_errors=True)
                count += 1
        return count


class PieceDraft:
    """A piece being made.

    Attributes:
        folder: for the files.
        facts: for the receipt.
        is_flawed: see :class:`Receipt`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}
        self.is_flawed = False

    def seal(self) -> None:
        """Write the receipt and make sure that everything is on the disk, read-only."""
        receipt = write_receipt(self.folder, self.facts, is_flawed=self.is_flawed)
        for path in [*sorted(path for path in self.folder.rglob("*") if path.is_file()), receipt]:
            path.chmod(0o444)
            flush_to_disk(path)
        flush_to_disk(self.folder)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as problem:
        if problem.errno not in _NO_LINK:
            raise
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)


def _told(problem: OSError, root: Path) -> Exception:
    """An error of the store in the user's words; any other as it came."""
    is_inside = str(root) in str(problem)  # pyarrow has the name in its text alone
    if not is_inside and problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return problem
    if problem.errno in (errno.ENOENT, errno.ESTALE):
        return StoreError(f"{problem.filename or root}: {_GONE}")
    return StoreError(
        f"{problem.filename or root}: {problem.strerror or problem}; the work store (paths.work) must be writable and "
        "have room. Finished pieces are kept: correct it and run the same command again"
    )
