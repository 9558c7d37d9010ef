"""Two states of a repository: folders, and git revisions."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from sahmr.files import write_manifest
from schemas.frame import FRAME_SCHEMA
from schemas.metric import METRIC_NAMES
from schemas.tables_write import to_table, write_table
from tests.catalog.conftest import Ask
from tests.worlds import small
from tests.worlds.catalogs import write_lock, write_scores


def _change(root: Path) -> None:
    """One frame less, one more, one of another subject; a score; a scene's array; a parameter."""
    rows = small.records()
    changed = [small.record(20), *rows[1:-1]]
    object.__setattr__(changed[1], "subject", "009")
    write_table(root / "data/frames/rich.parquet", to_table(changed, FRAME_SCHEMA))
    tables = ["rich.parquet", "rich_scenes.parquet"]
    write_manifest(root / "data/frames/rich.manifest.json", tables, stage="frames", dataset="rich")
    write_scores(root, [row.key for row in rows if row.split == "test"], 60.0)
    chunk = next(path for path in (root / "data/scenes/rich.zarr/Room_scan/points/c").rglob("0") if path.is_file())
    chunk.write_bytes(chunk.read_bytes() + b"x")
    write_manifest(root / "data/scenes/rich.manifest.json", ["rich.zarr"], stage="scenes", dataset="rich")
    params = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(params.replace("jpeg_quality: 92", "jpeg_quality: 80"))
    write_lock(root)


def _found(text: str) -> None:
    found = json.loads(text)
    rows = {one["what"]: one for one in found["rows"]}
    assert rows["frame"]["added"] == ["Room_train_00020"]
    assert rows["frame"]["removed"] == ["Room_test_00008", "Room_train_00000"]
    assert rows["frame"]["changed"] == {"Room_train_00001": ["subject"]}
    assert rows["scene"]["changed"] == {"Room_scan": ["voxels and distance field"]}
    assert len(rows["metric"]["changed"]["Room_test_00006 sahmr"]) == len(METRIC_NAMES)
    assert found["params"] == {"shards.jpeg_quality": ["92", "80"]}
    assert found["outputs"]["data/scores/rich.parquet"] == "changed"
    assert "data/shards/rich" not in found["outputs"]


def test_a_state_and_itself(ask: Ask) -> None:
    answer = ask("diff", ".", ".")
    assert (answer.code, answer.out) == (0, "no difference\n")


def test_two_folders(ask: Ask, mine: Path, sound: Path) -> None:
    _change(mine)
    answer = ask("diff", str(sound), ".", "--json", root=mine)
    assert answer.code == 1
    _found(answer.out)
    out = ask("diff", str(sound), root=mine).out
    assert "1 added, 2 removed, 1 changed" in out and "param  shards.jpeg_quality: 92 -> 80" in out


def git(root: Path, *words: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *words], check=True, capture_output=True)


def test_two_revisions_by_the_cache(ask: Ask, mine: Path) -> None:
    """Tables of the older revision are in DVC's cache alone."""
    git(mine, "init", "-q")
    git(mine, "add", "dvc.yaml", "dvc.lock", "params.yaml")
    git(mine, "commit", "-qm", "before")
    _cache(mine)
    _change(mine)
    git(mine, "commit", "-qam", "after")
    _found(ask("diff", "HEAD~1", "HEAD", "--json", root=mine).out)
    _found(ask("diff", "HEAD~1", ".", "--json", root=mine).out)
    shutil.rmtree(mine / ".dvc")
    answer = ask("diff", "HEAD~1", "HEAD", root=mine)
    assert "unread  data/frames/rich.parquet of" in answer.out and "dvc fetch --all-commits" in answer.out


def _cache(root: Path) -> None:
    import hashlib

    for path in (root / "data").rglob("*"):
        if path.suffix in (".parquet", ".json") and path.is_file():
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            place = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)


def test_a_revision_without_a_lock_says_so(ask: Ask, mine: Path) -> None:
    (mine / "dvc.lock").unlink()
    answer = ask("diff", ".", ".", root=mine)
    assert answer.code == 4 and "dvc.lock: not there" in answer.err
