"""Pieces and published folders: complete under their names or not there, whatever dies, fills up or runs beside."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.conversion import work_store
from pipelines.conversion.work_store import RECEIPT_NAME, Receipt, WorkStore, folder_digest, piece_key
from sahmr.errors import StoreError
from sahmr.files import publish_folder, publish_text

KEY = "ab" + "0" * 62
FILES = {"a.txt": b"first", "deep/b.bin": b"\0" * 100}


@pytest.fixture
def store(tmp_path: Path) -> WorkStore:
    return WorkStore(root=tmp_path / "work")


@pytest.fixture
def dead_pid() -> int:
    """Number of a process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def write(folder: Path, files: dict[str, bytes] = FILES) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def made(store: WorkStore, key: str = KEY, *, is_flawed: bool = False) -> Receipt:
    with store.make("shards", key) as draft:
        write(draft.folder)
        draft.facts = {"count": 3}
        draft.is_flawed = is_flawed
    receipt = store.find("shards", key)
    assert receipt is not None
    return receipt


def drafts(store: WorkStore) -> list[str]:
    return sorted(path.name for path in (store.root / "tmp").glob("*"))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_piece_is_found_as_it_was_made(store: WorkStore) -> None:
    assert store.find("shards", KEY) is None
    receipt = made(store, is_flawed=True)
    assert receipt == Receipt(key=KEY, sizes={"a.txt": 5, "deep/b.bin": 100}, facts={"count": 3}, is_flawed=True)
    assert receipt.size == 105
    assert store.find("frames", KEY) is None
    folder = store.folder("shards", KEY)
    assert {name: content for name, content in contents(folder).items() if name != RECEIPT_NAME} == FILES
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o444}
    assert drafts(store) == []


def test_nothing_appears_before_the_end(store: WorkStore) -> None:
    with store.make("shards", KEY) as draft:
        write(draft.folder)
        assert not store.folder("shards", KEY).exists() and store.find("shards", KEY) is None
    assert store.find("shards", KEY) is not None


@pytest.mark.parametrize("problem", [ValueError("bad"), KeyboardInterrupt(), OSError(errno.EIO, "I/O error", "/raw/a")])
def test_an_error_leaves_nothing(store: WorkStore, problem: BaseException) -> None:
    with pytest.raises(type(problem)) as told, store.make("shards", KEY) as draft:
        write(draft.folder)
        raise problem
    assert told.value is problem  # not about the store
    assert not store.folder("shards", KEY).exists() and drafts(store) == []


def test_a_kill_leaves_only_a_draft_that_the_next_run_sweeps(store: WorkStore) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from pipelines.conversion.work_store import WorkStore\n"
        f"with WorkStore(root=pathlib.Path(sys.argv[1])).make('shards', {KEY!r}) as draft:\n"
        "    (draft.folder / 'a.txt').write_bytes(b'first')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(store.root)]).returncode == -9
    assert store.find("shards", KEY) is None and len(drafts(store)) == 1
    assert store.sweep() == 1 and drafts(store) == []


@pytest.mark.parametrize(
    ("name", "hours", "is_swept"),
    [
        ("shards-abababababab-{host}-{dead}-0123", 0, True),
        ("old-abababababab-{host}-{dead}-0123", 0, True),
        ("shards-abababababab-{host}-{own}-0123", 0, False),
        ("shards-abababababab-other-node-7-{dead}-0123", 23, False),
        ("shards-abababababab-other-node-7-{dead}-0123", 25, True),
        ("shards-abababababab-other-node-7-{own}-0123", 25, True),
    ],
)
def test_sweep(store: WorkStore, dead_pid: int, name: str, hours: int, is_swept: bool) -> None:
    """Drafts of this host's dead processes go; those of other hosts, where nobody can look, after a day."""
    place = store.root / "tmp" / name.format(host=socket.gethostname(), dead=dead_pid, own=os.getpid())
    write(place)
    then = time.time() - hours * 3600
    os.utime(place, (then, then))
    assert store.sweep() == int(is_swept)
    assert place.exists() is not is_swept


def test_many_makers_of_one_piece(store: WorkStore) -> None:
    """Whoever is first, the piece is sound, and nobody fails."""
    barrier, problems = threading.Barrier(8), []

    def make() -> None:
        try:
            with store.make("shards", KEY) as draft:
                write(draft.folder)
                barrier.wait()
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and drafts(store) == []
    assert store.find("shards", KEY) is not None
    assert contents(store.folder("shards", KEY)).items() > FILES.items()


def test_a_sound_piece_stays_and_a_damaged_one_is_replaced(store: WorkStore) -> None:
    made(store)
    file = store.folder("shards", KEY) / "a.txt"
    first = file.stat().st_ino
    made(store)
    assert file.stat().st_ino == first
    file.chmod(0o644)
    file.write_bytes(b"cut")
    assert store.find("shards", KEY) is None
    made(store)
    assert file.read_bytes() == b"first"


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b'{"sizes": {"gone": 1}}'])
def test_a_damaged_receipt_means_no_piece(store: WorkStore, content: bytes) -> None:
    made(store)
    receipt = store.folder("shards", KEY) / RECEIPT_NAME
    receipt.chmod(0o644)
    receipt.write_bytes(content)
    assert store.find("shards", KEY) is None
    made(store)


