"""Prove a DVC remote: write a little, read it back, compare, remove it. ``python -m catalog.share_check [REMOTE]``."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sahmr.errors import RemoteError

SIZES = (0, 1_000, 3_000_000)  # bytes of the files that are tried: empty, small, more than one packet
_SHOWN = 300  # characters of what a library says


def check_remote(root: Path, name: str | None, say: Callable[[str], None] = print) -> None:
    """Try what ``dvc push`` and ``dvc pull`` do, with DVC's own configuration and connection.

    Args:
        root: of the repository.
        name: of the remote; None: the default one.
        say: is given a line for each step that went well.

    Raises:
        RemoteError: naming the step that failed. Whatever was written is removed, if that is possible.
    """
    from dvc.repo import Repo  # not earlier: a second

    try:
        with Repo(str(root)) as repo:
            remote = repo.cloud.get_remote(name)
            where, fs, path = f"remote {remote.name} ({address(remote)})", remote.fs, str(remote.path)
    except Exception as problem:  # DVC has dozens of types; a missing plug-in is one of them
        raise RemoteError(f"remote {name or 'by default'}: {_line(problem)}; see: dvc remote list") from None
    folder = fs.join(path, f"share-check-{uuid.uuid4().hex}")
    contents = {f"{size}": os.urandom(size) for size in SIZES}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _step(where, "cannot be written to", _write, fs, folder, contents, Path(scratch))
            say(f"{where}: wrote {len(SIZES)} files, {sum(SIZES)} bytes")
            _step(where, "cannot be read back", _read, fs, folder, contents, Path(scratch))
            say(f"{where}: read them back, equal")
        finally:
            _step(where, f"{folder} cannot be removed, remove it by hand", _remove, fs, folder, contents)
    say(f"{where}: removed them")


def address(remote: Any) -> str:
    """Where a remote of DVC leads, without credentials."""
    return str(remote.fs.unstrip_protocol(remote.path))


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:_SHOWN] or type(problem).__name__


def _step(where: str, what: str, step: Callable[..., None], *args: Any) -> None:
    try:
        step(*args)
    except Exception as problem:  # aiohttp, botocore and asyncssh raise many types
        raise RemoteError(f"{where}: {what} ({_line(problem)}); check url, credentials and rights") from None


def _write(fs: Any, folder: str, contents: dict[str, bytes], scratch: Path) -> None:
    fs.makedirs(folder, exist_ok=True)
    for name, content in contents.items():
        (scratch / name).write_bytes(content)
        fs.put_file(str(scratch / name), fs.join(folder, name))


def _read(fs: Any, folder: str, contents: dict[str, bytes], scratch: Path) -> None:
    for name, content in contents.items():
        fs.get_file(fs.join(folder, name), str(scratch / f"{name}.back"))
        if (scratch / f"{name}.back").read_bytes() != content:
            raise ValueError(f"{name}: other bytes than were written")


def _remove(fs: Any, folder: str, contents: dict[str, bytes]) -> None:
    for name in contents:
        if fs.exists(fs.join(folder, name)):
            fs.remove(fs.join(folder, name))
    if fs.exists(folder):
        fs.remove(folder)


def main() -> None:
    """Check the remote that the command line names; exit 4 if it fails."""
    if sys.argv[1:2] in (["-h"], ["--help"]) or len(sys.argv) > 2:
        print(__doc__)
        sys.exit(2 if len(sys.argv) > 2 else 0)
    try:
        check_remote(Path(), sys.argv[1] if sys.argv[1:] else None)
    except RemoteError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(4)


if __name__ == "__main__":
    main()
