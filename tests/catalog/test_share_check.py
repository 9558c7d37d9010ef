"""A remote is proved by writing, reading back and removing; what it refuses is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import imports
from tests.worlds import servers


@pytest.fixture
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[dict[str, str], Path | None]]:
    """Its configuration, and its folder where it is one."""
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "mine").write_text("stays")
    match request.param:
        case "folder":
            yield {"url": str(folder)}, folder
        case "ssh":
            with servers.sftp(folder, tmp_path / "home") as served:
                port, key = served.url.rpartition(":")[2], served.options["client_keys"][0]
                yield {"url": "ssh://127.0.0.1/", "port": port, "user": "team", "keyfile": key}, folder
        case "s3":
            with servers.s3(folder) as served:
                access = {"access_key_id": "team", "secret_access_key": "none"}
                yield {"url": "s3://team/shared", "endpointurl": served.options["endpoint_url"], **access}, None
        case "http":
            with servers.http(folder) as served:
                yield {"url": served.url}, folder


def check(repository: Path, config: dict[str, str], *names: str) -> subprocess.CompletedProcess[str]:
    (repository / ".dvc").mkdir(parents=True)
    lines = ["[core]", "remote = team", "no_scm = true", "analytics = false", "['remote \"team\"']"]
    (repository / ".dvc/config").write_text("\n".join([*lines, *(f"{key} = {text}" for key, text in config.items())]))
    env = {**os.environ, "PYTHONPATH": str(imports.ROOT), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "catalog.share_check", *names]
    return subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "remote", ["folder", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ssh", "s3"))], indirect=True
)
def test_a_sound_remote(remote: tuple[dict[str, str], Path | None], tmp_path: Path) -> None:
    config, folder = remote
    done = check(tmp_path / "repository", config)
    assert done.returncode == 0, done.stderr
    said = [line.partition("): ")[2] for line in done.stdout.splitlines()]
    assert said == ["wrote 3 files, 3001000 bytes", "read them back, equal", "removed them"]
    if folder:
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["mine"]


@pytest.mark.slow
@pytest.mark.parametrize("remote", ["http"], indirect=True)
def test_a_mirror_that_is_only_read(remote: tuple[dict[str, str], Path | None], tmp_path: Path) -> None:
    done = check(tmp_path / "repository", remote[0])
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert "error: remote team (http" in done.stderr and "cannot be written to" in done.stderr


@pytest.mark.slow
def test_a_remote_that_is_not_set_up(tmp_path: Path) -> None:
    done = check(tmp_path / "repository", {"url": str(tmp_path)}, "nobody")
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert "error: remote nobody: " in done.stderr and done.stderr.rstrip().endswith("see: dvc remote list")
