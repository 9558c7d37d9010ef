"""Trainings that were killed and run again, through their stages: other data or a damaged file means from the start."""

from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import zarr

from pipelines import train_rcnet, train_sahmr
from sahmr.errors import CheckpointError
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.scenes import store as scene_store
from sahmr.scenes import visible
from sahmr.training import build, state
from sahmr.training.checkpoint import read_checkpoint
from sahmr.training.foreign import Others
from sahmr.training.state import Keeping
from tests.worlds import trainings
from tests.worlds.networks import TINY, make_topology

EPOCHS = 2


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setitem(build.SIZES, "demo", TINY)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    forget_scenes()


def forget_scenes() -> None:
    """What a new process would read again."""
    scene_store.load_points.cache_clear()
    visible.load_blocks.cache_clear()


@pytest.mark.parametrize("stage", trainings.STAGES)
def test_the_digest_of_a_resume_file_has_the_scenes(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each stage hands to its trainer, before and after the scene store changes."""
    trainings.write_world(tmp_path)
    params, seen = params_of(tmp_path), []

    def remember(*_: object, keeping: Keeping, **others: object) -> None:
        seen.append((keeping.resume_file, keeping.digest))
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[f"pipelines.{stage}"], "train", remember)
    monkeypatch.setattr(train_sahmr, "_untrained", lambda *_: SahmrNet(TINY, OWN, make_topology()))
    monkeypatch.setattr(train_rcnet, "start_calmly", lambda *_: None)
    for change in (lambda _: None, lambda _: None, other_points):
        change(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            trainings.run(stage, params)
    assert len({file for file, _ in seen}) == 1
    assert [digest == seen[0][1] for _, digest in seen] == [True, True, False]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and a first network to build the second one on."""
    folder = tmp_path_factory.mktemp("interrupted") / "world"
    trainings.write_world(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(build.SIZES, "demo", TINY)
        trainings.run("train_rcnet", params_of(folder))
    return folder


def params_of(root: Path) -> Path:
    return trainings.write_params(root, epochs=EPOCHS, batch_size=6, seed=3)


def copy_of(world: Path, place: Path) -> Path:
    shutil.copytree(world, place, ignore=shutil.ignore_patterns("work"))
    (place / "models/rcnet_history.csv").unlink()
    params_of(place)
    forget_scenes()
    return place


def kill_after_first_epoch(stage: str, root: Path) -> Path:
    """Run a stage up to the moment when its first resume file is written; the file."""
    save = state.save_atomically

    def save_and_die(path: Path, content: dict[str, object]) -> None:
        save(path, content)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "save_atomically", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            trainings.run(stage, root / "params.yaml")
    return root / f"models/.{stage}.resume.pt"


def weights(stage: str, root: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(root / f"models/{stage.removeprefix('train_')}.pt").network


def other_points(root: Path) -> None:
    zarr.open_group(str(root / "scenes/rich.zarr"))["Room_scan/points"][:50] = 0.525  # a voxel's centre
    forget_scenes()


def flip(root: Path) -> None:
    (resume,) = (root / "models").glob(".*.resume.pt")
    content = bytearray(resume.read_bytes())
    content[len(content) // 3] ^= 1
    content[len(content) // 2] ^= 1
    resume.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("stage", trainings.STAGES)
@pytest.mark.parametrize(
    ("change", "says", "left"),
    [
        (lambda root: None, "resumed after 1 epochs", ""),
        (other_points, "belongs to other settings or data; set aside .*training starts from the beginning", "other"),
        (flip, "damaged resume file .* set aside .*training starts from the beginning", "damaged"),
    ],
    ids=["nothing", "scenes", "flipped"],
)
def test_killed_and_run_again_it_ends_as_if_undisturbed(
    stage: str,
    change: Callable[[Path], None],
    says: str,
    left: str,
    world: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    killed, calm = copy_of(world, tmp_path / "killed"), copy_of(world, tmp_path / "calm")
    assert kill_after_first_epoch(stage, killed).is_file()
    change(killed)
    if change is other_points:
        change(calm)
    with caplog.at_level(logging.INFO, logger="sahmr"):
        if change is other_points:
            with pytest.raises(CheckpointError, match=r"other settings or data \(data.decisive"):
                trainings.run(stage, killed / "params.yaml")
        trainings.run(stage, killed / "params.yaml", Others(restart=left == "other"))
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if re.search(says, line)], told
    trainings.run(stage, calm / "params.yaml")
    expected = weights(stage, calm)
    assert all(torch.equal(value, expected[name]) for name, value in weights(stage, killed).items())
    assert [path.name for path in (killed / "models").glob(".*")] == [
        f".{stage}.resume.pt.{kind}-1" for kind in [left] if kind
    ]
