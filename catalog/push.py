"""``dvc push`` that first asks the licences: what may not be redistributed goes to private remotes alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.entry import Entry
from catalog.errors import LicenceError, MissingError, UnknownError
from catalog.origins import entries_behind
from catalog.pipeline import Pipeline, open_pipeline
from catalog.remotes import FILE, is_private, read_remotes
from catalog.share_check import address
from catalog.source import Source

_SHOWN = 3  # paths of a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An output that ``dvc push`` would send.

    Attributes:
        path: relative to ``root``.
        remote, url: where to.
        root: the folder whose pipeline makes it, from the folder that pushes on.
    """

    path: str
    remote: str
    url: str
    root: Path = Path()


def push(root: Path, targets: Sequence[str], remote: str | None = None, jobs: int | None = None) -> None:
    """Run ``dvc push`` if the licences of all that it would send allow that.

    Args:
        root: of the repository, or of a pipeline in it.
        targets: stages, outputs, or paths in them, as DVC takes them; none: everything.
        remote: its name; None: the default one.
        jobs: uploads at a time; None: DVC's choice.

    Raises:
        LicenceError: if anything may not be redistributed and the remote is not reviewed as private; nothing is sent.
        UnknownError: if there is no such remote or target.
        MissingError: if it cannot be found out whose data the targets are, or DVC fails; it says why.
    """
    sent = list(_planned(root, targets, remote))
    require_allowed(root, sent)
    if not sent:
        return
    options = [*(["--remote", remote] if remote else []), *(["--jobs", str(jobs)] if jobs else [])]
    if subprocess.run([sys.executable, "-m", "dvc", "push", *options, *targets], cwd=root, check=False).returncode:
        raise MissingError(f"remote {sent[0].remote} ({sent[0].url}): dvc push failed, as it says above; run it again")


def _planned(root: Path, targets: Sequence[str], remote: str | None) -> Iterator[Sent]:
    """What DVC would send, by its own account."""
    from dvc.exceptions import DvcException  # not earlier: a second
    from dvc.repo import Repo
    from dvc.repo.index import index_from_targets

    try:
        with Repo(str(root)) as repo:
            chosen = repo.cloud.get_remote(remote)
            places = {chosen.name: address(chosen)}
            view = index_from_targets(repo, list(targets) or None, outs_filter=lambda out: bool(out.can_push))
            for out in view.outs:
                name = out.remote or chosen.name
                if out.hash_info and (remote is None or name == chosen.name):
                    places[name] = places.get(name) or address(repo.cloud.get_remote(name))
                    home = _home(Path(out.stage.path), Path(repo.root_dir))
                    path = Path(os.path.relpath(out.fs_path, home)).as_posix()
                    yield Sent(path=path, remote=name, url=places[name], root=Path(os.path.relpath(home, root)))
    except DvcException as problem:
        told = " ".join(str(problem).split())[:300]
        raise UnknownError(f"{' '.join(['push', *targets])}: {told}; see: dvc remote list, dvc stage list") from None


def _home(file: Path, top: Path) -> Path:
    """The folder of the pipeline that a dvc.yaml is of: the nearest with a params.yaml, else the repository's."""
    above = [folder for folder in file.parents if folder == top or top in folder.parents]
    return next((folder for folder in above if (folder / "params.yaml").is_file()), top)


def require_allowed(root: Path, sent: Sequence[Sent]) -> None:
    """Refuse, in one line, what a licence keeps from a remote.

    Raises:
        LicenceError, MissingError: as :func:`push`.
    """
    remotes = read_remotes(Source(root=root).top / FILE)
    pipelines: dict[Path, Pipeline] = {}
    known: dict[tuple[Path, str], list[Entry]] = {}
    open_to_others = [one for one in sent if not is_private(remotes, one.remote, one.url)]
    refused: dict[str, list[str]] = {}
    for one in open_to_others:
        if one.root not in pipelines:
            pipelines[one.root] = open_pipeline(root / one.root)
        shown, stage = os.path.normpath(one.root / one.path), pipelines[one.root].graph.maker(one.path)
        if stage is None:
            refused.setdefault("no entry says whose data it is", []).append(shown)
            continue
        place = one.root, stage.full_name
        if place not in known:
            known[place] = entries_behind(pipelines[one.root], stage)
        if bound := [entry.name for entry in known[place] if entry.is_private]:
            refused.setdefault(f"licences forbid redistribution ({', '.join(bound)})", []).append(shown)
    if refused:
        remote = f"remote {open_to_others[0].remote} ({open_to_others[0].url})"
        why = "; ".join(f"{reason}: {_shown(paths)}" for reason, paths in refused.items())
        raise LicenceError(
            f"{remote} is not marked private: true in {FILE}, and {why}; nothing was sent; push what is free by name, "
            "or have the remote reviewed and marked"
        )


def _shown(paths: list[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
