"""A thread that looks at everything with its final name while a conversion runs, and remembers what was not whole."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.conversion.piece_receipt import RECEIPT_NAME
from sahmr.files import file_sha256
from tests.soak.processes import hashes
from tests.soak.road import OUTPUTS

_RECEIPT = "receipt"  # holds times, so no two are equal

Tree = Mapping[str, str]  # SHA-256 by relative path


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What an undisturbed run leaves, by path relative to the working directory.

    Attributes:
        files: outputs that are single files.
        folders: outputs and finished pieces that are folders.
    """

    files: Tree
    folders: Mapping[str, Tree]

    @property
    def outputs(self) -> dict[str, str]:
        """All files of the outputs."""
        trees = {f"{name}/{file}": sha for name, tree in self.folders.items() for file, sha in tree.items()}
        return {**self.files, **{name: sha for name, sha in trees.items() if not name.startswith("data/work/")}}


def whole(folder: Path) -> Whole:
    """Describe what a run that nobody disturbed left in its working directory."""
    files = {f"data/frames/{name}": sha for name, sha in hashes(folder / "data/frames").items()}
    files |= {f"data/scenes/{path.name}": file_sha256(path) for path in (folder / "data/scenes").glob("*.json")}
    places = [*(folder / "data/scenes").glob("*.zarr"), *(folder / "data/shards").iterdir(), *pieces(folder)]
    trees = {path.relative_to(folder).as_posix(): hashes(path) for path in places}
    for tree in trees.values():
        tree.update({name: _RECEIPT for name in tree if name == RECEIPT_NAME})
    return Whole(files=files, folders=trees)


def outputs(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the outputs, by path relative to the working directory; left-overs included."""
    return {
        f"data/{name}/{file}": sha for name in OUTPUTS for file, sha in hashes(folder / "data" / name).items()
    }  # fmt: skip


def pieces(folder: Path) -> list[Path]:
    """Folders of finished pieces."""
    return [path for name in OUTPUTS for path in (folder / "data/work" / name).glob("*/*")]


class Watch(threading.Thread):
    """Looks again and again until the block it guards ends.

    Args:
        folder: working directory of the run.
        expected: what may be seen there.
        folders_too: also insist on complete folders (DVC removes an old output file by file, under its final name).

    Attributes:
        violations: one line each.
        looks: how often it looked at everything.
        seen: how many whole files and folders it saw appear.
    """

    def __init__(self, folder: Path, expected: Whole, *, folders_too: bool = True) -> None:
        super().__init__(daemon=True)
        self._folder, self._expected, self._folders_too = folder, expected, folders_too
        self._known: dict[tuple[int, int, int, int], str] = {}
        self._whole: set[tuple[str, int]] = set()
        self._done = threading.Event()
        self.violations: list[str] = []
        self.looks = 0

    @property
    def seen(self) -> int:
        """How many whole folders and files appeared."""
        return len(self._whole) + len(self._known)

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        while not self._done.is_set():
            self._look()
            self.looks += 1
            self._done.wait(0.01)

    def _look(self) -> None:
        for path in _children(self._folder / "data/frames"):
            self._check_file(path)
        for place in ("data/scenes", "data/shards"):
            for path in _children(self._folder / place):
                check = self._check_file if path.suffix == ".json" else self._check_folder
                check(path)
        for path in pieces(self._folder):
            self._check_folder(path)
        for path in _children(self._folder / "reports"):
            self._check_report(path)

    def _check_file(self, path: Path) -> None:
        name = path.relative_to(self._folder).as_posix()
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY)
            if self._hash(handle) != self._expected.files.get(name, ""):
                self._blame(f"{name}: not the expected file")

    def _check_folder(self, path: Path) -> None:
        name = path.relative_to(self._folder).as_posix()
        expected = self._expected.folders.get(name)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return
        try:
            inode = os.fstat(handle).st_ino
            if (name, inode) in self._whole:
                return
            found = self._tree(handle)
            wrong = {file for file in found if expected is None or found[file] != expected.get(file)}
            if found == expected:
                self._whole.add((name, inode))
            elif wrong or (self._folders_too and _is_still(path, inode)):
                self._blame(f"{name}: {len(found)} of {len(expected or ())} files, wrong: {sorted(wrong)[:3]}")
        finally:
            os.close(handle)

    def _tree(self, folder: int) -> dict[str, str]:
        found: dict[str, str] = {}
        with suppress(FileNotFoundError):  # a folder that was replaced meanwhile and is being removed
            for place, _, names, handle in os.fwalk(".", dir_fd=folder):
                for name in names:
                    with suppress(FileNotFoundError):
                        sha256 = self._hash(os.open(name, os.O_RDONLY, dir_fd=handle))
                        found[os.path.normpath(f"{place}/{name}")] = _RECEIPT if name == RECEIPT_NAME else sha256
        return found

    def _hash(self, handle: int) -> str:
        """Of a file; closes it. A file that was looked at and did not change is not read again."""
        with os.fdopen(handle, "rb") as stream:
            state = os.fstat(handle)
            key = (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
            if key not in self._known:
                self._known[key] = hashlib.sha256(stream.read()).hexdigest()
            return self._known[key]

    def _check_report(self, path: Path) -> None:
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".parquet":
                pq.read_table(path)
        except FileNotFoundError:
            return
        except Exception as problem:  # whatever half a file provokes
            self._blame(f"{path.name}: {problem!r}")

    def _blame(self, line: str) -> None:
        if line not in self.violations:
            self.violations.append(line)


def _children(folder: Path) -> list[Path]:
    """Entries with a final name: those of unfinished ones begin with a dot."""
    with suppress(FileNotFoundError):
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    return []


def _is_still(path: Path, inode: int) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_ino == inode
    return False
