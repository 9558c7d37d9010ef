"""The same global batches, decoded and augmented, for any ranks and workers, and from any step on."""

import hashlib
import json
import pickle
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sahmr.batches import loader as loader_module
from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import DecodeIn, SampleLoader, make_loader
from sahmr.batches.mixture import MixedDataset
from sahmr.errors import QuarantineError, ShardError, StoreError
from sahmr.shards.reader import read_index
from sahmr.shards.write import write_index
from sahmr.structures import Batch
from tests.worlds import small

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than cores
SAMPLES, BATCH = 11, 5  # the last batch has one: most ranks have none of it
RANKS, WORKERS = (1, 2, 3, 4, 8), (0, 1, 2, 4)
Cell = tuple[int, int, DecodeIn]
FAST: set[Cell] = {
    *((ranks, 0, "processes") for ranks in RANKS), (1, 2, "processes"), (2, 1, "processes"), (1, 2, "threads"),
    (3, 1, "threads"),
}  # fmt: skip
SLOW = pytest.mark.slow
FEW: set[Cell] = {(1, 0, "processes"), (8, 0, "processes"), (2, 1, "processes"), (2, 2, "threads")}


def cells(fast: set[Cell]) -> list[object]:
    """All numbers of ranks and workers, of either kind; those that are not asked for every time are slow."""
    kinds: tuple[DecodeIn, ...] = ("processes", "threads")
    every = [(ranks, workers, kind) for ranks in RANKS for workers in WORKERS for kind in kinds[: 1 + (workers > 0)]]
    return [pytest.param(*cell, marks=() if cell in fast else SLOW) for cell in every]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exact") / "world"
    small.write_world(folder, [small.record(number, has_contact=number % 3 > 0) for number in range(SAMPLES)])
    return folder


