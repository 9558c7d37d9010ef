"""What a DVC remote lacks, by DVC itself: it knows S3, SSH, HTTP and folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from catalog.errors import MissingError, UnknownError
from catalog.source import DvcCache, Source

_SECONDS = 600


def absent_from(root: Path, remote: str) -> set[str]:
    """Paths of outputs, from ``root`` on, that a remote does not have.

    Raises:
        UnknownError: if .dvc/config has no such remote.
        MissingError: if the remote refuses, or DVC fails otherwise.
    """
    known, top = DvcCache(root).remotes, Source(root=root).top
    if remote not in known:
        raise UnknownError(
            f"{remote}: found no such remote in .dvc/config, allowed: {', '.join(sorted(known)) or 'none is set up'}; "
            "add one with: dvc remote add <name> <url>"
        )
    command = [sys.executable, "-m", "dvc", "data", "status", "--not-in-remote", "--remote", remote, "--json"]
    try:
        done = subprocess.run(command, cwd=top, capture_output=True, text=True, timeout=_SECONDS, check=True)
        found = json.loads(done.stdout).get("not_in_remote", [])
    except (OSError, ValueError, AttributeError, subprocess.SubprocessError) as problem:
        said = str(getattr(problem, "stderr", None) or problem)
        lines = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines() or ["no answer"]
        raise MissingError(
            f"remote {remote} ({known[remote]}): {' '.join(lines[0].split())[:300]}; check its url and your access "
            "with: dvc remote list"
        ) from None
    paths = [str(path).rstrip("/") for path in found]
    return {path if Path(path).is_absolute() else os.path.relpath(top / path, root) for path in paths}
