"""Files and folders are whole or absent, and their digests see names and contents."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from sahmr.files import file_sha256, folder_digest, publish_file, publish_folder, publish_text
from tests.worlds.folders import FILES, contents, dead_pid, failing, write


def test_digests_by_hand(tmp_path: Path) -> None:
    write(tmp_path, {"two": b"22", "b/one": b"1"})
    one, two = (hashlib.sha256(content).hexdigest() for content in (b"1", b"22"))
    assert file_sha256(tmp_path / "two") == two
    write(tmp_path, {"three": b"333"})
    assert (
        folder_digest(tmp_path, without=("three", "one"))
        == hashlib.sha256(f"{one}  b/one\n{two}  two\n".encode()).hexdigest()
    )


def test_a_folder_s_digest_sees_names_and_contents(tmp_path: Path) -> None:
    for name, files in (
        ("a", FILES), ("same", FILES), ("renamed", {"c.txt": b"first", "deep/b.bin": b"\0" * 100}),
        ("changed", {**FILES, "a.txt": b"other"}), ("moved", {"a.txt": b"first", "b.bin": b"\0" * 100}),
    ):  # fmt: skip
        write(tmp_path / name, files)
    digests = {name: folder_digest(tmp_path / name) for name in ("a", "same", "renamed", "changed", "moved")}
    assert digests["a"] == digests["same"] and len(set(digests.values())) == 4


def test_a_published_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    final = tmp_path / "out" / "rich"
    with publish_folder(final) as folder:
        write(folder)
        assert not final.exists()
    assert contents(final) == FILES
    with publish_folder(final) as folder:
        assert contents(folder) == {}
        (folder / "c").write_bytes(b"new")
        assert contents(final) == FILES
    assert contents(final) == {"c": b"new"}
    with pytest.raises(KeyboardInterrupt), publish_folder(final) as folder:
        write(folder)
        raise KeyboardInterrupt
    assert contents(final) == {"c": b"new"}
    assert [path.name for path in final.parent.iterdir()] == ["rich"]


def test_publishing_clears_what_killed_processes_left(tmp_path: Path) -> None:
    final, dead = tmp_path / "rich.zarr", dead_pid()
    for name in (
        f".rich.zarr.{dead}.partial",
        f".rich.zarr.old.{dead}.partial",
        f".rich.zarr.{os.getppid()}.partial",
    ):
        write(tmp_path / name)
    write(tmp_path / f".other.zarr.{dead}.partial")
    with publish_folder(final) as folder:
        write(folder)
    left = {".rich.zarr." + f"{os.getppid()}.partial", f".other.zarr.{dead}.partial"}
    assert {path.name for path in tmp_path.iterdir()} == {"rich.zarr", *left}


def test_a_published_text_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "reports" / "a.json"
    publish_text(final, "old")
    monkeypatch.setattr(Path, "replace", lambda *_: failing(errno.ENOSPC)())
    with pytest.raises(OSError, match="No space"):
        publish_text(final, "new")
    assert final.read_text() == "old"
    assert [path.name for path in final.parent.iterdir()] == ["a.json"]


def test_a_file_gets_its_name_when_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "new" / "a.bin"
    with publish_file(final) as partial:
        partial.write_bytes(b"old")
        assert not final.exists() and str(os.getpid()) in partial.name
    assert contents(tmp_path) == {"new/a.bin": b"old"}
    with pytest.raises(KeyboardInterrupt), publish_file(final) as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"new/a.bin": b"old"}
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        publish_text(final, "new")
    assert contents(tmp_path) == {"new/a.bin": b"old"}
