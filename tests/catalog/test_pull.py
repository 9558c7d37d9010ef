"""Copying by manifest: resumes, refuses what does not match, and leaves a dataset that opens."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import pull as pull_module
from catalog.pull import PARTIAL, pull
from sahmr.errors import RemoteError
from sahmr.open import open_dataset
from sahmr.shards.reader import read_index
from tests import imports
from tests.worlds import servers, small
from tests.worlds.servers import Served

SHARD = "shards/rich/rich-test-Room_test-000000.tar"
TOP = "catalog/rich.manifest.json"


@pytest.fixture(scope="module")
def published(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "data"
    servers.publish(small_world, folder)
    return folder


@pytest.fixture(params=["http", "sftp", pytest.param("s3", marks=pytest.mark.slow)])  # tests/test_open.py has it too
def address(request: pytest.FixtureRequest, published: Path, tmp_path: Path) -> Iterator[Served]:
    if request.param == "sftp":
        with servers.sftp(published, tmp_path / "home") as served:
            yield served
    else:
        with getattr(servers, request.param)(published) as served:
            yield served


@pytest.fixture
def mirror(published: Path, tmp_path: Path) -> Iterator[tuple[Path, Served]]:
    """A copy that a test may damage, and its server."""
    shutil.copytree(published, tmp_path / "data")
    with servers.http(tmp_path / "data") as served:
        yield tmp_path / "data", served


def partial_of(folder: Path, copy: Path) -> Path:
    """Where a copy keeps what it has of the shard until it is whole."""
    state = json.loads((folder / "shards/rich/manifest.json").read_text())["files"][Path(SHARD).name]
    return copy / PARTIAL / f"{small.sha256(SHARD.encode())[:16]}.{state['sha256']}"


def test_a_whole_copy_is_equal(address: Served, published: Path, tmp_path: Path) -> None:
    done = pull(address.url, tmp_path / "copy", options=address.options)
    assert small.hashes(tmp_path / "copy") == small.hashes(published)
    assert (done.copied, done.received, done.removed) == (done.files, done.bytes, 0)
    again = pull(address.url, tmp_path / "copy", options=address.options)
    assert (again.copied, again.received, again.version) == (0, 0, done.version)


def test_only_what_a_split_needs(mirror: tuple[Path, Served], tmp_path: Path) -> None:
    folder, served = mirror
    pull(served.url, tmp_path / "copy", splits=["test"])
    assert [path.name for path in (tmp_path / "copy/shards/rich").glob("*.tar")] == [Path(SHARD).name]
    assert served.sent("/shards/rich/rich-train") == 0
    data = open_dataset(str(tmp_path / "copy"))
    assert data["Room_test_00006"].key == "Room_test_00006"
    with pytest.raises(RemoteError, match=r"rich-train-Room_train-00000\d\.tar: not there"):
        data["Room_train_00000"]
    served.requests.clear()
    pull(served.url, tmp_path / "copy", sequences=["Room_train"])
    assert served.sent(f"/{SHARD}") == served.sent("/scenes/rich.zarr") == 0
    assert small.hashes(tmp_path / "copy") == small.hashes(folder)
    assert len(read_index(tmp_path / "copy/shards/rich")) == 9  # a whole copy is what the stages read


def test_another_version_moves_what_changed(mirror: tuple[Path, Served], tmp_path: Path) -> None:
    folder, served = mirror
    pull(served.url, tmp_path / "copy")
    old = json.loads((folder / "shards/rich/manifest.json").read_text())
    (folder / "shards/rich/left_out.parquet").unlink()
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes() + bytes(512))
    servers.publish_again(folder)
    served.requests.clear()
    done = pull(served.url, tmp_path / "copy")
    assert (done.copied, done.removed) == (1, 1)
    assert served.sent("/shards/rich/rich-") == old["files"][Path(SHARD).name]["bytes"] + 512
    assert small.hashes(tmp_path / "copy") == small.hashes(folder)


def test_killed_it_goes_on_where_it_stopped(mirror: tuple[Path, Served], tmp_path: Path) -> None:
    folder, served = mirror
    big = folder / "shards/rich" / Path(SHARD).name
    big.write_bytes(big.read_bytes() + bytes(512 * 4000))
    servers.publish_again(folder)
    served.pause = {f"/{SHARD}": 0.05}
    code = f"""
