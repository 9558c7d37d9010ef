"""Two real Unix users of one group, who run real commands; made and removed again, which only root can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

GROUP = "sahmr-team"
NAMES = ("sahmr-anna", "sahmr-bert")


@dataclass(frozen=True)
class User:
    """A user with a folder of their own.

    Attributes:
        name: login name.
        home: that folder, ``HOME`` of their commands; others can read it, as in many groups they can.
        python: an interpreter that they can run, with our packages.
    """

    name: str
    home: Path
    python: str

    def run(self, command: str, folder: Path | None = None, *, umask: str = "022") -> subprocess.CompletedProcess[str]:
        """A line of shell, as this user; ``dvc`` in it is the installed one."""
        packages = Path(find_spec("dvc").origin).parents[1]
        env = {"HOME": str(self.home), "PATH": f"{self.home}/bin:/usr/bin:/bin", "PYTHONPATH": str(packages)}
        env |= {"DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": "1", "DVC_SITE_CACHE_DIR": f"{self.home}/site"}
        env |= {
            f"GIT_{role}_{what}": f"{self.name}@host" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        return subprocess.run(
            ["bash", "-c", f"umask {umask}; {command}"],
            cwd=folder or self.home, env=env, user=self.name, group=GROUP, extra_groups=[], check=False,
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def must(self, command: str, folder: Path | None = None, *, umask: str = "022") -> str:
        """What a line of shell prints, which goes well."""
        done = self.run(command, folder, umask=umask)
        assert done.returncode == 0, f"{self.name}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout


def _interpreter() -> str:
    """One of our version that others than root can run."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in filter(None, (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}")):
        test = [path, "-c", "import sys"]
        try:
            if subprocess.run(test, user="nobody", capture_output=True, check=False, cwd="/").returncode == 0:
                return path
        except OSError:
            continue
    pytest.skip(f"no {version} that other users can run")


@contextmanager
def two_users() -> Iterator[tuple[Path, User, User]]:
    """A folder that all can reach, and two users whose only group is the same; skips where that cannot be had."""
    if os.getuid() != 0 or not shutil.which("useradd"):
        pytest.skip("makes two Unix users, which needs root and useradd")
    python = _interpreter()
    root = Path(tempfile.mkdtemp(prefix="sahmr-users-"))  # pytest's own folders are root's alone
    root.chmod(0o755)
    made = []
    try:
        subprocess.run(["groupadd", "--force", GROUP], check=True)
        for name in NAMES:
            made.append(_add(root, name, python))
        yield root, made[0], made[1]
    finally:
        for name in NAMES:
            subprocess.run(["userdel", name], check=False, capture_output=True)
        subprocess.run(["groupdel", GROUP], check=False, capture_output=True)
        shutil.rmtree(root)


def _add(root: Path, name: str, python: str) -> User:
    user = User(name, root / name, python)
    subprocess.run(["useradd", "--no-create-home", "--gid", GROUP, "--home-dir", str(user.home), name], check=True)
    (user.home / "bin").mkdir(parents=True)
    (user.home / "bin/dvc").write_text(f'#!/bin/sh\nexec {python} -m dvc "$@"\n')
    (user.home / "bin/dvc").chmod(0o755)
    (user.home / ".gitconfig").write_text("[safe]\n    directory = *\n")
    shutil.chown(user.home, name, GROUP)
    return user
