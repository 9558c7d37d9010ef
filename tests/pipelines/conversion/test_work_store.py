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
from pathlib import Path

import pytest

from pipelines.conversion import work_store
from pipelines.conversion.piece_receipt import RECEIPT_NAME, Receipt
from pipelines.conversion.work_store import WorkStore, piece_key
from sahmr.errors import StoreError
from tests.worlds.folders import FILES, contents, dead_pid, failing, write

KEY = "ab" + "0" * 62


@pytest.fixture
def store(tmp_path: Path) -> WorkStore:
    return WorkStore(root=tmp_path / "work")


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
def test_sweep(store: WorkStore, name: str, hours: int, is_swept: bool) -> None:
    """Drafts of this host's dead processes go; those of other hosts, where nobody can look, after a day."""
    place = store.root / "tmp" / name.format(host=socket.gethostname(), dead=dead_pid(), own=os.getpid())
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
            patch.setattr(work_store, "library_versions", lambda _, newer=newer: newer)
            others.append(piece_key("shards", 1, {"quality": 92, "side": 3}, inputs))
    assert len({key, *others}) == 1 + len(others)
