"""A published dataset behind real servers: read alike from each, nothing written, one line where it is damaged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.catalog import whole_manifest
from sahmr.batches.dataset import SampleDataset
from sahmr.datasets import CARDS
from sahmr.errors import RemoteError, ShardError
from sahmr.open import open_dataset
from sahmr.published import DATASETS
from sahmr.scenes.store import load_scene
from sahmr.server import Server
from tests import imports
from tests.worlds import servers, small
from tests.worlds.servers import Served

SHARD = "/shards/rich/rich-test-Room_test-000000.tar"
TOP = "catalog/rich.manifest.json"


@pytest.fixture(scope="module")
def published(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "data"
    servers.publish(small_world, folder)
    return folder


@pytest.fixture(params=["file", "http", "sftp", "s3"])
def address(request: pytest.FixtureRequest, published: Path, tmp_path: Path) -> Iterator[Served]:
    match request.param:
        case "file":
            yield Served(str(published))
        case "sftp":
            with servers.sftp(published, tmp_path / "home") as served:
                yield served
        case kind:
            with getattr(servers, kind)(published) as served:
                yield served


@pytest.fixture
def mirror(published: Path, tmp_path: Path) -> Iterator[tuple[Path, Served]]:
    """A copy that a test may damage, and its server."""
    shutil.copytree(published, tmp_path / "data")
    with servers.http(tmp_path / "data") as served:
        yield tmp_path / "data", served


def test_the_same_from_every_server(address: Served, published: Path) -> None:
    data = open_dataset(address.url, options=address.options)
    assert (data.name, len(data), data.splits, data.scene_keys) == ("rich", 9, ["test", "train"], ["Room_scan"])
    assert data.version == hashlib.sha256((published / TOP).read_bytes()).hexdigest()
    assert data.frames.num_rows == 9 and data.frames.field("person_box").metadata
    sample, again = data[6], data["Room_test_00006"]
    assert (sample.key, again.key) == (data.entries[6].key, "Room_test_00006")
    np.testing.assert_allclose(data["Room_train_00002"].vertices_world, small.vertices(2), atol=1e-6)
    scene, wanted = data.scene("Room_scan"), load_scene(published / "scenes/rich.zarr", "Room_scan")
    np.testing.assert_array_equal(scene.points, wanted.points.numpy())
    np.testing.assert_array_equal(scene.sdf, wanted.sdf.numpy())


def test_the_torch_dataset_is_that_of_local_files(published: Path) -> None:
    local = SampleDataset(published / "shards/rich", published / "scenes/rich.zarr", "test")
    with servers.http(published) as served:
        remote = pickle.loads(pickle.dumps(open_dataset(served.url).torch_dataset("test")))
        assert len(remote) == len(local) == 3
        assert remote[1].key == local[1].key
        assert remote[1].image.equal(local[1].image) and remote[1].scene_camera.equal(local[1].scene_camera)


def test_a_sample_costs_its_own_bytes(published: Path) -> None:
    with servers.http(published) as served:
        data = open_dataset(served.url, "rich")
        entry = next(entry for entry in data.entries if entry.key == "Room_test_00007")
        before = served.sent()
        assert data[entry.key].key == entry.key
        assert served.sent() - before == entry.length < (published / SHARD[1:]).stat().st_size
        served.ranges = False  # then all of it comes, and is cut here
        assert data[entry.key].key == entry.key


def test_no_torch_no_dvc_no_params_nothing_written(published: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from sahmr.open import open_dataset
data = open_dataset({str(published)!r})
data[0], data.scene("Room_scan"), data.frames
print(sorted({{"torch", "dvc", "dask", "sahmr.settings"}} & set(sys.modules)))
"""
    state = small.hashes(published)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(imports.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr
    assert list(tmp_path.iterdir()) == [] and small.hashes(published) == state


def test_a_key_that_is_not_there(published: Path) -> None:
    with pytest.raises(KeyError, match="no sample of rich has this key; the nearest: Room_test_00007"):
        open_dataset(str(published))["Room_test_0007"]


def _gone(folder: Path, served: Served) -> None:
    (folder / SHARD[1:]).unlink()


def _cut_at_rest(folder: Path, served: Served) -> None:
    (folder / SHARD[1:]).write_bytes((folder / SHARD[1:]).read_bytes()[:5000])


def _cut_on_the_way(folder: Path, served: Served) -> None:
    served.cut[SHARD] = 3000


def _other_byte(folder: Path, served: Served) -> None:
    content = bytearray((folder / SHARD[1:]).read_bytes())
    content[2000] ^= 1
    (folder / SHARD[1:]).write_bytes(content)


def _refused(folder: Path, served: Served) -> None:
    served.refuse[SHARD] = 403


def _another_table(folder: Path, served: Served) -> None:
    (folder / "frames/rich.parquet").write_bytes((folder / "frames/rich_scenes.parquet").read_bytes())


def _another_chunk(folder: Path, served: Served) -> None:
    chunk = folder / "scenes/rich.zarr/Room_scan/sdf/c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[::-1])


def _another_manifest(folder: Path, served: Served) -> None:
    manifest = folder / "shards/rich/manifest.json"
    manifest.write_text(manifest.read_text().replace('"stage": "shards"', '"stage":  "shards"'))


def _no_manifest(folder: Path, served: Served) -> None:
    (folder / TOP).unlink()


def _a_manifest_of_two_parts(folder: Path, served: Served) -> None:
    content = json.loads((folder / TOP).read_text())
    del content["files"]["scenes/rich.manifest.json"]
    (folder / TOP).write_text(json.dumps(content))


def _no_json(folder: Path, served: Served) -> None:
    (folder / TOP).write_text("<html>Welcome</html>")


DAMAGES: dict[str, tuple[Callable[[Path, Served], None], str]] = {
    "shard gone": (_gone, rf"{SHARD}: not there"),
    "shard cut": (_cut_at_rest, rf"{SHARD}: sample Room_test_00006: found 5000 of \d+ bytes"),
    "connection cut": (_cut_on_the_way, rf"{SHARD}: cannot be read"),
    "another byte": (_other_byte, rf"{SHARD}: sample Room_test_00006: SHA-256 differs from the index"),
    "refused": (_refused, rf"{SHARD}: cannot be read \(403, message='Forbidden'"),
    "another table": (_another_table, r"/frames/rich\.parquet: has \d+ bytes, the manifest says"),
    "another chunk": (_another_chunk, r"/sdf/c/0/0/0: SHA-256 differs from the manifest"),
    "another manifest": (_another_manifest, r"/shards/rich/manifest\.json: has \d+ bytes, the manifest says .*catalog"),
    "no manifest": (_no_manifest, r"/catalog/rich\.manifest\.json: not there"),
    "two parts": (_a_manifest_of_two_parts, "lacks the manifests of scenes; the publisher must run: dvc repro"),
    "no JSON": (_no_json, r"/catalog/rich\.manifest\.json: no manifest"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_one_line(name: str, mirror: tuple[Path, Served]) -> None:
    folder, served = mirror
    damage, says = DAMAGES[name]
    damage(folder, served)
    with pytest.raises((RemoteError, ShardError), match=says) as told:
        data = open_dataset(served.url, "rich")
        data.frames, data.scene("Room_scan"), data["Room_test_00006"]
    assert "\n" not in str(told.value) and len(str(told.value)) < 500


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with servers.http(tmp_path) as served:
        pass
    with pytest.raises(RemoteError, match=rf"{served.url}/catalog/rich\.manifest\.json: cannot be read .*network"):
        open_dataset(served.url, "rich")


def test_every_dataset_is_looked_for() -> None:
    assert sorted(DATASETS) == sorted(CARDS)


def test_two_datasets_and_addresses_of_manifests(published: Path, tmp_path: Path) -> None:
    assert open_dataset(f"{published}/{TOP}").name == "rich"
    shutil.copytree(published, tmp_path / "data")
    (tmp_path / "data/catalog/prox.manifest.json").write_text("{}")
    with pytest.raises(RemoteError, match="holds prox and rich; say which of them"):
        open_dataset(str(tmp_path / "data"))


def test_passwords_are_not_told() -> None:
    assert str(Server("ssh://me:secret@host/data")) == "ssh://host/data"
    with pytest.raises(RemoteError) as told:
        open_dataset("nosuch://me:secret@host/data", "rich")
    assert "secret" not in str(told.value)


def test_the_manifest_of_the_whole(published: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = small.paths_of(published)
    text = whole_manifest("rich", paths)
    assert text == whole_manifest("rich", paths) == (published / TOP).read_text()
    listed = json.loads(text)["files"]
    assert list(listed) == ["frames/rich.manifest.json", "scenes/rich.manifest.json", "shards/rich/manifest.json"]
    for name, state in listed.items():
        content = (published / name).read_bytes()
        assert state == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert whole_manifest("prox", paths) == ""  # was not converted
    assert whole_manifest("rich", dataclasses.replace(paths, frames=tmp_path)) == ""
    assert "rich cannot be published as one folder" in caplog.text
