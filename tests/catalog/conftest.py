"""A repository to look at, and one to damage; commands run in it as a user runs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.cli import main
from tests.worlds.catalogs import write_repository


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, small_world: Path) -> Path:
    """Read-only."""
    root = tmp_path_factory.mktemp("catalog") / "repository"
    write_repository(root, small_world)
    return root


@pytest.fixture
def mine(tmp_path: Path, sound: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "repository")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, sound: Path) -> Ask:
    """A command in a repository; default: the sound one."""

    def run(*words: str, root: Path = sound) -> Answer:
        monkeypatch.chdir(root)
        with pytest.raises(SystemExit) as caught:
            main(list(words))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Answer(int(caught.value.code or 0), out, err)

    return run
