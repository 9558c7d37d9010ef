"""Files that claim time, memory or other files are refused with one message, in a process with little to spare."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sahmr.errors import BodyModelError, RawDataError
from sahmr.untrusted.regular import open_regular, read_regular
from tests import imports
from tests.untrusted.hostile_cases import CASES, Case
from tests.untrusted.read_hostile import READERS


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, list[str]]]:
    """What is said of each case, and which files were opened; all are read by one process, that dies of none."""
    folder = tmp_path_factory.mktemp("hostile")
    planned = []
    for number, case in enumerate(CASES):
        path = folder / f"{number}.{case.reader}"
        path.write_bytes(case.make())
        planned.append((case.name, case.reader, str(path)))
    (folder / "cases.json").write_text(json.dumps(planned))
    command = [sys.executable, "-m", "tests.untrusted.read_hostile", str(folder / "cases.json")]
    done = subprocess.run(command, cwd=imports.ROOT, capture_output=True, text=True, timeout=200)
    found = {name: (message, opened) for name, message, opened in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0 and len(found) == len(CASES), f"{list(found.items())[-1:]} {done.stderr[-2000:]}"
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reader}: {case.name}")
def test_a_hostile_file_is_refused(said: dict[str, tuple[str | None, list[str]]], case: Case) -> None:
    """Whatever it names, be it a texture, an entity or a DTD, nothing else is opened."""
    message, opened = said[case.name]
    assert [Path(file).suffix for file in opened] == ([] if "has at most" in str(message) else [f".{case.reader}"])
    assert (message is None) == (case.says is None), message
    if case.says is not None and message is not None:
        assert re.search(rf"\.{case.reader}[:,] .*({case.says})", message), message
        assert len(message) < 700 and "MemoryError" not in message
    assert len({other.name for other in CASES}) == len(CASES)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (fifo, "is a FIFO, not a regular file; put the published file there"),
        (folder, "is a folder, not a regular file"),
        (device, "is a device, not a regular file"),
        (bound_socket, "is a socket, not a regular file"),
        (loop, r"cannot be read \(Too many levels of symbolic links\); check its disk"),
    ],
)
def test_only_regular_files_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, make: Callable[[Path], None], says: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make(Path("a"))
    with pytest.raises(RawDataError, match=f"^a: {says}"):
        READERS[reader](Path("a"))


def test_a_fifo_that_takes_a_file_s_place_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    before = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: before)
    with pytest.raises(BodyModelError, match="fifo: is a FIFO"):
        read_regular(tmp_path / "fifo", error=BodyModelError)


def test_sizes_and_errors_of_the_door(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path, most_bytes=5) == b"12345"
    with pytest.raises(RawDataError, match="has 5 bytes, such a file has at most 4; fetch it again"):
        read_regular(path, most_bytes=4)
    os.truncate(path, 1 << 40)  # sparse: nothing is written
    with pytest.raises(RawDataError, match="has 1,099,511,627,776 bytes"):
        read_regular(path)
    with pytest.raises(RawDataError, match="no such file"):
        read_regular(path / "below a file")
    with pytest.raises(OSError, match="truncated"), open_regular(path, most_bytes=1 << 40):
        raise OSError("truncated")  # as Pillow does
    with (
        pytest.raises(RawDataError, match=r"cannot be read \(Input/output error\); check its disk"),
        open_regular(path, most_bytes=1 << 40),
    ):
        raise OSError(5, os.strerror(5))
