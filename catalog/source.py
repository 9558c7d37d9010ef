"""A state of the repository: its working folder, another one's, or a git revision; gives texts and finds data."""

from __future__ import annotations

import configparser
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from catalog.errors import MissingError, UnknownError

_GIT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where ``dvc.yaml``, ``dvc.lock`` and ``params.yaml`` are read.

    Attributes:
        root: the repository's folder.
        revision: of git; None: what lies in the folder.
    """

    root: Path
    revision: str | None = None

    def __str__(self) -> str:
        return self.revision or str(self.root)

    def text(self, name: str) -> str:
        """A text file of the repository.

        Raises:
            MissingError: if there is none, or it is no text.
        """
        try:
            if self.revision is None:
                return (self.root / name).read_text(encoding="utf-8")
            return run_git(self.root, "show", f"{self.revision}:./{name}")
        except (OSError, UnicodeDecodeError, UnknownError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "not there, or no text"
            raise MissingError(
                f"{name}: {reason} in {self}; run the command in the repository's folder, or name it with --repo"
            ) from None

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.revision is None:
            return (self.root / name).is_file()
        return bool(run_git(self.root, "ls-tree", "--name-only", self.revision, f"./{name}").strip())

    def pipelines(self) -> list[str]:
        """The files that define stages: those of side pipelines, and the folder's own.

        Side pipelines make raw data or run where there is ground truth; they lie in folders of ``pipelines/``, or where
        there is no such folder in those beside ``dvc.yaml``. A folder with a params.yaml of its own is another
        pipeline: its stages are not of this one's data sets.
        """
        below = self._files_below("pipelines/") or self._files_below("")
        return [*(name for name in below if not self.has(name.replace("dvc.yaml", "params.yaml"))), "dvc.yaml"]

    def _files_below(self, folder: str) -> list[str]:
        """Sorted ``<folder>*/dvc.yaml``."""
        if self.revision is None:
            return sorted(path.relative_to(self.root).as_posix() for path in self.root.glob(f"{folder}*/dvc.yaml"))
        names = run_git(self.root, "ls-tree", "-r", "--name-only", self.revision, f"./{folder}").splitlines()
        return sorted(name for name in names if PurePosixPath(f"/{name}").match(f"/{folder}*/dvc.yaml"))

    @property
    def top(self) -> Path:
        """The repository's folder, which the pipeline may lie in."""
        return _folder_with(self.root, ".dvc") or self.root

    @property
    def place(self) -> str:
        """Path of the folder in the repository; empty: it is the repository's own."""
        return "/".join(self.root.resolve().relative_to(self.top.resolve()).parts)

    def outer(self) -> Source | None:
        """The pipeline whose outputs this one reads: of the nearest folder above, within the repository."""
        if self.root.resolve() == self.top.resolve():
            return None
        above = Source(root=self.root / "..", revision=self.revision)
        return above if above.has("dvc.yaml") and above.has("params.yaml") else above.outer()


def find_source(root: Path, name: str) -> Source:
    """A folder with a ``dvc.yaml``, or else a git revision.

    Raises:
        UnknownError: if it is neither.
    """
    if Path(name).is_dir():
        folder = Source(root=Path(name))
        if not folder.has("dvc.yaml"):
            raise UnknownError(f"{name}: found a folder without dvc.yaml, allowed a checkout; name its top folder")
        return folder
    try:
        revision = run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except UnknownError:
        raise UnknownError(
            f"{name}: found no such folder and no such git revision, allowed either; list them: git log --oneline"
        ) from None
    return Source(root=root, revision=revision)


def run_git(root: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        UnknownError: if it fails, or there is no git.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as problem:
        said = getattr(problem, "stderr", None) or type(problem).__name__
        raise UnknownError(f"git {arguments[0]}: {' '.join(str(said).split())[:200]}") from None
    return done.stdout


def _folder_with(folder: Path, name: str) -> Path | None:
    """The nearest folder that holds something, this one or one above it, as a path from here on."""
    for steps, place in enumerate((folder.resolve(), *folder.resolve().parents)):
        if (place / name).is_dir():
            return folder.joinpath(*[".."] * steps)
    return None


class DvcCache:
    """The cache of a repository: objects by MD5. The folder may lie in the repository."""

    def __init__(self, root: Path) -> None:
        root = _folder_with(root, ".dvc") or root
        self.folder = root / ".dvc" / "cache"
        self.remotes: dict[str, str] = {}
        for name in ("config", "config.local"):
            config = configparser.ConfigParser(interpolation=None)
            try:
                config.read(root / ".dvc" / name, encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError) as problem:
                raise MissingError(f"{root}/.dvc/{name}: {' '.join(str(problem).split())[:200]}; correct it") from None
            for section in config.sections():
                if section == "cache" and config.has_option(section, "dir"):
                    self.folder = (root / ".dvc" / config.get(section, "dir")).resolve()
                elif section.strip("'").startswith('remote "'):
                    self.remotes[section.strip("'")[8:-1]] = config.get(section, "url", fallback="")

    def path(self, md5: str) -> Path:
        """Where an object lies, if it is there."""
        return self.folder / "files" / "md5" / md5[:2] / md5[2:]

    def has(self, md5: str) -> bool:
        """Whether an object is there; of a folder, its listing."""
        return bool(md5) and self.path(md5).is_file()