from pathlib import Path
from catalog import pull
pull._PIECE = 1 << 16
pull.pull({served.url!r}, Path("copy"), workers=2)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(imports.ROOT)}) as process:
        while served.sent(f"/{SHARD}") < 5 << 16 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = partial_of(folder, tmp_path / "copy").stat().st_size
    assert kept >= 1 << 16 and not (tmp_path / "copy" / SHARD).exists() and not (tmp_path / "copy" / TOP).exists()
    with pytest.raises(RemoteError, match=r"rich\.manifest\.json: not there"):
        open_dataset(str(tmp_path / "copy"), "rich")
    served.requests.clear()
    served.pause = {}
    pull(served.url, tmp_path / "copy")
    assert served.sent(f"/{SHARD}") == big.stat().st_size - kept
    assert small.hashes(tmp_path / "copy") == small.hashes(folder)


def test_a_rotten_beginning_is_fetched_again(mirror: tuple[Path, Served], tmp_path: Path) -> None:
    folder, served = mirror
    served.cut[f"/{SHARD}"] = 3000
    with pytest.raises(RemoteError, match=rf"{SHARD}: cannot be read"):
        pull(served.url, tmp_path / "copy")
    served.cut.clear()
    partial_of(folder, tmp_path / "copy").write_bytes(b"x" * 1000)
    pull(served.url, tmp_path / "copy")
    assert small.hashes(tmp_path / "copy") == small.hashes(folder)


def _other_byte(folder: Path, served: Served) -> None:
    content = bytearray((folder / SHARD).read_bytes())
    content[2000] ^= 1
    (folder / SHARD).write_bytes(content)


DAMAGES = {
    "gone": (lambda folder, served: (folder / SHARD).unlink(), rf"{SHARD}: not there"),
    "cut": (lambda folder, served: (folder / SHARD).write_bytes(b"short"), rf"{SHARD}: has 5 bytes, the manifest says"),
    "other": (_other_byte, rf"{SHARD}: SHA-256 differs from the manifest"),
    "refused": (lambda folder, served: served.refuse.update({f"/{SHARD}": 500}), rf"{SHARD}: cannot be read \(500"),
    "hung up": (lambda folder, served: served.cut.update({f"/{SHARD}": 100}), rf"{SHARD}: cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_does_not_match_gets_no_name(name: str, mirror: tuple[Path, Served], tmp_path: Path) -> None:
    folder, served = mirror
    damage, says = DAMAGES[name]
    damage(folder, served)
    with pytest.raises(RemoteError, match=says) as told:
        pull(served.url, tmp_path / "copy")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "copy" / SHARD).exists() and not (tmp_path / "copy" / TOP).exists()


def test_nothing_at_all_is_written_where_nothing_can_be_had(published: Path, tmp_path: Path) -> None:
    for choice, says in (
        ({"splits": ["tset"]}, "rich has no split 'tset'; the nearest: test, train"),
        ({"sequences": ["Room_tset"]}, "has no sequence 'Room_tset'; the nearest: Room_test"),
        ({"splits": ["test"], "sequences": ["Room_train"]}, "no sample is in split"),
        ({"dataset": "prox"}, r"prox\.manifest\.json: not there"),
    ):
        with pytest.raises(RemoteError, match=says):
            pull(str(published), tmp_path / "copy", **choice)
    assert not (tmp_path / "copy").exists()


def test_one_at_a_time_and_a_full_disk(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copy" / PARTIAL).mkdir(parents=True)
    with (tmp_path / "copy" / PARTIAL / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RemoteError, match="another copy into this folder is running; wait for it"):
            pull(str(published), tmp_path / "copy")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(pull_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(RemoteError, match=r"needs \d+ bytes, the disk has 1000; free some"):
        pull(str(published), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_server_without_ranges_sends_each_file_once_more(mirror: tuple[Path, Served], tmp_path: Path) -> None:
    folder, served = mirror
    served.ranges = False
    pull_module._PIECE, kept = 1 << 14, pull_module._PIECE
    try:
        pull(served.url, tmp_path / "copy")
    finally:
        pull_module._PIECE = kept
    assert served.sent(f"/{SHARD}") <= 2 * (folder / SHARD).stat().st_size
    assert small.hashes(tmp_path / "copy") == small.hashes(folder)
