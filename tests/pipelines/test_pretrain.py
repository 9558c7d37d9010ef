"""The pre-training: same crops from anybody, nothing done twice, and wrong orders told before any work."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.spatial import cKDTree

from pipelines.demo import pretrain, pretrain_crops
from pipelines.demo.pretrain_card import Clock
from pipelines.demo.pretrain_crops import ZOOM_MOST, Crops, make_room, split_of, write_crops
from pipelines.demo.pretrain_recipe import (
    FURTHER,
    RECIPE,
    Order,
    check_home,
    check_length,
    check_start,
    read_recipe,
)
from sahmr.demo.pretraining.card import Card, Training, card_text
from sahmr.demo.pretraining.sheet import draw_crops
from sahmr.errors import CheckpointError, SettingsError
from sahmr.files import check_manifest, file_sha256, folder_digest
from sahmr.geometry.rigid_numpy import apply_rigid, project
from sahmr.scenes.store import load_points
from sahmr.shards.crop import crop_box, max_jitter_px
from sahmr.shards.reader import ShardReader, read_index
from sahmr.training import build
from sahmr.training.checkpoint import read_checkpoint, save_checkpoint
from tests import imports
from tests.worlds.networks import TINY


@pytest.fixture(scope="module")
def models(demo_root: Path) -> Path:
    return demo_root / "body_models/models"


def make(home: Path, models: Path, rooms: int, *, workers: int = 0) -> int:
    paths = Order(home=home).paths
    return write_crops(Crops(), paths, models=models, rooms=rooms, crops=2, workers=workers)


def outputs(home: Path) -> list[str]:
    return [folder_digest(home / "shards/rich"), folder_digest(home / "scenes/rich.zarr")]


@pytest.fixture(scope="module")
def whole(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rooms with two crops each, made at one go."""
    home = tmp_path_factory.mktemp("pretrain") / "whole"
    assert make(home, models, 2) == 4
    return home


def test_a_killed_run_goes_on(whole: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(job: tuple[int, str, int], folder: Path, **options: Any) -> Any:
        if job[0] == 1:
            (folder / "half").write_text("made")
            raise KeyboardInterrupt
        return make_room(job, folder, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pretrain_crops, "make_room", stop)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "home", models, 2)
    assert not (tmp_path / "home/shards").exists()
    assert make(tmp_path / "home", models, 2) == 2
    assert make(tmp_path / "home", models, 2) == 0
    assert outputs(tmp_path / "home") == outputs(whole)


def test_a_room_hangs_on_nothing_made_before(whole: Path, models: Path, tmp_path: Path) -> None:
    """So the number of workers, which only decides who makes what when, changes no byte; nor does that of crops."""
    entries = {}
    for room, count in ((1, 1), (0, 2)):
        (tmp_path / f"{room}").mkdir()
        made = make_room((room, split_of(room), count), tmp_path / f"{room}", models=models, settings=Crops())
        assert made.facts is not None
        entries |= {entry["key"]: entry["sha256"] for entry in made.facts["entries"]}
    known = {entry.key: entry.sha256 for entry in read_index(whole / "shards/rich")}
    assert entries == {key: known[key] for key in ("Room00000_0000", "Room00000_0001", "Room00001_0000")}


def test_another_seed_gives_other_people(whole: Path, models: Path, tmp_path: Path) -> None:
    made = make_room((1, "train", 1), tmp_path, models=models, settings=Crops(seed=8))
    assert made.facts is not None
    assert made.facts["entries"][0]["sha256"] not in {entry.sha256 for entry in read_index(whole / "shards/rich")}


