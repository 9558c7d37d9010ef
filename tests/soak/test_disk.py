"""A full or read-only disk is told with its name, loses nothing, and the work goes on once there is room."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.soak.processes import environment, hashes
from tests.soak.road import write_params

pytestmark = pytest.mark.slow
NAMESPACE = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]


def can_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture(scope="module")
def told(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``tests.soak.disk`` says."""
    folder = tmp_path_factory.mktemp("disk")
    if not can_mount(folder):
        pytest.skip("file systems cannot be mounted here")
    write_params(folder, str(demo_root))
    environ = environment()
    for command in (["tests.soak.road", "bodies"], ["tests.soak.disk"]):
        done = subprocess.run(
            [*NAMESPACE, sys.executable, "-m", *command],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "first": hashes(folder / "first/prox")}


def told_error(attempt: dict[str, Any]) -> str:
    assert (attempt["code"], "Traceback" in attempt["told"]) == (1, False), attempt["told"]
    (line,) = [line for line in attempt["told"].splitlines() if "error: " in line]
    return str(line)


def counts(attempt: dict[str, Any]) -> tuple[int, int, int]:
    assert attempt["code"] == 0, attempt["told"]
    report = attempt["report"]
    return report["planned"], report["executed"], report["reused"]


def test_a_full_work_store_is_named_and_nothing_is_published(told: dict[str, Any]) -> None:
    line = told_error(told["full"])
    assert re.search(r"data/work\S*: No space left on device; the work store .paths\.work. must .* have room", line), (
        line
    )
    assert "Finished pieces are kept: correct it and run the same command again" in line
    assert told["full"]["outputs"] == []


def test_with_room_the_finished_pieces_are_reused(told: dict[str, Any]) -> None:
    planned, executed, reused = counts(told["room"])
    assert planned == 5 and executed > 0 and reused > 0
    assert told["room"]["outputs"] == ["prox"]
    assert {"index.parquet", "left_out.parquet"} < told["first"].keys()


def test_a_read_only_store_matters_only_where_there_is_something_to_write(told: dict[str, Any]) -> None:
    assert counts(told["nothing to do"]) == (5, 0, 5)
    line = told_error(told["read-only"])
    assert re.search(r"data/work\S*: Read-only file system; the work store .paths\.work. must be writable", line), line
    assert told["read-only"]["outputs"] == ["prox"]  # the old ones


def test_a_full_disk_for_outputs_is_named_and_keeps_the_work(told: dict[str, Any]) -> None:
    line = told_error(told["outputs full"])
    assert re.search(r"data/shards\S*: No space left on device; nothing unfinished was published", line), line
    assert told["outputs full"]["outputs"] == []
    assert counts(told["outputs room"]) == (5, 0, 5)
    assert told["outputs room"]["outputs"] == ["prox"]
    assert told["left in work store"] == []
