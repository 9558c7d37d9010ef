"""``catalog push`` sends what licences allow, and of all else nothing: to real remotes, by real ``dvc push``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from catalog.errors import LicenceError, MissingError
from catalog.push import Sent, require_allowed
from sahmr.errors import SettingsError
from tests.catalog.conftest import Ask
from tests.imports import ROOT
from tests.worlds import servers
from tests.worlds.catalogs import write_lock

SHARDS, TABLE, SCORES = "data/shards/rich", "data/frames/rich.parquet", "data/scores/rich.parquet"


def to(url: str, *paths: str, remote: str = "team") -> list[Sent]:
    return [Sent(path=path, remote=remote, url=url) for path in paths]


def review(root: Path, **facts: object) -> None:
    (root / "catalog").mkdir(exist_ok=True)
    known = {"team": {"url": "s3://team/x", "private": True, "readers": "those who signed", **facts}}
    (root / "catalog/remotes.yaml").write_text(yaml.safe_dump(known))


def make_demo(root: Path) -> None:
    """The repository's RICH is what stage demo made."""
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["raw"], params["bodies"]["raw"] = {"rich": "data/demo/RICH"}, "data/demo/body_models"
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (root / "pipelines/demo").mkdir(parents=True)
    shutil.copy(ROOT / "pipelines/demo/dvc.yaml", root / "pipelines/demo")
    (root / "data/demo/body_models").mkdir(parents=True)
    (root / "data/raw").rename(root / "data/demo/RICH")
    (root / "data/demo/body_models/model").write_text("ours")
    write_lock(root)


def test_licensed_data_needs_a_remote_that_is_private(mine: Path) -> None:
    place = to("s3://team/x", SHARDS, SCORES)
    with pytest.raises(
        LicenceError,
        match=r"remote team \(s3://team/x\) is not marked private: true .* licences forbid "
        r"redistribution \(body_models, rich\): data/shards/rich, data/scores/rich.parquet; nothing was sent",
    ):
        require_allowed(mine, place)  # fmt: skip
    review(mine, private=False)
    with pytest.raises(LicenceError):
        require_allowed(mine, place)
    review(mine)
    require_allowed(mine, place)
    with pytest.raises(LicenceError, match="remote team"):  # the name was reviewed, this place was not
        require_allowed(mine, to("s3://public/x", SHARDS))
    with pytest.raises(LicenceError, match="remote other"):
        require_allowed(mine, to("s3://team/x", SHARDS, remote="other"))


def test_what_came_of_it_is_bound_too(mine: Path) -> None:
    for path in (TABLE, SCORES, "data/models/sahmr.pt", "data/predictions/rich/sahmr.parquet", "data/catalog"):
        with pytest.raises(LicenceError, match=r"licences forbid redistribution \(.*rich\)"):
            require_allowed(mine, to("s3://team/x", path))


def test_demo_data_may_go_anywhere(mine: Path) -> None:
    make_demo(mine)
    require_allowed(mine, to("s3://anyone/x", SHARDS, TABLE, SCORES, "data/demo/RICH", "data/catalog"))


