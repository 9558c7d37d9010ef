"""Conversions on full and read-only disks: ``unshare --mount python -m tests.soak.disk``, in a folder with params.yaml.

Mounts small file systems below the working directory, which end with this process's mount namespace. Prints, as JSON,
each attempt's exit code, what it told, and its report.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.soak.road import main as run_stages

WORK, SHARDS = Path("data/work"), Path("data/shards")
FULL_KB = 600  # the pieces of stage frames and some, but not all, of stage shards


def attempt(*names: str) -> dict[str, Any]:
    """Run stages as on the command line."""
    code, told = 0, io.StringIO()
    with contextlib.redirect_stderr(told):
        try:
            run_stages(list(names))
        except SystemExit as end:
            code = int(end.code or 0)
    report = Path("reports/shards_prox.json")
    found = json.loads(report.read_text()) if report.is_file() else {}
    outputs = sorted(path.name for path in SHARDS.iterdir()) if SHARDS.is_dir() else []
    return {"code": code, "told": told.getvalue(), "report": found, "outputs": outputs}


def mount(place: Path, options: str) -> None:
    """A file system in memory."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    """Change its size, or whether it can be written."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def change_quality() -> None:
    """Other shards are wanted from now on."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["shards"]["jpeg_quality"] -= 1
    Path("params.yaml").write_text(yaml.safe_dump(params))


def main() -> None:
    """A full work store, the same with room, read-only without and with work to do, and a full disk for the outputs."""
    told = {}
    mount(WORK, f"size={FULL_KB}k")
    told["full"] = attempt("frames:prox", "shards:prox")
    remount(WORK, "size=64m")
    told["room"] = attempt("shards:prox")
    shutil.copytree(SHARDS, "first")
    remount(WORK, "ro")
    told["nothing to do"] = attempt("shards:prox")
    change_quality()
    told["read-only"] = attempt("shards:prox")
    remount(WORK, "rw")
    shutil.rmtree(SHARDS)
    mount(SHARDS, "size=300k")
    told["outputs full"] = attempt("shards:prox")
    remount(SHARDS, "size=64m")
    told["outputs room"] = attempt("shards:prox")
    told["left in work store"] = sorted(path.name for path in (WORK / "tmp").iterdir())
    print(json.dumps(told))


if __name__ == "__main__":
    main()