@pytest.fixture
def damaged(world: Path, tmp_path: Path) -> Path:
    """The same shards, a bit of two samples other."""
    shards = tmp_path / "rich"
    shards.mkdir()
    for path in (world / "shards/rich").iterdir():
        (shards / path.name).write_bytes(path.read_bytes())
    for entry in (read_index(shards)[2], read_index(shards)[7]):
        content = bytearray((shards / entry.shard).read_bytes())
        content[entry.offset + entry.length // 2] ^= 1
        (shards / entry.shard).write_bytes(content)
    return shards


def dataset(world: Path, shards: Path | None = None, **more: object) -> SampleDataset:
    options = {"is_training": True, "seed": 3, **more}
    return SampleDataset(shards or world / "shards/rich", world / "scenes/rich.zarr", "train", **options)


def open_all(make: Callable[..., SampleLoader], ranks: int) -> list[SampleLoader]:
    return [make(share=(rank, ranks)) for rank in range(ranks)]


def together(loaders: list[SampleLoader], epoch: int = 0) -> list[list[Batch]]:
    """Step by step the batches of all ranks; fails if one has fewer steps."""
    return list(map(list, zip(*(one.epoch(epoch) for one in loaders), strict=True)))


def digest(steps: Iterable[list[Batch]]) -> str:
    """Of keys and tensors, sample by sample, and of where a step ends."""
    found = hashlib.sha256()
    for step in steps:
        for batch in step:
            ends = batch.scene.ends(len(batch.keys))
            for place, key in enumerate(batch.keys):
                tensors = [batch.image, batch.camera.intrinsics, batch.camera.camera_from_world, batch.camera.crop_box]
                tensors += [batch.targets.vertices_camera, batch.targets.vertex_contact, batch.targets.has_contact]
                found.update(key.encode())
                for values in (*(tensor[place] for tensor in tensors), batch.scene.xyz[ends[place] : ends[place + 1]]):
                    found.update(values.contiguous().numpy().tobytes())
        found.update(b"step")
    return found.hexdigest()


@pytest.fixture(scope="module")
def expected(world: Path) -> str:
    return digest(together([make_loader(dataset(world), batch_size=BATCH, seed=9, short="keep")]))


@pytest.mark.parametrize(("ranks", "workers", "kind"), cells(FAST))
def test_an_epoch_is_the_same_on_any_machine(
    ranks: int, workers: int, kind: DecodeIn, world: Path, expected: str
) -> None:
    def make(share: tuple[int, int]) -> SampleLoader:
        more = {"num_workers": workers, "decode_in": kind, "share": share}
        return make_loader(dataset(world), batch_size=BATCH, seed=9, short="keep", **more)

    loaders = open_all(make, ranks)
    steps = together(loaders)
    assert digest(steps) == expected
    keys = [[key for batch in step for key in batch.keys] for step in steps]
    assert [len(step) for step in keys] == [5, 5, 1]
    assert sorted(key for step in keys for key in step) == [small.record(n).key for n in range(SAMPLES)]
    assert [tuple(step) for step in keys] == [loaders[0].keys(number) for number in range(3)]


def test_the_digest_sees_what_it_should(world: Path, expected: str) -> None:
    plain = dataset(world)
    others = [
        make_loader(plain, batch_size=BATCH, seed=8, short="keep"),
        make_loader(plain, batch_size=BATCH, seed=9),
        make_loader(plain, batch_size=4, seed=9, short="keep"),
        make_loader(dataset(world, seed=4), batch_size=BATCH, seed=9, short="keep"),
    ]
    assert len({expected, *(digest(together([one])) for one in others)}) == 5
    assert digest(together([make_loader(plain, batch_size=BATCH, seed=9, short="keep")], epoch=1)) != expected


@pytest.mark.parametrize(("ranks", "workers", "kind"), cells(FEW))
def test_a_damaged_sample_is_left_out_of_the_same_batch_everywhere(
    ranks: int, workers: int, kind: DecodeIn, world: Path, damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def make(share: tuple[int, int]) -> SampleLoader:
        data, more = dataset(world, damaged), {"num_workers": workers, "decode_in": kind, "share": share}
        return make_loader(data, batch_size=BATCH, seed=9, short="keep", quarantine=2, **more)

    loaders = open_all(make, ranks)
    steps = together(loaders)
    keys = [[key for batch in step for key in batch.keys] for step in steps]
    bad = {read_index(damaged)[number].key for number in (2, 7)}
    assert keys == [[key for key in loaders[0].keys(number) if key not in bad] for number in range(3)]
    assert {key for one in loaders for key in one.left_out} == bad
    assert sum("CRC-32C differs" in line for line in caplog.messages) == 2


def test_damage_is_an_error_unless_it_is_allowed(world: Path, damaged: Path) -> None:
    ways: tuple[tuple[int, DecodeIn], ...] = ((0, "processes"), (1, "processes"), (2, "threads"))
    for workers, kind in ways:
        with pytest.raises(ShardError, match=r"sample Room_train_0000\d: CRC-32C differs.*dvc repro shards") as found:
            list(make_loader(dataset(world, damaged), batch_size=BATCH, seed=9, num_workers=workers, decode_in=kind))
        assert "\n" not in str(found.value)
    with pytest.raises(QuarantineError, match="2 damaged samples, allowed at most 1"):
        list(make_loader(dataset(world, damaged), batch_size=BATCH, quarantine=1))
    lost = SampleDataset(damaged, world / "scenes/rich.zarr", "train")
    lost.scenes = world / "scenes/none.zarr"
    with pytest.raises(StoreError, match="no scene store"):  # concerns all samples
        list(make_loader(lost, batch_size=BATCH, quarantine=99))


def test_a_replaced_shard_and_a_stale_index_are_errors(world: Path, tmp_path: Path) -> None:
    shards = tmp_path / "rich"
    shutil.copytree(world / "shards/rich", shards)
    first, second, *_ = sorted(shards.glob("*.tar"))
    first.chmod(0o644)
    first.write_bytes(second.read_bytes())
    data = dataset(world, shards)
    with pytest.raises(ShardError, match=rf"{first.name}: sample .*(differs|of \d+ bytes).*dvc repro shards"):
        data[next(number for number, entry in enumerate(data.entries) if entry.shard == first.name)]
    for_a_worker = pickle.dumps(data)
    rows = list(read_index(shards))
    (shards / "index.parquet").unlink()
    write_index(shards, [replace(rows[0], sha256="0" * 64), *rows[1:]])
    with pytest.raises(ShardError, match="the index changed while it was in use; run the command again"):
        pickle.loads(for_a_worker)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 2, "processes"), (3, 1, "threads")),
        ((2, 2, "threads"), (1, 0, "processes")),
        pytest.param((8, 0, "processes"), (1, 4, "processes"), marks=SLOW),
        pytest.param((4, 2, "processes"), (2, 1, "processes"), marks=SLOW),
    ],
)
def test_another_machine_goes_on_with_the_identical_sequence(before: Cell, after: Cell, world: Path) -> None:
    def loaders(ranks: int, workers: int, kind: DecodeIn) -> list[SampleLoader]:
        def make(share: tuple[int, int]) -> SampleLoader:
            more = {"steps_per_epoch": 2, "short": "keep", "num_workers": workers, "decode_in": kind}
            return make_loader(dataset(world), batch_size=BATCH, seed=9, share=share, **more)

        return open_all(make, ranks)

    (whole,) = loaders(1, 0, "processes")
    through = [[batch] for epoch in range(3) for batch in whole.epoch(epoch)]  # two cycles of three steps
    first, second = loaders(*before), loaders(*after)
    steps = together(first, 0)
    running = [one.epoch(1) for one in first]
    steps.append([next(one) for one in running])  # killed after the third step, others already prefetched
    state = json.dumps(first[-1].state_dict())
    assert len(state) <= 256
    for one in second:
        one.load_state_dict(json.loads(state))
        assert one.step == 3
    steps += list(map(list, zip(*(one.rest() for one in second), strict=True)))
    steps += together(second, 2)
    assert digest(steps) == digest(through)
    assert [one.step for one in second] == [6] * after[0]


