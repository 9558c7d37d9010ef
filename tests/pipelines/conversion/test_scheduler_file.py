"""What may stand in the place of a Dask scheduler file: one ClusterError each, at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipelines.conversion import cluster
from sahmr.errors import ClusterError

FILES = {
    "empty": (b"", "not a scheduler file"),
    "cut": (b'{"address": "tcp://10.0', "not a scheduler file"),
    "list": (b"[1]", "its address is 'None'"),
    "foreign": (b'{"type": "Nanny"}', "its address is 'None'"),
    "address of a number": (b'{"address": 5}', "its address is '5'"),
    "address of a path": (b'{"address": "/etc/passwd"}', "its address is '/etc/passwd'"),
    "address of a program": (b'{"address": "x; touch canary"}', "its address is"),
    "address of nowhere": (b'{"address": "foo://here:1"}', "unknown address scheme"),
    "nested": (b"[" * 100_000, "not a scheduler file: maximum recursion"),
    "binary": (bytes(range(256)), "not a scheduler file"),
    "huge": (b" " * (2 << 20), "2097152 bytes, a scheduler file has 1 kB"),
}


def expect(file: Path, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    monkeypatch.setenv("DASK_SCHEDULER_FILE", str(file))
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with (
        pytest.raises(ClusterError, match=rf"{file.name}: no scheduler answers there \(.*{says}.*; start it, or unset"),
        cluster._remote_client(Client),
    ):
        pytest.fail("it answers")


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_scheduler_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, says = FILES[name]
    (tmp_path / "scheduler.json").write_bytes(content)
    expect(tmp_path / "scheduler.json", says, monkeypatch)


def test_pipes_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        expect(tmp_path / name, "no regular file", monkeypatch)


def test_a_scheduler_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    (tmp_path / "s.json").write_text(json.dumps({"address": "tcp://127.0.0.1:9"}))
    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        expect(tmp_path / "s.json", "Timed out", monkeypatch)
