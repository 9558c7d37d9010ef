"""Shards of equal names: of two data sets, and of two splits. A cache of what was fetched goes by content."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.scenes.store import load_points
from sahmr.scenes.visible import load_blocks
from sahmr.shards.reader import read_index
from sahmr.shards.write import write_index
from sahmr.share import Share, find_places
from tests.test_share import digest, loader_of, share_of
from tests.worlds import servers, small

NAME = "000000.tar"
END = bytes(1024)  # of a tar


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six samples to train with, three to judge by."""
    root = tmp_path_factory.mktemp("names")
    rows = [*small.records()[:6], *(small.record(number, split="val") for number in range(6, 9))]
    small.write_world(root / "world", rows)
    servers.publish(root / "world", root / "data")
    return root / "data"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Scenes are kept per process by the place they came from."""
    yield
    load_points.cache_clear()
    load_blocks.cache_clear()


def in_one_shard(folder: Path, target: Path, splits: Sequence[str]) -> Path:
    """A published folder with the samples of these splits alone, in one shard that says nothing of them."""
    shutil.copytree(folder, target)
    shards, data, rows = target / "shards/rich", bytearray(), []
    for entry in read_index(folder / "shards/rich"):
        if entry.split in splits:
            whole = (folder / "shards/rich" / entry.shard).read_bytes()
            rows.append(replace(entry, shard=NAME, offset=len(data)))
            data += whole[entry.offset : entry.offset + entry.length]
    for path in (*shards.glob("*.tar"), shards / "index.parquet"):
        path.unlink()
    (shards / NAME).write_bytes(data + END)
    write_index(shards, rows)
    servers.publish_again(target)
    return target


def judged(share: Share, world: Path) -> str:
    """What a training reads to validate."""
    data = SampleDataset(*find_places(share, small.paths_of(world), "rich"), "val")
    return digest(make_loader(data, batch_size=2).epoch(0))


def test_two_data_sets(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    small.write_world(other, [small.record(number) for number in (20, 21)])
    names = [{path.name for path in (root / "shards/rich").glob("*train*.tar")} for root in (folder, other)]
    assert names[1] and names[1] <= names[0]
    expected, wanted = (digest(loader_of(Share(), root).epoch(0)) for root in (folder, other))
    with servers.http(folder) as first, servers.http(other) as second:
        for _ in range(2):
            assert digest(loader_of(share_of(first.url, tmp_path / "cache"), tmp_path).epoch(0)) == expected
            assert digest(loader_of(share_of(second.url, tmp_path / "cache"), tmp_path).epoch(0)) == wanted


@pytest.mark.parametrize("is_one_shard", [False, True])
def test_two_splits(is_one_shard: bool, folder: Path, tmp_path: Path) -> None:
    """Each in a folder of its own as ``000000.tar``, or both in it; read in turns, and once more from the cache."""
    expected = digest(loader_of(Share(), folder).epoch(0)), judged(Share(), folder)
    wholes = [["train", "val"]] * 2 if is_one_shard else [["train"], ["val"]]
    train, val = (in_one_shard(folder, tmp_path / str(place), splits) for place, splits in enumerate(wholes))
    with servers.http(train) as first, servers.http(val) as second:
        cached = [share_of(served.url, tmp_path / "cache") for served in (first, second)]
        found = [(digest(loader_of(cached[0], tmp_path).epoch(0)), judged(cached[1], tmp_path)) for _ in range(2)]
        assert found == [expected, expected]
        asked = [path for served in (first, second) for path, _ in served.requests if path.endswith(NAME)]
        assert len(asked) == 9  # each sample once