def test_crops_are_what_trainings_take(whole: Path, tmp_path: Path) -> None:
    index, reader = read_index(whole / "shards/rich"), ShardReader(whole / "shards/rich")
    assert [(entry.key, entry.split) for entry in index] == [
        (f"Room0000{room}_000{place}", split) for room, split in ((0, "val"), (1, "train")) for place in (0, 1)
    ]
    samples = [reader.decode(entry, verify=True) for entry in index]
    for sample in samples:
        assert sample.vertices_world is not None and sample.contact is not None and sample.contact.any()
        assert max(sample.person_box[2:] - sample.person_box[:2]) == pytest.approx(176)
        size, region = np.array(sample.image_size), np.array(sample.region)
        for corner in ((0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)):  # the widest training crop, moved farthest
            box = crop_box(
                sample.person_box,
                zoom_range=ZOOM_MOST,
                jitter_px=max_jitter_px(*sample.image_size),
                draws=np.array(corner, float),
            )
            assert (region[:2] <= np.maximum(box[:2], 0)).all()
            assert (region[2:] >= np.minimum(box[2:], size)).all()
    for name, manifest in (("shards", "shards/rich/manifest.json"), ("scenes", "scenes/rich.manifest.json")):
        assert check_manifest(whole / manifest, stage=name, dataset="rich") == []
    draw_crops(samples, np.array([[0, 1, 2], [5, 6, 7]]), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_rooms_lie_at_an_angle_to_the_voxel_grid(whole: Path) -> None:
    """Cameras, bodies and scenes alike: soles touch the scan, whose floor is no single layer of voxels."""
    store, index = whole / "scenes/rich.zarr", read_index(whole / "shards/rich")
    reader = ShardReader(whole / "shards/rich")
    for entry in index:
        frame, points = reader.geometry(entry), load_points(store, entry.scene_key).numpy().astype(np.float64)
        assert frame.vertices_world is not None and frame.contact is not None
        touching = frame.vertices_world[frame.contact].astype(np.float64)
        assert np.median(cKDTree(points).query(touching)[0]) < 0.02
        assert all(
            np.bincount(np.round(points[:, k] / 0.02).astype(int) + 1000).max() < 0.2 * len(points) for k in range(3)
        )
        camera = apply_rigid(frame.camera_from_world, frame.vertices_world.astype(np.float64))
        pixels = project(camera, frame.intrinsics)
        assert np.concatenate([pixels.min(0), pixels.max(0)]) == pytest.approx(frame.person_box, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rooms", "1"], "argument --rooms: found '1', allowed a whole number from 2 to 99999"),
        (["--crops", "0"], "argument --crops: found '0', allowed a whole number from 1 to 9999"),
        (["--seed", "-1"], "argument --seed: found '-1', allowed a whole number from 0 to 4294967295"),
        (["--workers", "two"], "argument --workers: found 'two', allowed a whole number from 0 to 256"),
        (["--home", ".."], "argument --home: found '..', allowed a folder that does not hold this repository"),
        (["--output", "start.md"], "argument --output: found 'start.md', allowed a file whose name ends in .pt"),
        (["--sheet", "."], "argument --sheet: found '.', allowed a file whose name ends in .png"),
    ],
)
def test_wrong_options_are_told(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pretrain.main(options)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("home", ["data", "data/shards/mine", "data/demo/RICH/x"])
def test_what_is_not_ours_is_not_replaced(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(imports.ROOT)
    with pytest.raises(SettingsError, match=r"^--home: found .*, allowed a folder outside of (paths|raw)\.\w+ \(data/"):
        check_home(Path(home))
    check_home(Order().home)


def write_recipe(folder: Path, **changes: Any) -> Path:
    """The repository's, with some keys of both trainings set."""
    recipe = yaml.safe_load((imports.ROOT / RECIPE).read_text())
    for name in ("train_rcnet", "train_sahmr"):
        recipe[name] |= copy.deepcopy(changes)  # or YAML writes an alias
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "recipe.yaml"


def test_a_recipe_that_cannot_be_followed_is_told(tmp_path: Path) -> None:
    recipe = read_recipe(imports.ROOT / RECIPE)
    check_length(Order(), recipe)
    with pytest.raises(SettingsError, match=r"--rooms 2 --crops 3: found \d+ steps of train_rcnet, allowed at least"):
        check_length(Order(rooms=2, crops=3), recipe)
    with pytest.raises(SettingsError, match=r"recipe\.yaml: train_rcnet\.zoom_range: found 0\.4, allowed .* to 0\.25"):
        read_recipe(write_recipe(tmp_path, zoom_range=0.4))
    with pytest.raises(SettingsError, match=r"recipe\.yaml: train_rcnet\.datasets: found prox, allowed rich"):
        read_recipe(write_recipe(tmp_path, datasets={"prox": {}}))
    with pytest.raises(SettingsError, match=r"recipe\.yaml: train_rcnet\.tpyo: found an unknown key"):
        read_recipe(write_recipe(tmp_path, tpyo=1))


def test_shipped_weights_are_trained_on_into_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(imports.ROOT)
    recipe, order = read_recipe(FURTHER), Order(recipe=FURTHER, output=tmp_path / "start.pt")
    assert list(recipe.trainings) == ["train_sahmr"]
    check_start(order, recipe)
    assert "--recipe pipelines/demo/pretrain_further.yaml --output " in order.command
    with pytest.raises(
        SettingsError, match=r"^--output: found 'sahmr/demo/pretraining/start\.pt', which pipelines/demo"
    ):
        check_start(replace(order, output=Order().output), recipe)
    for name, content, said in (
        ("absent", None, r"absent\.pt: no such file"),
        ("damaged", b"weights", r"damaged\.pt"),
    ):
        given = tmp_path / f"{name}.pt"
        if content is not None:
            given.write_bytes(content)
        with pytest.raises(CheckpointError, match=said):
            check_start(order, replace(recipe, network=replace(recipe.network, initial_checkpoint=given)))
    whole = read_checkpoint(Order().output)
    mesh = {name: value for name, value in whole.network.items() if not name.startswith("rcnet.")}
    save_checkpoint(tmp_path / "mesh.pt", replace(whole, network=mesh))
    alone = replace(recipe.network, initial_checkpoint=tmp_path / "mesh.pt")
    with pytest.raises(SettingsError, match=r"initial_checkpoint: found .*mesh\.pt, without a root-and-contact"):
        check_start(order, replace(recipe, network=alone))
    text = FURTHER.read_text().replace(
        "initial_checkpoint: sahmr/demo/pretraining/start.pt", "initial_checkpoint: null"
    )
    (tmp_path / "no.yaml").write_text(text)
    with pytest.raises(
        SettingsError, match=r"no\.yaml: network\.initial_checkpoint: found null and no section train_rc"
    ):
        read_recipe(tmp_path / "no.yaml")


def test_times_add_up_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "seconds.json"
    path.write_text('{"crops": 5.5, "train')  # what a full disk leaves
    assert Clock(path).seconds == {}
    path.write_text('{"crops": 5.5}')
    with pytest.raises(KeyboardInterrupt), Clock(path)("crops"):
        raise KeyboardInterrupt
    assert Clock(path).seconds["crops"] >= 5.5
    with Clock(path)("train_rcnet"):
        pass
    assert set(json.loads(path.read_text())) == {"crops", "train_rcnet"}


def test_the_card_says_how(tmp_path: Path) -> None:
    training = Training(title="A", epochs=3, batch_size=16, steps=30, rate=0.005, seed=9, seconds=3700.0)
    card = Card(
        file="start.pt", size=11_000_000, sha256="ab" * 32, command=Order(rooms=80).command, seed=1009, rooms=80,
        held_out=2, crops=50, render_seconds=200.0, trainings=(training,), start="random weights",
        machine="a processor, 2 cores", scores={"mpjpe_mm": 81.234},
    )  # fmt: skip
    text = card_text(card)
    for said in (
        "`start.pt` (11.0 MB", "SHA-256 `abab", "\n    python -m pipelines.demo.pretrain --rooms 80\n",
        "4000 crops: 80 rooms", "2 rooms with 100 crops", "(20.0 crops a second)",
        "| A | 3 | 16 | 30 | 0.005 | 9 | 1 h 2 min |",
        "2 cores", "| mpjpe_mm | 81.23 |",
    ):  # fmt: skip
        assert said in text
    assert max(map(len, text.splitlines())) < 130


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.chdir(imports.ROOT)
    monkeypatch.setitem(build.SIZES, "demo", TINY)
    threads = torch.get_num_threads()
    yield monkeypatch
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_the_whole_command_goes_on_after_a_kill(demo_root: Path, tmp_path: Path, tiny: pytest.MonkeyPatch) -> None:
    tiny.setattr(pretrain, "find_body_models", lambda paths: demo_root / "body_models")
    recipe = write_recipe(tmp_path, epochs=1, batch_size=2, warmup_steps=0, processes=1)
    order = Order(rooms=2, crops=3, workers=0, home=tmp_path / "home", output=tmp_path / "start.pt", recipe=recipe)
    with tiny.context() as patch:
        patch.setattr(pretrain.train_sahmr, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            pretrain.run(order)
    assert not order.output.exists()
    with tiny.context() as patch:
        patch.setattr(pretrain.train_rcnet, "train", stopped)  # is finished: comes from the work store
        pretrain.run(order)
    first, card = file_sha256(order.output), order.output.with_suffix(".md").read_text()
    assert {name.split(".")[0] for name in read_checkpoint(order.output).network} == {"rcnet", "metro_enhanced"}
    assert first in card and "| mpjpe_mm | " in card and "| stage A: val_root_mm | " in card
    for name in ("train_rcnet.train", "train_sahmr.train", "evaluate.run"):
        tiny.setattr(f"pipelines.{name}", stopped)
    pretrain.run(replace(order, workers=1))  # nothing is left to do
    assert file_sha256(order.output) == first


@pytest.mark.slow
def test_the_mesh_network_is_trained_on(demo_root: Path, tmp_path: Path, tiny: pytest.MonkeyPatch) -> None:
    tiny.setattr(pretrain, "find_body_models", lambda paths: demo_root / "body_models")
    settings = yaml.safe_load(write_recipe(tmp_path, epochs=1, batch_size=2, warmup_steps=0, processes=1).read_text())
    order = Order(
        rooms=2,
        crops=3,
        workers=0,
        home=tmp_path / "one",
        output=tmp_path / "start.pt",
        recipe=tmp_path / "recipe.yaml",
    )
    pretrain.run(order)
    del settings["train_rcnet"]
    settings["network"]["initial_checkpoint"] = str(order.output)
    (tmp_path / "further.yaml").write_text(yaml.safe_dump(settings))
    further = replace(order, output=tmp_path / "on.pt", recipe=tmp_path / "further.yaml")
    pretrain.run(further)
    old, new = (read_checkpoint(each.output).network for each in (order, further))
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"metro_enhanced"}
    card = further.output.with_suffix(".md").read_text()
    assert f"From `start.pt` of SHA-256 {file_sha256(order.output)}, whose root and contact network stays." in card
    assert "| B, mesh | 1 |" in card and "stage A" not in card


@pytest.mark.slow
def test_processes_change_no_byte(whole: Path, models: Path, tmp_path: Path) -> None:
    assert make(tmp_path / "home", models, 2, workers=2) == 4
    assert outputs(tmp_path / "home") == outputs(whole)


def stopped(*args: Any, **options: Any) -> None:
    raise KeyboardInterrupt