def test_a_resumed_loader_reads_nothing_again(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    whole = SampleDataset.__getitem__
    monkeypatch.setattr(SampleDataset, "__getitem__", lambda self, place: (read.append(place), whole(self, place))[1])
    first = make_loader(dataset(world), batch_size=BATCH, seed=9, short="keep")
    next(first.epoch(0))
    second = make_loader(dataset(world), batch_size=BATCH, seed=9, short="keep", share=(0, 1))
    second.load_state_dict(first.state_dict())
    assert sum(len(batch.keys) for batch in second.rest()) == SAMPLES - BATCH
    assert len(read) == len(set(read)) == SAMPLES


def test_a_state_of_other_data_is_refused(world: Path, small_world: Path) -> None:
    here = make_loader(dataset(world), batch_size=BATCH, seed=9)
    others = {
        "batch_size": make_loader(dataset(world), batch_size=4, seed=9),
        "samples": make_loader(dataset(small_world), batch_size=BATCH, seed=9),
        r"order \(seed": make_loader(dataset(world), batch_size=BATCH, seed=10),
    }
    for name, other in others.items():
        with pytest.raises(ShardError, match=rf"state of a loader: {name}.*other samples"):
            here.load_state_dict(other.state_dict())
    for change in ({"step": -1}, {"step": "1"}, {"step": True}, {"more": 1}):
        with pytest.raises(ShardError, match="state of a loader: found"):
            here.load_state_dict({**here.state_dict(), **change})
    keys = set(here.state_dict())
    assert keys == {"step", "batch_size", "samples", "order"}
    here.step = 2**62
    assert len(json.dumps(here.state_dict())) <= 256


def test_mixtures_are_the_same_on_any_machine(world: Path, small_world: Path) -> None:
    mixed = MixedDataset([dataset(world), dataset(small_world)], [1, 2], samples=12)
    assert len(mixed) == SAMPLES + 6
    found = set()
    for ranks in (1, 3):
        loaders = open_all(lambda share: make_loader(mixed, batch_size=BATCH, seed=9, short="keep", share=share), ranks)
        steps = together(loaders)
        found.add(digest(steps))
    assert len(found) == 1
    keys = [key for step in range(3) for key in loaders[0].keys(step)]
    assert len(keys) == 12
    assert [key for step in steps for batch in step for key in batch.keys] == keys
    assert keys.count("Room_train_00000") in (1, 2)  # both have it, and the smaller one has eight of twelve
    walks = [walk for walk, _ in loaders[0]._steps.batch(0) + loaders[0]._steps.batch(1) + loaders[0]._steps.batch(2)]
    assert set(walks) == {0, 1}  # its six samples are walked a second time, augmented otherwise
    with pytest.raises(ShardError, match="weights"):
        MixedDataset([dataset(world)], [1, 2])


def test_samples_are_found_by_key_and_condition(world: Path) -> None:
    data = dataset(world)
    assert data["Room_train_00007"].key == data[7].key == "Room_train_00007"
    assert torch.equal(data["Room_train_00007"].image, data[0, 7].image)
    with pytest.raises(KeyError, match=r"no sample of split 'train'.*nearest: Room_train_0000"):
        data["Room_train_00077"]
    labelled = dataset(world, where="has_contact and key >= 'Room_train_00004'")
    assert [entry.key[-2:] for entry in labelled.entries] == ["04", "05", "07", "08", "10"]
    assert labelled.number("Room_train_00007") == 2
    assert labelled[2].key == "Room_train_00007"
    with pytest.raises(ShardError, match=r"none of 11 samples of split 'train' fulfils it"):
        dataset(world, where="scene_key == 'Gym'")


def test_an_epoch_that_is_left_leaves_nothing(world: Path, expected: str) -> None:
    """No thread goes on, no number of torch's is missing, and the next epoch is what it would have been."""
    one = make_loader(dataset(world), batch_size=2, seed=9, short="keep", num_workers=2, decode_in="threads")
    plain = make_loader(dataset(world), batch_size=2, seed=9, short="keep")
    torch.manual_seed(1)
    running = one.epoch(0)
    next(running)
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("loader_")]
    assert len(ours) == 2
    running.close()
    for thread in ours:
        thread.join(60)
    assert not any(thread.is_alive() for thread in ours)
    found = digest(together([one], epoch=1)), torch.get_rng_state()
    torch.manual_seed(1)
    next(plain.epoch(0))
    assert found[0] == digest(together([plain], epoch=1))
    assert torch.equal(found[1], torch.get_rng_state())


def test_workers_have_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    monkeypatch.setattr(loader_module.cv2, "setNumThreads", said.append)
    loader_module._quiet_worker(0)
    assert said == [0]
