"""Training from a share: the same batches from every server, and nothing lost when one fails."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from pipelines import loader as loader_tool
from pipelines.train_rcnet import TrainRcnet
from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import DecodeIn, SampleLoader, make_loader
from sahmr.errors import RemoteError, ShardError
from sahmr.scenes.store import load_points
from sahmr.scenes.visible import load_blocks
from sahmr.settings import load_section
from sahmr.shards.reader import read_index
from sahmr.share import Share, find_places
from sahmr.structures import Batch
from sahmr.training.setup import source_of
from sahmr.training.source import decisive_data
from tests import imports
from tests.worlds import servers, small
from tests.worlds.trainings import write_params

SHARD = "/shards/rich/rich-train-Room_train-000000.tar"


@pytest.fixture(scope="module")
def folder(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("share") / "data"
    servers.publish(small_world, target)
    return target


@pytest.fixture
def mine(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(folder, tmp_path / "data")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Scenes are kept per process by the place they came from."""
    yield
    load_points.cache_clear()
    load_blocks.cache_clear()


def share_of(url: str, cache: Path, **more: object) -> Share:
    return Share(**{"shards": f"{url}/shards", "scenes": f"{url}/scenes", "cache": cache, "patience_s": 0.0, **more})


def loader_of(
    share: Share, world: Path, *, workers: int = 0, kind: DecodeIn = "processes", seed: int = 9
) -> SampleLoader:
    """Of a training, as the stages make it; ``world`` has the paths that the share replaces."""
    places = find_places(share, small.paths_of(world), "rich")
    data = SampleDataset(*places, "train", is_training=True, seed=3)
    return make_loader(data, batch_size=2, seed=seed, num_workers=workers, decode_in=kind)


