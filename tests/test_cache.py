"""The cache of fetched content: a stable subset stays, processes share it, damage and full disks cost nothing."""

from __future__ import annotations

import errno
import hashlib
import logging
import multiprocessing
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from sahmr.cache import NOTICE, Cache

LENGTH, COUNT = 1000, 200


def content(number: int, length: int = LENGTH) -> bytes:
    return number.to_bytes(4, "big") * (length // 4)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(cache: Cache, data: bytes) -> bool:
    """As a reader does; whether the cache had it."""
    found = cache.get(sha256(data), len(data))
    if found is None:
        cache.put({sha256(data): data})
        return False
    assert found == data
    return True


def kept(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.glob("??/*")}


def share_served(cache: Cache, epochs: int, *, seed: int = 0) -> list[float]:
    """Of each epoch, reshuffled."""
    order = np.random.default_rng(seed)
    return [np.mean([fetch(cache, content(n)) for n in order.permutation(COUNT).tolist()]) for _ in range(epochs)]


def test_half_of_the_data_serves_nearly_half_of_the_reads(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", COUNT * LENGTH // 2)
    first, *later = share_served(cache, 6)
    assert first == 0 and min(later) >= 0.45
    assert sum(kept(cache.folder).values()) <= cache.limit
    small = Cache(tmp_path / "small", COUNT * LENGTH // 10)
    assert min(share_served(small, 5)[1:]) >= 0.09


def test_what_was_used_last_would_serve_less(tmp_path: Path) -> None:
    """The measure is one that plain LRU fails: of a fixed order it serves nothing."""
    used, hits = dict[int, None](), 0
    for _ in range(4):
        for number in range(COUNT):
            hits += number in used
            used.pop(number, None)
            used[number] = None
            if len(used) > COUNT // 2:
                del used[next(iter(used))]
    assert hits == 0
    cache = Cache(tmp_path, COUNT * LENGTH // 2)
    served = [np.mean([fetch(cache, content(number)) for number in range(COUNT)]) for _ in range(3)]
    assert min(served[1:]) >= 0.45


def test_a_limit_may_change(tmp_path: Path) -> None:
    share_served(Cache(tmp_path, COUNT * LENGTH // 2), 2)
    assert share_served(Cache(tmp_path, COUNT * LENGTH), 2, seed=1)[1] == 1
    less = Cache(tmp_path, COUNT * LENGTH // 4)
    assert share_served(less, 1) == [1]  # nothing is thrown out for what is only read
    (tmp_path / "state.json").unlink()
    fetch(less, content(COUNT))
    assert sum(kept(tmp_path).values()) <= less.limit


def test_stale_entries_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100 * LENGTH)
    old = [content(number) for number in range(100)]
    for data in old:
        fetch(cache, data)
    long_ago = time.time() - 30 * 86400
    for path in tmp_path.glob("??/*"):
        os.utime(path, (long_ago, long_ago))
    for _ in range(2):
        for number in range(1000, 1090):
            fetch(cache, content(number))
    assert all(fetch(cache, content(number)) for number in range(1000, 1090))
    assert sum(path in kept(tmp_path) for path in map(sha256, old)) <= 10


def test_a_read_keeps_an_entry_fresh(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 10 * LENGTH)
    fetch(cache, content(1))
    (path,) = tmp_path.glob("??/*")
    os.utime(path, (0, 0))
    assert fetch(cache, content(1)) and time.time() - path.stat().st_mtime < 60


@pytest.mark.parametrize("damage", ["cut", "changed", "longer", "link"])
def test_a_damaged_entry_is_fetched_again(damage: str, tmp_path: Path) -> None:
    cache, data = Cache(tmp_path / "cache", 10 * LENGTH), content(7)
    fetch(cache, data)
    (path,) = cache.folder.glob("??/*")
    match damage:
        case "cut":
            path.write_bytes(data[:-1])
        case "changed":
            path.write_bytes(b"x" + data[1:])
        case "longer":
            path.write_bytes(data + b"x")
        case _:
            path.unlink()
            (tmp_path / "other").write_bytes(data)
            path.symlink_to(tmp_path / "other")
    assert cache.get(sha256(data), LENGTH) is None
    if damage != "link":  # which is not followed, and stands in nobody's way
        assert not fetch(cache, data) and fetch(cache, data)
    assert (tmp_path / "other").exists() == (damage == "link")


def test_a_lost_or_damaged_state_is_made_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 20 * LENGTH)
    for number in range(40):
        fetch(cache, content(number))
    for text in ("", "[1", '{"used": 3}', "[null, 1, 2]"):
        (tmp_path / "state.json").write_text(text)
        for number in range(40):
            fetch(cache, content(number))
        cache.put({sha256(b""): b""})
    (tmp_path / "state.json").unlink()
    share_served(cache, 1)
    share_served(cache, 1)
    assert sum(kept(tmp_path).values()) <= cache.limit


def test_nothing_is_kept_of_what_is_too_large_or_without_room(tmp_path: Path) -> None:
    for cache in (Cache(tmp_path / "small", LENGTH - 1), Cache(tmp_path / "none", 0)):
        assert not fetch(cache, content(1)) and not cache.folder.exists()


def test_the_folder_is_its_user_s_and_says_what_binds_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "a/b", 10 * LENGTH)
    fetch(cache, content(1))
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert "licence binds" in (cache.folder / NOTICE).read_text()
    assert {path.name for path in cache.folder.iterdir() if path.is_file()} == {NOTICE, "state.json"}


def _fill(folder: Path, seed: int, limit: int) -> None:
    cache = Cache(folder, limit)
    for number in np.random.default_rng(seed).permutation(COUNT).tolist() * 2:
        fetch(cache, content(number))


def test_processes_throw_out_at_once(tmp_path: Path) -> None:
    limit = COUNT * LENGTH // 4
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(tmp_path, seed, limit)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sum(kept(tmp_path).values()) <= limit and not list(tmp_path.glob("??/.*"))
    assert all(path.read_bytes() and sha256(path.read_bytes()) == path.name for path in tmp_path.glob("??/*"))
    assert share_served(Cache(tmp_path, limit), 1)[0] >= 0.24  # of a quarter; all agreed on which


def _refuse(code: int) -> None:
    raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_told_once(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path / "cache", 10 * LENGTH)
    fetch(cache, content(1))
    monkeypatch.setattr(Path, "write_bytes", lambda *_: _refuse(code))
    with caplog.at_level(logging.WARNING, "sahmr"):
        assert not any(fetch(cache, content(number)) for number in (2, 3, 2))
    (line,) = caplog.messages
    assert line.startswith(f"{cache.folder}: cannot be written ({os.strerror(code)})")
    assert fetch(cache, content(1)) and len(kept(cache.folder)) == 1  # what is there still serves


def test_a_folder_that_is_read_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As another user than root finds it; a file in place of the folder refuses root as well."""
    cache = Cache(tmp_path / "cache", 10 * LENGTH)
    fetch(cache, content(1))
    if os.getuid():
        for path in (*cache.folder.glob("??"), cache.folder):
            path.chmod(0o500)
    else:
        (tmp_path / "file").write_text("mine")
        cache = Cache(tmp_path / "file", 10 * LENGTH)
    caplog.set_level(logging.WARNING, "sahmr")
    assert not fetch(cache, content(2)) and not fetch(cache, content(2))
    assert len(caplog.messages) == 1 and "cannot be written" in caplog.messages[0]
    if os.getuid():
        assert fetch(cache, content(1))
        cache.folder.chmod(0o700)
