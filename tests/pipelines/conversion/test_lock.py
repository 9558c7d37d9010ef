"""Two at once, with real processes: one output has one writer; others of one work store are made side by side."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines import shards, train_rcnet
from pipelines.conversion import lock
from pipelines.conversion.lock import hold
from sahmr.errors import StoreError
from tests.worlds import small
from tests.worlds.folders import dead_pid, failing

HOLD = """
import sys, time
from pathlib import Path
from pipelines.conversion.lock import hold
work, stage, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
with hold(work, stage, output):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(work: Path, stage: str, output: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until the block ends."""
    command = [sys.executable, "-c", HOLD, str(work), stage, str(output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait()


def lock_file(work: Path) -> Path:
    (file,) = (work / "locks").iterdir()
    return file


def take(work: Path, stage: str, output: Path) -> None:
    with hold(work, stage, output):
        pass


def test_the_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    work, output = tmp_path / "work", tmp_path / "models/rcnet.pt"
    with holder(work, "train_rcnet", output) as process:
        with pytest.raises(StoreError) as told:
            take(work, "train_rcnet", output)
        assert re.search(
            rf"train_rcnet is running already and writes {output}: pid {process.pid} on \S+ since 20\d\d-.*"
            rf"\(-c .*\); wait for it, or stop it .*; lock file {lock_file(work)}$",
            str(told.value),
        )
        take(work, "train_rcnet", tmp_path / "elsewhere/rcnet.pt")  # another output of the same work store
        take(work, "train_sahmr", tmp_path / "models/sahmr.pt")
    take(work, "train_rcnet", output)  # once it is over


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path, "shards", tmp_path / "out") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert json.loads(lock_file(tmp_path).read_text())["pid"] == process.pid  # what it said stays
        take(tmp_path, "shards", tmp_path / "out")


@pytest.mark.parametrize(
    "note",
    [b"", b"{", b"[1]", b"\xff" * 9999, b"[" * 4000, json.dumps({"pid": dead_pid(), "host": os.uname().nodename,
     "since": "then", "command": "an old one"}).encode()],
    ids=["empty", "cut", "list", "noise", "nested", "of a dead process"],
)  # fmt: skip
def test_a_stale_note_misleads_nobody(note: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the kernel decides: a note without a lock is nothing, a lock without a note is a lock."""
    monkeypatch.setattr(lock, "_FRESH_S", 0.0)
    take(tmp_path, "shards", tmp_path / "out")
    file = lock_file(tmp_path)
    file.write_bytes(note)
    take(tmp_path, "shards", tmp_path / "out")
    file.write_bytes(note)
    with file.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process, or a helper that it left behind, holds it"):
            take(tmp_path, "shards", tmp_path / "out")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_told(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(code))
    with pytest.raises(StoreError, match=r"cannot be locked .*paths\.work.* must be on a file system with locks"):
        take(tmp_path, "shards", tmp_path / "out")


def make_folder(path: Path) -> None:
    path.mkdir(parents=True)


def make_link(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(path.parent.parent / "elsewhere")


@pytest.mark.parametrize("make", [make_folder, make_link])
def test_what_stands_in_the_way_of_a_lock_file_is_told(make, tmp_path: Path) -> None:
    take(tmp_path, "shards", tmp_path / "out")
    file = lock_file(tmp_path)
    file.unlink()
    file.parent.rmdir()
    make(file)
    with pytest.raises(StoreError, match=rf"{file}: .*; the work store .*run the same command again"):
        take(tmp_path, "shards", tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


CONVERT = """
import sys
from pathlib import Path
from tests.worlds import small
from pipelines import shards
shards.open_reader = lambda dataset, root, **_: small.SmallReader(root=root)
world, paths = Path(sys.argv[1]), small.paths_of(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(2):
    shards.run(sys.argv[2], small.SHARDS, paths, small.PARALLEL, raw=world / "raw")
"""


@pytest.mark.slow  # two processes that import everything
def test_two_datasets_and_two_outputs_over_one_work_store(tmp_path: Path) -> None:
    """Processes that convert at once, with the pieces of one shared by another: all end as one alone."""
    small.write_world(tmp_path / "a")
    frames = tmp_path / "a/frames"
    (frames / "prox.parquet").write_bytes((frames / "rich.parquet").read_bytes())
    other = tmp_path / "b"
    other.mkdir()
    for name in ("raw", "frames", "bodies", "work"):
        (tmp_path / "a" / name).mkdir(exist_ok=True)
        (other / name).symlink_to(tmp_path / "a" / name)
    jobs = [(tmp_path / "a", "prox"), (other, "rich")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CONVERT, str(world), dataset],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for world, dataset in jobs
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    answers = [process.communicate("go\n") for process in started]
    assert [process.returncode for process in started] == [0, 0], answers
    alone = small.hashes(tmp_path / "a/shards/rich")  # made here, without a work store
    assert len(alone) == 5
    assert small.hashes(tmp_path / "a/shards/prox") == small.hashes(other / "shards/rich") == alone
    assert not list((tmp_path / "a/work/tmp").iterdir())


def test_a_second_conversion_of_the_same_dataset_is_refused(tmp_path: Path) -> None:
    paths = small.paths_of(tmp_path)
    with (
        holder(paths.work, "shards", paths.shards / "rich"),
        pytest.raises(StoreError, match=r"shards is running already and writes .*shards/rich: pid \d+"),
    ):
        shards.run("rich", small.SHARDS, paths, small.PARALLEL, raw=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]


def test_a_second_training_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.worlds import trainings

    trainings.write_world(tmp_path)
    params = trainings.write_params(tmp_path, epochs=1, batch_size=6)
    monkeypatch.setattr(train_rcnet, "_train", lambda *_: pytest.fail("it trains"))
    with (
        holder(tmp_path / "work", "train_rcnet", tmp_path / "models/rcnet.pt"),
        pytest.raises(StoreError, match=r"train_rcnet is running already and writes .*models/rcnet\.pt: pid \d+"),
    ):
        trainings.run("train_rcnet", params)


def test_a_draft_of_a_living_process_is_not_swept(tmp_path: Path) -> None:
    from pipelines.conversion.work_store import WorkStore

    code = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.conversion.work_store import WorkStore\n"
        "with WorkStore(root=Path(sys.argv[1])).make('shards', 'ab' * 32) as draft:\n"
        "    print('made', flush=True)\n    sys.stdin.read()\n    (draft.folder / 'a').write_text('a')\n"
    )
    store = WorkStore(root=tmp_path)
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        (draft,) = (tmp_path / "tmp").iterdir()
        old = time.time() - 48 * 3600
        os.utime(draft, (old, old))
        assert store.sweep() == 0  # however long it takes
        process.stdin.close()
        process.wait()
    assert store.find("shards", "ab" * 32) is not None