def test_a_lost_file_means_no_piece(store: WorkStore) -> None:
    made(store)
    (store.folder("shards", KEY) / "deep/b.bin").unlink()
    assert store.find("shards", KEY) is None


def test_discard(store: WorkStore) -> None:
    made(store)
    store.discard("shards", KEY)
    assert store.find("shards", KEY) is None and drafts(store) == []
    store.discard("shards", KEY)  # again: nothing to do


def test_links_share_disk_space(store: WorkStore, tmp_path: Path) -> None:
    receipt = made(store)
    for below, expected in (("", FILES), ("deep", {"b.bin": FILES["deep/b.bin"]})):
        target = tmp_path / f"out{below}"
        target.mkdir()
        if below:
            receipt = Receipt(key=KEY, sizes={"deep/b.bin": 100}, facts={}, is_flawed=False)
        store.link("shards", receipt, target, below=below)
        assert contents(target) == expected
        assert all(path.stat().st_nlink > 1 for path in target.rglob("*") if path.is_file())


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
def test_copies_where_links_cannot_be(
    store: WorkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    receipt = made(store)
    monkeypatch.setattr(os, "link", failing(code))
    store.link("shards", receipt, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    assert (tmp_path / "a.txt").stat().st_nlink == 1


def test_other_problems_of_links_are_told(store: WorkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = made(store)
    monkeypatch.setattr(os, "link", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        store.link("shards", receipt, tmp_path)


def failing(code: int) -> Callable[..., None]:
    def fail(*names: object) -> None:
        raise OSError(code, os.strerror(code), *(str(name) for name in names[:1] if isinstance(name, str | Path)))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_told_with_what_to_do(store: WorkStore, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(StoreError, match=rf"{os.strerror(code)}.*paths\.work.*run the same command again"):
        made(store)
    assert store.find("shards", KEY) is None and drafts(store) == []


def test_a_store_without_the_right_to_write(store: WorkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: failing(errno.EACCES)(path))
    with pytest.raises(StoreError, match=rf"{store.root}.*Permission denied; the work store"):
        made(store)


def test_a_raw_file_without_the_right_to_read_is_not_the_store_s_fault(store: WorkStore) -> None:
    with pytest.raises(PermissionError), store.make("shards", KEY):
        failing(errno.EACCES)("/raw/a.jpeg")


def test_a_key_holds_everything_that_decides_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {"files": [["a", 1, 2]]}
    key = piece_key("shards", 1, {"quality": 92, "side": 3}, inputs)
    assert len(key) == 64 and set(key) <= set("0123456789abcdef")
    assert piece_key("shards", 1, {"side": 3, "quality": 92}, json.loads(json.dumps(inputs))) == key
    others = [
        piece_key("frames", 1, {"quality": 92, "side": 3}, inputs),
        piece_key("shards", 2, {"quality": 92, "side": 3}, inputs),
        piece_key("shards", 1, {"quality": 93, "side": 3}, inputs),
        piece_key("shards", 1, {"quality": 92, "side": 3, "more": None}, inputs),
        piece_key("shards", 1, {"quality": 92, "side": 3}, {"files": [["a", 1, 3]]}),
    ]
    for package in work_store.LIBRARIES:
        with monkeypatch.context() as patch:
            newer = {**work_store.library_versions(), package: "99.0"}
            patch.setattr(work_store, "library_versions", lambda newer=newer: newer)
            others.append(piece_key("shards", 1, {"quality": 92, "side": 3}, inputs))
    assert len({key, *others}) == 1 + len(others)


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


def test_publishing_clears_what_killed_processes_left(tmp_path: Path, dead_pid: int) -> None:
    final = tmp_path / "rich.zarr"
    for name in (
        f".rich.zarr.{dead_pid}.partial",
        f".rich.zarr.old.{dead_pid}.partial",
        f".rich.zarr.{os.getppid()}.partial",
    ):
        write(tmp_path / name)
    write(tmp_path / f".other.zarr.{dead_pid}.partial")
    with publish_folder(final) as folder:
        write(folder)
    left = {".rich.zarr." + f"{os.getppid()}.partial", f".other.zarr.{dead_pid}.partial"}
    assert {path.name for path in tmp_path.iterdir()} == {"rich.zarr", *left}


def test_a_published_text_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "reports" / "a.json"
    publish_text(final, "old")
    monkeypatch.setattr(Path, "replace", lambda *_: failing(errno.ENOSPC)())
    with pytest.raises(OSError, match="No space"):
        publish_text(final, "new")
    assert final.read_text() == "old"
    assert [path.name for path in final.parent.iterdir()] == ["a.json"]