def test_a_name_does_not_make_it_demo_data(mine: Path) -> None:
    """What ran on licensed data stays bound when params.yaml, or the folder, is exchanged for the demo afterwards."""
    make_demo(mine)
    lock = yaml.safe_load((mine / "dvc.lock").read_text())
    frames = next(dep for dep in lock["stages"]["frames@rich"]["deps"] if dep["path"] == "data/demo/RICH")
    frames["md5"] = "1" * 32 + ".dir"
    (mine / "dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(MissingError, match=r"frames@rich read another data/demo/RICH than demo made"):
        require_allowed(mine, to("s3://anyone/x", SHARDS))
    frames["path"] = "/licensed/RICH"
    (mine / "dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(MissingError, match=r"frames@rich ran on /licensed/RICH, where .* name data/demo/RICH"):
        require_allowed(mine, to("s3://anyone/x", SHARDS))


def test_what_no_entry_knows_is_bound(mine: Path) -> None:
    make_demo(mine)
    with pytest.raises(LicenceError, match=r"no entry says whose data it is: data/secret\.bin"):
        require_allowed(mine, to("s3://anyone/x", "data/secret.bin"))


@pytest.mark.parametrize("facts", [{"private": "yes"}, {"url": None}, {"pubic": True}])
def test_a_review_that_is_not_readable_is_no_permission(mine: Path, facts: dict[str, object]) -> None:
    review(mine, **facts)
    with pytest.raises(SettingsError, match=r"remotes\.yaml"):
        require_allowed(mine, to("s3://team/x", SHARDS))


def test_the_repositorys_own_review_can_be_read() -> None:
    require_allowed(ROOT, [])


def with_cache(root: Path, remote: Path) -> None:
    """Make a repository of DVC, with a remote, whose cache has what its lock names."""
    (root / ".dvc").mkdir(exist_ok=True)
    lines = ["[core]", "remote = team", "no_scm = true", "analytics = false", "['remote \"team\"']", f"url = {remote}"]
    (root / ".dvc/config").write_text("\n".join(lines))
    for stage in yaml.safe_load((root / "dvc.lock").read_text())["stages"].values():
        for out in stage["outs"]:
            keep(root, out["md5"], root / out["path"])


def keep(root: Path, md5: str, place: Path) -> None:
    target = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    target.parent.mkdir(parents=True, exist_ok=True)
    if place.is_file():
        shutil.copy(place, target)
        return
    files = sorted(file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file())
    listing = [{"md5": hashlib.md5((place / name).read_bytes()).hexdigest(), "relpath": name} for name in files]
    target.write_text(json.dumps(listing))
    for item in listing:
        keep(root, item["md5"], place / item["relpath"])


def command(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root / "site")}
    return subprocess.run(
        [sys.executable, "-m", "catalog", *words], cwd=root, env=env, capture_output=True, text=True, check=False
    )


def objects(remote: Path) -> int:
    return sum(path.is_file() for path in remote.rglob("*"))


def test_nothing_reaches_a_remote_that_is_not_private(mine: Path, tmp_path: Path) -> None:
    with_cache(mine, tmp_path / "remote")
    done = command(mine, "push", "shards@rich")
    assert (done.returncode, done.stderr.count("\n"), objects(tmp_path / "remote")) == (6, 1, 0), done.stderr
    assert (
        "error: remote team (" in done.stderr
        and "licences forbid redistribution (body_models, rich): data/shards/rich" in done.stderr
    )


@pytest.mark.slow
def test_a_private_remote_gets_it_and_demo_data_goes_anywhere(mine: Path, tmp_path: Path) -> None:
    demo = shutil.copytree(mine, tmp_path / "demo")
    with_cache(mine, tmp_path / "remote")
    review(mine, url=str(tmp_path / "remote"))
    done = command(mine, "push", "shards@rich", "-r", "team")
    assert done.returncode == 0, done.stderr
    files = sum(path.is_file() for path in (mine / SHARDS).rglob("*"))
    assert objects(tmp_path / "remote") == files + 1  # and the folder's listing
    make_demo(demo)
    with_cache(demo, tmp_path / "public")
    done = command(demo, "push", f"{SHARDS}/manifest.json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "public").is_dir() and objects(tmp_path / "public") == 2


def dvc(root: Path, *words: str) -> None:
    env = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root / "site")}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=root, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_only_changed_shards_are_sent_and_one_can_be_fetched(mine: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    with_cache(mine, remote)
    review(mine, url=str(remote))
    assert command(mine, "push", "shards@rich").returncode == 0
    before = {path.name: path.read_bytes() for path in remote.rglob("*") if path.is_file()}
    shards = sorted((mine / SHARDS).glob("*.tar"))
    assert len(shards) > 1
    changed = shards[0].read_bytes() + b"\0" * 512  # what a change of one sequence leaves: another shard, ...
    shards[0].write_bytes(changed)
    manifest = mine / SHARDS / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")  # ... another manifest
    write_lock(mine)
    with_cache(mine, remote)
    assert command(mine, "push", "shards@rich").returncode == 0
    after = {path.name: path.read_bytes() for path in remote.rglob("*") if path.is_file()}
    new = [content for name, content in after.items() if name not in before]
    assert len(new) == 3 and {changed, manifest.read_bytes()} < set(new)  # and the folder's listing
    assert before.items() < after.items()

    shutil.rmtree(mine / ".dvc/cache")
    shutil.rmtree(mine / "data")
    dvc(mine, "pull", f"{SHARDS}/{shards[1].name}")
    assert [path.name for path in (mine / SHARDS).iterdir()] == [shards[1].name]
    assert objects(mine / ".dvc/cache/files") == 2  # the shard and the listing


@pytest.mark.slow
@pytest.mark.parametrize(("words", "told"), [(("-r", "nobody"), "nobody"), (("nothing@rich",), "nothing@rich")])
def test_an_unknown_remote_or_target(mine: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    with_cache(mine, tmp_path / "remote")
    done = command(mine, "push", *words)
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and told in done.stderr, done.stderr
    assert objects(tmp_path / "remote") == 0


def test_pull_and_its_refusals(ask: Ask, sound: Path, tmp_path: Path) -> None:
    servers.publish(sound / "data", tmp_path / "there")
    url, into = str(tmp_path / "there"), tmp_path / "here"
    answer = ask("pull", url, "rich", "--into", str(into), "--split", "test", "--json")
    found = json.loads(answer.out)
    assert answer.code == 0 and found["dataset"] == "rich" and found["copied"] == found["files"] > 0
    assert len(list(into.rglob("*.tar"))) == 1
    again = ask("pull", url, "--into", str(into))
    assert again.code == 0 and again.out.splitlines()[1].startswith("copied 2 files")
    for words in (("--split", "tset"), ("--sequence", "Nowhere")):
        refused = ask("pull", url, "rich", "--into", str(tmp_path / "no"), *words)
        assert refused.code == 4 and refused.err.count("\n") == 1 and "the nearest:" in refused.err
    assert not (tmp_path / "no").exists()
    assert ask("pull", str(tmp_path / "nowhere")).code == 4
