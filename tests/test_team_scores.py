"""A fresh clone scores PROX from the team's remote, over HTTP, and transfers only what the three stages read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.soak.processes import environment, kill_family
from tests.soak.road import ROOT
from tests.soak.sandbox import Sandbox
from tests.worlds import servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
BIN = ROOT / ".venv/bin"


def shorten(folder: Path) -> None:
    """Settings with which every stage takes seconds: one epoch, one process."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["parallel"] = {"workers": 0, "loaders": 0, "threads": 1}
    for name in ("train_rcnet", "train_sahmr"):
        params[name] |= {"epochs": 1, "batch_size": 4, "warmup_steps": 0, "processes": 1}
    params["evaluate"]["sheet_frames"] = 2
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def run(folder: Path, *command: str) -> str:
    env = environment(folder, PATH=f"{BIN}:{os.environ['PATH']}", PYTHONHASHSEED="0")
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def team(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below it: ``repository``, all stages run and pushed, and ``remote``."""
    folder = tmp_path_factory.mktemp("team")
    box = Sandbox(folder / "repository", demo_root)
    shutil.copytree(ROOT / "catalog", box.folder / "catalog", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.lock", "requirements.torch", "pyproject.toml"):
        shutil.copy(ROOT / name, box.folder / name)
    shorten(box.folder)
    process = box.repro("--quiet", log=folder / "log")
    try:
        assert process.wait(1200) == 0, (folder / "log").read_text()[-3000:]
    finally:
        kill_family([process])
    run(box.folder, "dvc", "remote", "add", "-d", "team", str(folder / "remote"))
    run(box.folder, "dvc", "push", "--quiet")
    run(box.folder, "git", "add", "--all")
    run(box.folder, "git", "-c", "user.name=team", "-c", "user.email=team@host", "commit", "--quiet", "-m", "all")
    return folder


def stored(folder: Path, stage: str) -> set[str]:
    """Addresses on a remote of what a stage made, folders and the files in them."""
    found = set()
    locked = yaml.safe_load((folder / "repository/dvc.lock").read_text())["stages"][stage]
    for out in (out for out in locked["outs"] if out.get("md5")):
        found.add(f"/files/md5/{out['md5'][:2]}/{out['md5'][2:]}")
        if out["md5"].endswith(".dir"):
            listing = folder / "remote/files/md5" / out["md5"][:2] / out["md5"][2:]
            for entry in yaml.safe_load(listing.read_text()):
                found.add(f"/files/md5/{entry['md5'][:2]}/{entry['md5'][2:]}")
    return found


def test_a_fresh_clone_scores_prox_and_fetches_no_more(team: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "--quiet", str(team / "repository"), "clone")
    clone = tmp_path / "clone"
    with servers.http(team / "remote") as served:
        run(clone, "dvc", "remote", "add", "--local", "-f", "team", served.url)
        said = run(clone, "make", "score", "DATASET=prox", "-o", ".venv.stamp", f"BIN={BIN}")
    assert "G-MPJPE" in said and "prox sahmr" in said
    assert served.sent() < 100_000_000
    content = {path for path, count in served.requests if count}
    known = {stage: stored(team, stage) for stage in ("shards@rich", "scenes@rich", "train_rcnet", "frames@rich")}
    assert content >= stored(team, "shards@prox") - {path for path in stored(team, "shards@prox") if ".dir" in path}
    for stage, files in known.items():
        strange = {path for path in content & files if not path.endswith(".dir")}
        assert strange <= stored(team, "shards@prox") | stored(team, "scenes@prox"), f"fetched from {stage}"
    assert sorted(path.name for path in (clone / "data").iterdir()) == [
        *("bodies", "frames", "models", "predictions", "scenes", "scores", "shards"),
    ]  # fmt: skip
    assert [path.name for path in (clone / "data/frames").iterdir()] == ["prox.parquet"]
    assert {path.name for path in (clone / "data/bodies").iterdir()} == {"topology.npz", "SMPL_NEUTRAL.npz"}
    assert [path.name for path in (clone / "data/models").iterdir()] == ["sahmr.pt"]
    scores = "data/scores/prox.parquet"
    assert (clone / scores).read_bytes() == (team / "repository" / scores).read_bytes()
