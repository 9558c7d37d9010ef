"""Trainings on PROX, and on RICH and PROX by weight: which samples, in which order, with which parts left out."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from catalog.graph import read_graph
from catalog.source import Source as Repository
from pipelines import training_data as data_stage
from pipelines.loader import open_loader
from pipelines.train_rcnet import TrainRcnet
from sahmr.batches.order import epoch_order
from sahmr.errors import QuarantineError, SettingsError, ShardError
from sahmr.network.sahmr import SahmrNet
from sahmr.settings import load_section
from sahmr.shards.reader import read_index
from sahmr.structures import Batch, BodyTopology
from sahmr.training import source as source_module
from sahmr.training import tasks
from sahmr.training.optimizer import Plan
from sahmr.training.parts import Ingredient, Part, decisive_part
from sahmr.training.setup import training_data
from sahmr.training.source import Source, decisive_data
from tests import imports
from tests.worlds import small

PLAN = Plan(seed=1, epochs=2, batch_size=2, canonical_lr=1e-3)


def write_prox(world: Path, aside: Path) -> None:
    """Four samples of another data set to train with, as PROX has them: no labels, no split ``val``."""
    rows = [small.record(number, dataset="prox", has_contact=False) for number in range(20, 24)]
    small.write_world(aside, rows)
    for name in ("shards/rich", "scenes/rich.zarr"):
        (aside / name).rename(world / name.replace("rich", "prox"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of RICH six samples to train with, one of them without labels, and two to judge by; four of PROX."""
    folder = tmp_path_factory.mktemp("mixture")
    small.write_world(folder / "world", [*small.records()[:6], *(small.record(n, split="val") for n in (9, 10))])
    write_prox(folder / "world", folder / "aside")
    return folder / "world"


def part(world: Path, name: str, **more: object) -> Part:
    return Part(name=name, shards=world / f"shards/{name}", scenes=world / f"scenes/{name}.zarr", **more)


def source(world: Path, **more: object) -> Source:
    """Three samples of RICH for one of PROX."""
    parts = (part(world, "rich", weight=3.0), part(world, "prox"))
    return Source(**{"parts": parts, "workers": 0, "zoom_range": 0.1, **more})


def test_an_epoch_is_shared_out_by_weight_and_judged_by_who_has_judges(world: Path) -> None:
    data = training_data(source(world), PLAN)
    assert data.steps == 5  # of ten samples: 7.5 and 2.5 to share out
    epochs = [list(data.epoch(number)) for number in range(2)]
    assert [Counter(name for batch in epoch for name in batch.datasets) for epoch in epochs] == [
        {"rich": 8, "prox": 2}, {"rich": 8, "prox": 2},
    ]  # fmt: skip
    of_prox = [key for epoch in epochs for batch in epoch for key in batch.keys if int(key[-5:]) >= 20]
    assert len({*of_prox}) == 4  # none a second time before all others came once
    assert [key for batch in data.validation() for key in batch.keys] == ["Room_val_00009", "Room_val_00010"]


def test_one_data_set_is_walked_as_ever(world: Path) -> None:
    alone = source(world, parts=(part(world, "rich", weight=7.0),)).shuffled(2, seed=1)
    keys = [small.record(number).key for number in range(6)]
    for epoch in range(2):
        found = [key for step in range(3) for key in alone.keys(epoch * 3 + step)]
        assert found == [keys[number] for number in epoch_order(6, 1, epoch)]


def test_a_condition_narrows_what_is_trained_on_and_not_what_judges(world: Path) -> None:
    parts = (part(world, "rich", where="has_contact and key > 'Room_train_00001'"),)
    data = training_data(source(world, parts=parts), PLAN)
    assert data.steps == 1  # three samples; a short batch is left out
    assert len([key for batch in data.validation() for key in batch.keys]) == 2
    one, other = (decisive_part(part(world, "rich", where=where)) for where in ("has_contact", ""))
    assert (len(one["train"]), len(other["train"]), one["val"]) == (5, 6, other["val"])
    with pytest.raises(ShardError, match=r"none of 6 samples of split 'train' fulfils it"):
        training_data(source(world, parts=(part(world, "rich", where="scene_key == 'Gym'"),)), PLAN)


def test_all_data_sets_decide_and_so_does_their_order(world: Path) -> None:
    both = source(world)
    other = replace(both, parts=both.parts[::-1])
    assert decisive_data(both) != decisive_data(other)
    assert decisive_data(both)["prox"] == decisive_data(other)["prox"] != decisive_data(both)["rich"]


def test_an_epoch_of_so_many_steps_goes_on_with_the_walk(world: Path) -> None:
    through = training_data(source(world), PLAN)
    cut = training_data(source(world, steps_per_epoch=3), PLAN)
    assert cut.steps == 3
    keys = [batch.keys for epoch in range(2) for batch in cut.epoch(epoch)]
    assert keys == [batch.keys for epoch in range(2) for batch in through.epoch(epoch)][:6]


