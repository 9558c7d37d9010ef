"""A finished training is found again by all that decides its weights, and by nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import zarr

from pipelines import training_data
from pipelines.conversion.receipts import Training
from pipelines.conversion.work_store import WorkStore
from pipelines.prune_work import prune
from pipelines.train_rcnet import TrainRcnet
from sahmr.errors import SettingsError
from sahmr.scenes import store as scene_store
from sahmr.settings import Paths, load_section
from sahmr.shards.reader import read_index
from sahmr.shards.write import write_index
from sahmr.training.build import Network
from sahmr.training.parts import Ingredient
from sahmr.training.setup import source_of
from tests import imports
from tests.worlds import small, trainings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("receipts") / "world"
    trainings.write_world(folder)
    trainings.write_params(folder, epochs=1, batch_size=2)
    (folder / "models").mkdir()
    (folder / "models/rcnet.pt").write_bytes(b"weights")
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to change; where it lies must not matter."""
    shutil.copytree(made, tmp_path / "copy")
    trainings.write_params(tmp_path / "copy", epochs=1, batch_size=2)
    yield tmp_path / "copy"
    scene_store.load_points.cache_clear()


def key_of(root: Path, *, threads: int = 1, device: str = "cpu", version: int = 1, **changes: object) -> str:
    """Digest of the mesh network's training; ``changes`` are settings."""
    params, kind = root / "params.yaml", trainings.STAGES["train_sahmr"][1]
    section, paths = replace(load_section("train_sahmr", kind, params), **changes), load_section("paths", Paths, params)
    return Training(
        stage="train_sahmr",
        version=version,
        output="sahmr",
        section=section,
        network=load_section("network", Network, params),
        source=source_of(section, paths, 0),
        threads=threads,
        device=torch.device(device),
    ).key(paths)


def change_index(root: Path, change: Callable[[list], list]) -> None:
    write_index(root / "shards/rich", change(read_index(root / "shards/rich")))


def another_test_sample(root: Path) -> None:
    change_index(
        root, lambda rows: [replace(rows[0], sha256="0" * 64, sequence="other"), *list(rows)[1:]]
    )  # the first is of split test


def other_places(root: Path) -> None:
    """What a new row before them, or a new column, does to the rows."""
    folder = root / "shards/rich"
    for path in folder.glob("*.tar"):
        (folder / f"new-{path.name}").write_bytes(bytes(512) + path.read_bytes())
    change_index(root, lambda rows: [replace(row, offset=row.offset + 512, shard=f"new-{row.shard}") for row in rows])


def other_distances(root: Path) -> None:
    zarr.open_group(str(root / "scenes/rich.zarr"))["Room_scan/sdf"][0, 0, 0] = 7.0


def other_train_sample(root: Path) -> None:
    change_index(root, lambda rows: [replace(row, sha256="0" * 64) if row.split == "train" else row for row in rows])


def other_split(root: Path) -> None:
    change_index(root, lambda rows: [replace(row, split="val") if row.key.endswith("5") else row for row in rows])


def other_points(root: Path) -> None:
    zarr.open_group(str(root / "scenes/rich.zarr"))["Room_scan/points"][0, 0] = 7.025  # a voxel's centre


def other_bodies(root: Path) -> None:
    (root / "bodies/topology.npz").write_bytes(b"other tables")


def other_checkpoint(root: Path) -> None:
    (root / "models/rcnet.pt").write_bytes(b"other weights")


@pytest.mark.parametrize("change", [another_test_sample, other_places, other_distances])
def test_what_no_training_reads_needs_no_new_one(made: Path, world: Path, change: Callable[[Path], None]) -> None:
    change(world)
    assert key_of(world) == key_of(made)


@pytest.mark.parametrize("change", [other_train_sample, other_split, other_points, other_bodies, other_checkpoint])
def test_other_inputs_are_another_training(made: Path, world: Path, change: Callable[[Path], None]) -> None:
    change(world)
    assert key_of(world) != key_of(made)


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"zoom_range": 0.2}, {"mean_over_valid_contacts": True}, {"threads": 2}, {"device": "cuda"},
     {"version": 2}, {"max_quarantined": 1}, {"steps_per_epoch": 2},
     {"datasets": {"rich": Ingredient(where="has_contact")}}],
)  # fmt: skip
def test_other_settings_are_another_training(made: Path, change: dict) -> None:
    assert key_of(made, **change) != key_of(made)


def test_a_dataset_without_a_card_is_refused(made: Path, tmp_path: Path) -> None:
    file = made / "params.yaml"
    (tmp_path / "params.yaml").write_text(file.read_text().replace("    rich:\n", "    kinect:\n"))
    with pytest.raises(
        SettingsError, match=r"train_rcnet\.datasets: found the keys kinect, allowed a mapping with some"
    ):
        load_section("train_rcnet", TrainRcnet, tmp_path / "params.yaml")


def test_a_training_is_in_use_while_its_outputs_are_links(tmp_path: Path) -> None:
    store = WorkStore(root=tmp_path / "work")
    for key in ("aa", "bb"):
        with store.make("train_rcnet", key) as draft:
            (draft.folder / "rcnet.pt").write_bytes(key.encode())
        receipt = store.find("train_rcnet", key)
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models/rcnet.pt").unlink(missing_ok=True)
        store.link("train_rcnet", receipt, tmp_path / "models")
    assert prune(store, dry_run=False)["pieces"] == 1
    assert [store.find("train_rcnet", key) is not None for key in ("aa", "bb")] == [False, True]


CODE = ("schemas", "sahmr", "catalog", "pipelines")
SMALL = "\nfrom tests.worlds.networks import TINY\nSIZES['demo'] = TINY\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Our code in a repository of its own, with data up to the trainings and a network that trains in a blink."""
    folder = tmp_path / "repository"
    for name in CODE:
        shutil.copytree(imports.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(imports.ROOT / name, folder / name)
    trainings.write_world(folder / "data")
    trainings.write_params(folder / "data", epochs=1, batch_size=6)
    text = (folder / "data/params.yaml").read_text().replace(f"{folder}/", "").replace("data/reports", "reports")
    (folder / "params.yaml").write_text(text)
    with (folder / "sahmr/training/build.py").open("a") as code:
        code.write(SMALL)
    made = small.paths_of(folder / "data")
    training_data.run("train_rcnet", "rich", {"rich": Ingredient()}, made)  # by another stage
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def repro(folder: Path, stage: str) -> str:
    """Run ``dvc repro`` for one stage alone; what it and DVC said."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": f"{folder}:{imports.ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
    done = subprocess.run(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_an_edited_comment_trains_nothing_again(repository: Path) -> None:
    assert repro(repository, "train_rcnet").count("epoch 1/1") == 1
    before = small.hashes(repository / "data/models")
    for name in ("sahmr/metrics.py", "sahmr/network/mesh.py", "sahmr/npz.py"):
        with (repository / name).open("a") as code:
            code.write("\n# a comment\n")
    again = repro(repository, "train_rcnet")
    assert "train_rcnet: reused" in again
    assert "epoch" not in again
    assert small.hashes(repository / "data/models") == before
    assert list(WorkStore(root=repository / "data/work").unlinked("train_rcnet")) == []  # outputs share its disk space