def digest(batches: Iterable[Batch]) -> str:
    found = hashlib.sha256()
    for batch in batches:
        found.update("\n".join(batch.keys).encode())
        tensors = (batch.image, batch.camera.crop_box, batch.scene.xyz, batch.targets.vertices_camera)
        for tensor in tensors:
            found.update(tensor.numpy().tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[str]:
    """Of two epochs of local shards."""
    local = loader_of(Share(), folder)
    return [digest(local.epoch(epoch)) for epoch in range(2)]


@pytest.fixture(params=["file", "http", "sftp", "s3"])
def address(request: pytest.FixtureRequest, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        yield f"file://{folder}"
        return
    more = (tmp_path / "home",) if request.param == "sftp" else ()
    with getattr(servers, request.param)(folder, *more) as served:
        import fsspec

        for protocol in ("ssh", "s3"):  # where credentials belong: fsspec's own configuration
            monkeypatch.setitem(fsspec.config.conf, protocol, served.options)
        yield served.url


def test_the_same_batches_from_every_server(
    address: str, folder: Path, tmp_path: Path, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    remote = loader_of(share_of(address, cache), tmp_path / "nothing")
    assert [digest(remote.epoch(epoch)) for epoch in range(2)] == expected
    names = {path.name for path in cache.glob("??/*")}
    assert {entry.sha256 for entry in read_index(folder / "shards/rich") if entry.split == "train"} <= names


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_workers_fetch_for_themselves(kind: DecodeIn, folder: Path, tmp_path: Path, expected: list[str]) -> None:
    with servers.http(folder) as served:
        remote = loader_of(share_of(served.url, tmp_path / "cache"), tmp_path, workers=2, kind=kind)
        assert digest(remote.epoch(0)) == expected[0]
        before = len(served.requests)
        assert digest(remote.epoch(1)) == expected[1]
        assert len(served.requests) == before  # all of it was kept


def test_threads_fetch_ahead_and_each_sample_once(folder: Path, tmp_path: Path, expected: list[str]) -> None:
    with servers.http(folder) as served:
        share = share_of(served.url, tmp_path / "cache", cache_gb=0)
        remote = loader_of(share, tmp_path, workers=1, kind="threads")
        reader = remote._dataset.reader
        for epoch in range(2):
            before = len(served.requests)
            running = remote.epoch(epoch)
            got = [next(running)]
            begun = {*remote.keys(3 * epoch), *remote.keys(3 * epoch + 1), *remote.keys(3 * epoch + 2)}
            assert {name for _, name in reader._ahead._begun} <= begun
            got += running
            assert digest(got) == expected[epoch] and not reader._ahead._begun
            asked = [path for path, _ in served.requests[before:] if path == SHARD or "train" in path]
            assert len(asked) == 6
        running = remote.epoch(0)
        next(running)
        running.close()
        assert not reader._ahead._begun


def test_a_folder_is_read_as_it_is(folder: Path, tmp_path: Path, expected: list[str]) -> None:
    share = share_of(str(folder), tmp_path / "cache")
    assert find_places(share, small.paths_of(tmp_path), "rich")[0] == folder / "shards/rich"
    assert digest(loader_of(share, tmp_path).epoch(0)) == expected[0] and not (tmp_path / "cache").exists()


def test_a_training_from_a_share_is_the_same_training(folder: Path, tmp_path: Path) -> None:
    section = load_section("train_rcnet", TrainRcnet, imports.ROOT / "params.yaml")
    with servers.http(folder) as served:
        share = share_of(served.url, tmp_path / "cache")
        remote = decisive_data(source_of(section, small.paths_of(tmp_path), 0, share))
        assert remote == decisive_data(source_of(section, small.paths_of(folder), 0))


def test_the_next_step_is_fetched_while_one_is_decoded(folder: Path, tmp_path: Path) -> None:
    with servers.http(folder) as served:
        remote = loader_of(share_of(served.url, tmp_path / "cache", cache_gb=0), tmp_path)
        running = remote.epoch(0)
        next(running)
        reader = remote._dataset.reader
        assert set(remote.keys(1)) == {name for _, name in reader._ahead._begun}
        list(running)
        asked = [path for path, _ in served.requests if path == SHARD or "train" in path]
        assert len(asked) == 6 and not reader._ahead._begun  # each sample once


@pytest.mark.parametrize("workers", [0, 2])
def test_a_download_that_breaks_off(workers: int, folder: Path, tmp_path: Path, expected: list[str]) -> None:
    with servers.http(folder) as served:
        remote = loader_of(share_of(served.url, tmp_path / "cache"), tmp_path, workers=workers, kind="threads")
        served.cut[SHARD] = 100
        with pytest.raises(RemoteError, match=r"Room_train-000000.tar: cannot be read \(.*check network") as found:
            list(remote.epoch(0))
        assert "\n" not in str(found.value)
        share = share_of(served.url, tmp_path / "cache", patience_s=20.0)
        patient = loader_of(share, tmp_path, workers=workers, kind="threads")
        timer = threading.Timer(0.4, served.cut.clear)
        timer.start()
        assert digest(patient.epoch(0)) == expected[0]
        timer.join()


def test_other_bytes_than_the_index_says(mine: Path, tmp_path: Path) -> None:
    entry = next(entry for entry in read_index(mine / "shards/rich") if entry.split == "train")
    data = bytearray((mine / "shards/rich" / entry.shard).read_bytes())
    data[entry.offset + 700] ^= 1
    (mine / "shards/rich" / entry.shard).write_bytes(data)
    with servers.http(mine) as served:
        remote = loader_of(share_of(served.url, tmp_path / "cache", patience_s=5.0), tmp_path)
        with pytest.raises(ShardError, match=f"sample {entry.key}: SHA-256 differs from the index") as found:
            list(remote.epoch(0))
        assert "\n" not in str(found.value)
        assert sum(count == entry.length for _, count in served.requests) >= 2  # asked once more
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in tmp_path.glob("cache/??/*"))


def test_a_server_that_is_lost_in_the_middle(folder: Path, tmp_path: Path) -> None:
    share = {"cache": tmp_path / "cache", "patience_s": 0.3}
    whole = list(loader_of(Share(), folder).epoch(0))
    with servers.http(folder) as served:
        port = int(served.url.rpartition(":")[2])
        remote = loader_of(share_of(served.url, **share), tmp_path)
        running = remote.epoch(0)
        got = [next(running)]
    with pytest.raises(RemoteError, match=r"/shards/rich/.*: cannot be read .*check network") as found:
        got.extend(running)
    assert "\n" not in str(found.value) and 1 <= len(got) <= 2 and remote.step == len(got)
    state = remote.state_dict()
    with servers.http(folder, port) as served:
        again = loader_of(share_of(served.url, **share), tmp_path)
        before = {entry.sha256 for entry in again._dataset.entries} & {p.name for p in tmp_path.glob("cache/??/*")}
        again.load_state_dict(state)
        got += list(again.rest())
        asked = [path for path, _ in served.requests if "train" in path]
        assert len(asked) == 6 - len(before) < 6  # what was there stayed
    assert digest(got) == digest(whole)


def test_nothing_lies_outside_of_the_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path)
    with servers.http(folder) as served:
        share = Share(shards=f"{served.url}/shards", scenes=f"{served.url}/scenes")
        list(loader_of(share, tmp_path / "nothing").epoch(0))
    made = {path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {("XDG_CACHE_HOME", "sahmr", "samples")}


@pytest.mark.slow  # git, DVC and their start
def test_a_repository_at_a_revision(folder: Path, tmp_path: Path, expected: list[str]) -> None:
    """Pushed to a remote, gone from the working copy and its cache, later changed: the tag still has it."""
    root, remote = tmp_path / "team", tmp_path / "remote"
    root.mkdir()
    env = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    env |= {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def call(*words: str) -> None:
        done = subprocess.run(words, cwd=root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    call("git", "init", "-q", "-b", "main")
    for part in ("shards", "scenes"):
        shutil.copytree(folder / part, root / "data" / part)
    code = (
        "from dvc.repo import Repo\n"
        "repo = Repo.init('.')\n"
        f"open('.dvc/config', 'w').write('[core]\\n remote = r\\n[\\'remote \"r\"\\']\\n url = {remote}\\n')\n"
        "repo = Repo('.')\n"
        "repo.add(['data/shards', 'data/scenes'])\n"
        "print(repo.push())\n"
    )
    call(sys.executable, "-c", code)
    call("git", "add", ".")
    call("git", "commit", "-qm", "all")
    call("git", "tag", "v1")
    (root / "data/shards.dvc").unlink()
    call("git", "commit", "-qam", "without shards")
    for gone in (root / "data/shards", root / "data/scenes", root / ".dvc/cache"):
        shutil.rmtree(gone)
    share = Share(
        shards=f"dvc+{root}@v1#data/shards", scenes=f"dvc+file://{root}@v1#data/scenes", cache=tmp_path / "cache"
    )
    assert digest(loader_of(share, tmp_path / "nothing").epoch(0)) == expected[0]
    for revision, said in (("v2", "v2"), ("main", "not there")):
        with pytest.raises(RemoteError, match=said) as found:
            loader_of(Share(shards=f"dvc+{root}@{revision}#data/shards"), folder)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shards": "http://127.0.0.1:9/shards"}, "http://127.0.0.1:9/shards/rich/manifest.json: cannot be read"),
        ({"shards": "nowhere://x"}, "nowhere://x"),
        ({"shards": "file:///nowhere"}, "file:///nowhere/rich/manifest.json: not there"),
    ],
)
def test_a_share_that_cannot_be_had(change: dict[str, str], said: str, folder: Path) -> None:
    with pytest.raises(RemoteError, match=said) as found:
        loader_of(Share(**change), folder)
    assert "\n" not in str(found.value)


def test_the_tool_prints_a_step_of_the_share(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load(write_params(tmp_path, batch_size=2).read_text())
    monkeypatch.chdir(tmp_path)
    with servers.http(folder) as served:
        params["share"] |= {name: f"{served.url}/{name}" for name in ("shards", "scenes")}
        params["share"]["cache"] = str(tmp_path / "cache")
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        loader_tool.main(["--step", "1"])
    local = loader_of(Share(), folder, seed=params["train_sahmr"]["seed"])
    assert capsys.readouterr().out.split() == list(local.keys(1))