def test_people_of_all_data_sets_and_scenes_of_one_spacing(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = source(world).bodies(256)
    expected = np.stack([small.vertices(number) for number in (*range(6), *range(20, 24))])
    assert torch.allclose(people, torch.from_numpy(expected).float(), atol=1e-6)
    assert source(world).voxel_pitch_m() == 0.05
    monkeypatch.setattr(source_module, "voxel_pitch_m", lambda place: 0.02 if "prox" in place.name else 0.05)
    with pytest.raises(
        SettingsError, match=r"datasets: found scenes of different spacing \(rich 0\.05, prox 0\.02 m\)"
    ):
        source(world).voxel_pitch_m()


@pytest.fixture
def damaged(world: Path, tmp_path: Path) -> Path:
    """The world with a bit of two of PROX's samples other."""
    shutil.copytree(world, tmp_path / "world")
    shards = tmp_path / "world/shards/prox"
    for entry in (read_index(shards)[1], read_index(shards)[2]):
        content = bytearray((shards / entry.shard).read_bytes())
        content[entry.offset + entry.length // 2] ^= 1
        (shards / entry.shard).chmod(0o644)
        (shards / entry.shard).write_bytes(content)
    return tmp_path / "world"


def test_a_damaged_sample_is_an_error_or_left_out_and_counted(damaged: Path, caplog: pytest.LogCaptureFixture) -> None:
    prox, plan = (part(damaged, "prox"),), replace(PLAN, batch_size=4)
    with pytest.raises(ShardError, match="CRC-32C differs"):
        list(training_data(source(damaged, parts=prox), plan).epoch(0))
    with pytest.raises(QuarantineError, match="2 damaged samples, allowed at most 1"):
        list(training_data(source(damaged, parts=prox, max_quarantined=1), plan).epoch(0))
    allowed = source(damaged, parts=prox, max_quarantined=2)
    (batch,) = training_data(allowed, plan).epoch(0)
    assert sorted(batch.keys) == ["Room_train_00020", "Room_train_00023"]
    assert "epoch 1: 2 damaged samples were left out so far" in caplog.messages
    assert len(allowed.bodies(4)) == 2
    alone = training_data(allowed, replace(PLAN, batch_size=1))
    with pytest.raises(ShardError, match=r"epoch 1, step \d: every sample of this process's share is damaged"):
        list(alone.epoch(0))


def test_hands_are_left_out_of_prox_alone(
    network: SahmrNet, topology: BodyTopology, make_batch: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    whole = tasks.make_targets
    monkeypatch.setattr(tasks, "make_targets", lambda *a, **k: (asked.append(k["ignored_parts"]), whole(*a, **k))[1])
    weights = tasks.RootContactWeights()
    task = tasks.RootContactTask(topology=topology, loss_weights=weights, pitch_m=0.02, ignored_parts={"prox": (3, 4)})
    task.judge(network, replace(make_batch(1), datasets=("rich", "prox")))
    assert asked == [[(), (3, 4)]]


def test_the_loader_s_tool_prints_the_mixture(world: Path) -> None:
    section = load_section("train_rcnet", TrainRcnet, imports.ROOT / "params.yaml")
    mixed = {"rich": Ingredient(weight=3.0), "prox": Ingredient(where="key >= 'Room_train_00022'")}
    section, paths = replace(section, datasets=mixed, batch_size=4), small.paths_of(world)
    keys = open_loader(section, paths, "train").keys(0)
    assert keys[0] and not {"Room_train_00020", "Room_train_00021"} & {*keys}
    other = open_loader(section, paths, "train", "key >= 'Room_train_00005'")
    assert {key for step in range(len(other)) for key in other.keys(step)} <= {
        small.record(number).key for number in (5, *range(20, 24))
    }
    assert open_loader(section, paths, "val").keys(0) == ("Room_val_00009", "Room_val_00010")


def test_the_stage_of_digests_follows_what_a_training_reads(world: Path, tmp_path: Path) -> None:
    paths = replace(small.paths_of(world), models=tmp_path)
    both = {"rich": Ingredient(weight=3.0), "prox": Ingredient()}
    for name in both:
        data_stage.run("train_rcnet", name, both, paths)
    folder = tmp_path / "train_rcnet_data"
    first = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    assert {name: (one["train"]["samples"], one["val"]["samples"]) for name, one in first.items()} == {
        "rich": (6, 2), "prox": (4, 0),
    }  # fmt: skip
    data_stage.run("train_rcnet", "prox", {"prox": Ingredient(where="key >= 'Room_train_00022'")}, paths)
    assert [path.name for path in folder.iterdir()] == ["prox.json"]  # the other is of a stage that is no more
    found = json.loads((folder / "prox.json").read_text())
    assert found["train"]["samples"] == 2
    assert found["train"]["sha256"] != first["prox"]["train"]["sha256"]
    with pytest.raises(SettingsError, match=r"--dataset: found 'rich', allowed prox, the datasets of train_rcnet"):
        data_stage.run("train_rcnet", "rich", {"prox": Ingredient()}, paths)


@pytest.mark.parametrize("names", [("rich",), ("prox",), ("rich", "prox")], ids="+".join)
def test_dvc_knows_what_a_training_depends_on(names: tuple[str, ...], tmp_path: Path) -> None:
    params = yaml.safe_load((imports.ROOT / "params.yaml").read_text())
    params["train_rcnet"]["datasets"] = {name: {"weight": 1.0} for name in names}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copy(imports.ROOT / "dvc.yaml", tmp_path)
    graph = read_graph(Repository(root=tmp_path))
    training = next(stage for stage in graph.stages if stage.name == "train_rcnet")
    before = {stage.full_name for stage in graph.before(training)}
    for name in ("rich", "prox"):
        needed = {f"{stage}@{name}" for stage in ("frames", "scenes", "shards", "train_rcnet_data")}
        assert before & needed == (needed if name in names else set())
