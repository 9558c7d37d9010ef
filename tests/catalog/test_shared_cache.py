"""One cache for a group, by two real users: the second transfers nothing, and cannot harm what the first has made."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.imports import ROOT
from tests.worlds.users import GROUP, User, two_users

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGE = (ROOT / "docs/share.md").read_text()
PLACE = "/mnt/shared/cache"  # in the page
PIPELINE = """stages:
  make:
    cmd: mkdir -p out && for i in 1 2 3; do echo $(cat seed)-$i > out/$i; done
    deps: [seed]
    outs: [out]
"""


def documented(word: str) -> str:
    """The page's one command that starts like this, without its comment."""
    lines = re.findall(rf"^    ({word}[^#\n]*)", PAGE, re.MULTILINE)
    assert len(lines) == 1, f"docs/share.md has {len(lines)} commands that start with {word}"
    return str(lines[0]).strip()


@dataclass(frozen=True)
class Team:
    cache: Path
    anna: User
    bert: User
    first: Path  # anna's repository: the stage has run
    second: Path  # bert's clone: empty

    def objects(self, owner: str = "sahmr-anna") -> dict[str, tuple[int, int, bytes]]:
        """What a user has in the cache: inode, mode and content of each file."""
        files = [path for path in (self.cache / "files").rglob("*") if path.is_file() and path.owner() == owner]
        return {
            path.relative_to(self.cache).as_posix(): (path.stat().st_ino, path.stat().st_mode, path.read_bytes())
            for path in files
        }


@pytest.fixture(params=["prepared"])
def team(request: pytest.FixtureRequest) -> Iterator[Team]:
    with two_users() as (root, anna, bert):
        cache, first = root / "cache", anna.home / "work"
        settings = [
            documented("dvc cache dir"),
            documented("dvc config cache.shared"),
            documented("dvc config cache.type"),
        ]
        prepare = [documented("mkdir -p /mnt/shared/cache/files"), documented("chgrp -R"), documented("chmod -R")]
        if request.param == "prepared":
            for line in prepare:
                subprocess.run(["bash", "-c", line.replace(PLACE, str(cache)).replace("team", GROUP, 1)], check=True)
        else:
            cache.mkdir()
            os.chown(cache, 0, first.parent.stat().st_gid)
            cache.chmod(0o2775)
        anna.must("git init -q work && cd work && dvc init -q")
        (first / "dvc.yaml").write_text(PIPELINE)
        anna.must("echo anna > seed", first)
        for line in settings:
            anna.must(line.replace(PLACE, str(cache)), first)
        anna.must("dvc repro -q && git add -A && git commit -q -m all", first, umask="022")
        bert.must(f"git clone -q {first} work")
        yield Team(cache, anna, bert, first, bert.home / "work")


def test_the_second_user_transfers_nothing(team: Team) -> None:
    before = team.objects()
    assert len(before) == 4  # three files and their listing
    assert not team.bert.must("dvc remote list", team.second)
    assert "A       out/" in team.bert.must("dvc checkout", team.second)
    assert "up to date" in team.bert.must("dvc status", team.second)
    for path in (team.second / "out").iterdir():  # no copy: the kernel lets nobody hard-link what is another's
        assert path.is_symlink() and path.stat().st_uid == (team.first / "out" / path.name).stat().st_uid
        assert path.stat().st_ino == (team.first / "out" / path.name).stat().st_ino
    assert "didn't change, skipping" in team.bert.must("dvc repro", team.second)
    assert team.objects() == before and not team.objects("sahmr-bert")


def test_no_normal_command_of_the_second_harms_the_first(team: Team) -> None:
    before = team.objects()
    team.bert.must("dvc checkout", team.second)
    assert team.bert.run("echo mine >> out/1", team.second).returncode != 0
    team.bert.must("dvc unprotect out && echo mine >> out/1 && dvc checkout --force out", team.second)
    assert (team.second / "out/1").read_text() == "anna-1\n"
    team.bert.must("echo bert > seed && dvc repro", team.second, umask="077")
    assert (team.second / "out/1").read_text() == "bert-1\n" and team.objects() == before
    stopped = team.bert.run("dvc gc --workspace --force", team.second)
    assert stopped.returncode != 0 and "Operation not permitted" in stopped.stderr
    team.bert.must("rm -rf out && dvc checkout out", team.second)
    assert team.objects() == before and len(team.objects("sahmr-bert")) == 4
    modes = {stat.S_IMODE(mode) for _, mode, _ in team.objects("sahmr-bert").values()}
    assert modes == {0o444}  # readable by the group, whatever the second one's umask
    team.anna.must("rm -rf out && dvc checkout && dvc status", team.first)
    assert (team.first / "out/1").read_text() == "anna-1\n"
    team.anna.must("git pull -q --no-rebase . HEAD", team.first)


def test_the_owner_of_the_cache_removes_what_nobody_uses(team: Team) -> None:
    kept = team.objects()
    team.bert.must("echo bert > seed && dvc repro -q", team.second)
    team.anna.must("echo later > seed && dvc repro -q && git checkout -q . && dvc checkout -q", team.first)
    assert len(team.objects()) == 8
    line = (
        documented("cd /home/anna/work && dvc gc")
        .replace("/home/anna/work", str(team.first))
        .replace("/home/bert/work", str(team.second))
    )
    env = {**os.environ, "HOME": str(team.anna.home), "DVC_SITE_CACHE_DIR": str(team.cache.parent / "site")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"{line} --force"], cwd=team.first, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert team.objects() == kept and len(team.objects("sahmr-bert")) == 4
    assert "up to date" in team.anna.must("dvc status && dvc checkout", team.first)


@pytest.mark.parametrize("team", ["as DVC makes it"], indirect=True)
def test_a_cache_that_was_not_prepared_is_emptied_by_anybodys_gc(team: Team) -> None:
    """Why the page prepares the folders; if this fails, DVC has become kinder."""
    team.bert.must("echo bert > seed && dvc repro -q && dvc gc --workspace --force", team.second)
    assert not team.objects()
