"""Little folders of files, a disk that refuses, and the number of a process that is over."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FILES = {"a.txt": b"first", "deep/b.bin": b"\0" * 100}


def write(folder: Path, files: dict[str, bytes] = FILES) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def failing(code: int) -> Callable[..., None]:
    def fail(*names: object) -> None:
        raise OSError(code, os.strerror(code), *(str(name) for name in names[:1] if isinstance(name, str | Path)))

    return fail


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid
