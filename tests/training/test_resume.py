"""A training never goes on from a damaged resume file: it is set aside, named once, and the training starts anew."""

from __future__ import annotations

import copy
import io
import logging
import os
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sahmr.errors import CheckpointError
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, BodyTopology
from sahmr.training import checkpoint
from sahmr.training.checkpoint import save_atomically
from sahmr.training.optimizer import Plan, RunningAverage, descend, make_optimizer, make_schedule
from sahmr.training.progress import BETWEEN
from sahmr.training.resume import read_resume
from sahmr.training.state import Keeping, TrainingData
from sahmr.training.tasks import RootContactTask, RootContactWeights
from sahmr.training.trainer import train

PLAN = Plan(seed=5, epochs=3, batch_size=32, canonical_lr=1e-3, average_decay=0.9)
STEPS = 2
Content = dict[str, Any]


class Run:
    """One epoch of a training of nearly nothing: every part of a resume file, small."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.BatchNorm1d(30), torch.nn.Linear(30, 1))
        self.optimizer = make_optimizer(self.module.parameters(), PLAN)
        self.schedule = make_schedule(self.optimizer, PLAN, STEPS)
        self.average = RunningAverage(self.module, 0.9)
        self.start = copy.deepcopy(self.content([]))
        for _ in range(STEPS):
            descend(self.optimizer, [self.module(torch.randn(4, 40)).square().mean()])
            self.schedule.step()
            self.average.update_parameters(self.module)
        self.sound = copy.deepcopy(self.content([{"epoch": 1, "train_loss": 0.5, "val_loss": float("nan")}]))

    def content(self, history: list[dict[str, float]]) -> Content:
        parts = {name: getattr(self, name).state_dict() for name in ("module", "optimizer", "schedule", "average")}
        rest: Content = {"origin": "", "about": {}, "scaler": None, "loader": "", "within": dict(BETWEEN)}
        times = [{"epoch": row["epoch"], "data_s": 0.5} for row in history]
        return {"digest": "a", "history": history, "times": times, **parts, **rest}

    def read(self, path: Path) -> Content | None:
        fresh = make_schedule(make_optimizer(self.module.parameters(), PLAN), PLAN, STEPS)
        return read_resume(path, self.start, fresh, epochs=PLAN.epochs, steps=STEPS)


@pytest.fixture(scope="module")
def run() -> Run:
    return Run()


@pytest.fixture(scope="module")
def sound(run: Run) -> bytes:
    stream = io.BytesIO()
    torch.save(run.sound, stream)
    return stream.getvalue()


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def test_a_sound_file_is_taken_up(run: Run, sound: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.pt").write_bytes(sound)
    assert same(run.read(tmp_path / "r.pt"), run.sound)
    assert run.read(tmp_path / "nothing.pt") is None


def test_flipped_anywhere_it_is_as_before_or_set_aside(run: Run, sound: bytes, tmp_path: Path) -> None:
    """Of two hundred places; some are padding, which harms nobody."""
    path, drawn = tmp_path / "r.pt", random.Random(7)
    tail = [len(sound) - 1 - drawn.randrange(2000) for _ in range(60)]  # where the zip's tables are
    for place in [*(drawn.randrange(len(sound)) for _ in range(140)), *tail]:
        content = bytearray(sound)
        content[place] ^= 1 << drawn.randrange(8)
        path.write_bytes(content)
        found = run.read(path)
        assert same(found, run.sound) if found is not None else not path.exists(), place
    assert len(list(tmp_path.glob("r.pt.damaged-*"))) > 100


def changed(**parts: Any) -> Callable[[Content], object]:
    return lambda content: {**content, **parts}


def edited(path: str, value: Callable[[Any], Any]) -> Callable[[Content], object]:
    """A copy with one value replaced, deep inside: ``optimizer/state/0/exp_avg``."""

    def edit(content: Content) -> object:
        made = copy.deepcopy(content)
        *parents, last = [int(name) if name.isdigit() else name for name in path.split("/")]
        place: Any = made
        for name in parents:
            place = place[name]
        place[last] = value(place[last])
        return made

    return edit


WEIGHT = "module/0.weight"
DAMAGES = {
    "no dict": (lambda _: [1], "holds a list"),
    "foreign": (lambda _: {"network": {"a": torch.ones(1)}}, r"lacks \['digest'|lacks \["),
    "a part missing": (lambda content: {k: v for k, v in content.items() if k != "average"}, r"lacks \['average'\]"),
    "no digest": (changed(digest=3), "digest is of type int"),
    "module of another size": (edited(WEIGHT, lambda _: torch.zeros(30, 41)), r"0\.weight is .*\(30, 41\).*\(30, 40\)"),
    "module of another type": (edited(WEIGHT, lambda value: value.double()), "float64"),
    "module with NaN": (edited(WEIGHT, lambda value: value * torch.nan), "module.0.weight has NaN"),
    "module of words": (edited(WEIGHT, lambda _: "abc"), "module.0.weight is str"),
    "module spread out": (edited(WEIGHT, lambda _: torch.zeros(1).expand(30, 40)), "module.0.weight is"),
    "sparse": (edited(WEIGHT, lambda value: value.to_sparse()), "'0.weight' is no ordinary tensor"),
    "an entry missing": (changed(module={}), "module lacks"),
    "an entry too much": (edited("module", lambda value: {**value, "x": 1}), r"unknown is \['x'\]"),
    "average with infinity": (edited("average/module.0.bias", lambda value: value / 0), "module.0.bias has NaN or inf"),
    "no average": (changed(average=None), "average is a NoneType"),
    "moments of another size": (edited("optimizer/state/0/exp_avg", lambda _: torch.zeros(3)), "state.0.exp_avg is"),
    "moments below zero": (edited("optimizer/state/0/exp_avg_sq", lambda value: -value - 1), "a negative square"),
    "moments with NaN": (edited("optimizer/state/0/exp_avg", lambda value: value / 0 * 0), "has NaN"),
    "moments missing": (edited("optimizer/state/0", lambda _: {}), "optimizer.state.0 lacks"),
    "moments of a stranger": (edited("optimizer/state", lambda _: {99: {}}), "not of 6 parameters"),
    "steps from the future": (edited("optimizer/state/0/step", lambda value: value + 9), "11 steps of 2"),
    "another rate": (edited("optimizer/param_groups/0/lr", lambda value: value * 10), "param_groups.0.lr"),
    "another beta": (edited("optimizer/param_groups/0/betas", lambda _: (0.1, 0.999)), "param_groups.0.betas.0"),
    "another schedule": (edited("schedule/last_epoch", lambda _: 7), "schedule.last_epoch"),
    "history of words": (changed(history=["a"]), "history is no list"),
    "history with a gap": (changed(history=[{"epoch": 2}]), "history is no list of 1 to 3 epochs"),
    "history of text": (changed(history=[{"epoch": 1, "loss": "x"}]), "history is no list"),
    "empty history": (changed(history=[]), "history is no list"),
    "no times": (changed(times=[]), "history is no list of 1 to"),
    "within an epoch, no shares": (changed(within={"step": 1, "shares": [], "seconds": {}}), "within.shares are not"),
    "within an epoch too long": (changed(within={"step": 3, "shares": [], "seconds": {}}), "within.step is 3 of 2"),
    "within nothing": (changed(within=7), "within is a int"),
    "a loader of numbers": (changed(loader=3), "loader is of type int, expected str"),
    "history too long": (changed(history=[{"epoch": n} for n in range(1, 9)]), "history is no list"),
}  # fmt: skip
BYTES = {
    "empty": (lambda content: b"", "the file is empty"),
    "cut": (lambda content: content[: len(content) // 2], "damaged or incomplete"),
    "cut by one byte": (lambda content: content[:-1], "damaged or incomplete"),
    "zeroed": (lambda content: bytes(len(content)), "damaged or incomplete"),
    "text": (lambda content: b"<html>404</html>", "damaged or incomplete"),
    "zip of something": (lambda content: b"PK\x05\x06" + bytes(18), "no file of torch.save"),
}


def expect_set_aside(run: Run, path: Path, says: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sahmr"):
        assert run.read(path) is None
    (told,) = [record.getMessage() for record in caplog.records]
    assert re.search(says, told), told
    assert told.startswith(f"{path}: damaged resume file (") and "fetch it again" not in told and "\n" not in told
    assert told.endswith("set aside as r.pt.damaged-1, training starts from the beginning")
    assert [place.name for place in path.parent.iterdir()] == ["r.pt.damaged-1"]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_state_that_cannot_be_is_set_aside(
    name: str, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit, says = DAMAGES[name]
    torch.save(edit(run.sound), tmp_path / "r.pt")
    expect_set_aside(run, tmp_path / "r.pt", says, caplog)


@pytest.mark.parametrize("name", BYTES)
def test_a_torn_file_is_set_aside(
    name: str, run: Run, sound: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit, says = BYTES[name]
    (tmp_path / "r.pt").write_bytes(edit(sound))
    expect_set_aside(run, tmp_path / "r.pt", says, caplog)


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_what_is_no_file_is_set_aside(kind: str, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = {"folder": Path.mkdir, "pipe": os.mkfifo, "dangling link": lambda path: path.symlink_to("nowhere")}[kind]
    make(tmp_path / "r.pt")  # type: ignore[operator]  # each takes a path
    expect_set_aside(run, tmp_path / "r.pt", "is a folder|is no regular file|no such file", caplog)


def test_earlier_damaged_files_are_kept(run: Run, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / "r.pt").write_text(f"damaged {number}")
        assert run.read(tmp_path / "r.pt") is None
    assert [(tmp_path / f"r.pt.damaged-{number}").read_text() for number in (1, 2, 3)] == [
        "damaged 1", "damaged 2", "damaged 3",
    ]  # fmt: skip


def test_a_file_that_cannot_be_set_aside_is_an_error(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r.pt").write_text("damaged")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CheckpointError, match=r"r\.pt: damaged resume file .* cannot be set aside .*delete it"):
        run.read(tmp_path / "r.pt")


def test_a_file_that_may_not_be_read_is_no_damage(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "r.pt").write_text("mine")

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint, "require_sound", refuse)
    with pytest.raises(CheckpointError, match=r"r\.pt: cannot be read \(Permission denied\); allow it"):
        run.read(tmp_path / "r.pt")
    assert (tmp_path / "r.pt").read_text() == "mine"


def test_of_other_settings_it_is_refused_and_stays(run: Run, tmp_path: Path) -> None:
    about = {"parameters": {"epochs": 4}}
    save_atomically(tmp_path / "r.pt", {**run.sound, "digest": "b", "about": about})
    with pytest.raises(CheckpointError, match=r"other settings or data \(parameters.epochs 4, now None\).*--restart"):
        run.read(tmp_path / "r.pt")
    assert [place.name for place in tmp_path.iterdir()] == ["r.pt"]


def test_training_after_a_damage_equals_an_undisturbed_one(
    topology: BodyTopology, network: SahmrNet, make_batch: Callable[..., Batch], tmp_path: Path
) -> None:
    """One bit inside the largest tensor: torch alone would go on from it."""
    plan = Plan(seed=5, epochs=2, batch_size=32, canonical_lr=1e-3)
    task = RootContactTask(topology=topology, loss_weights=RootContactWeights(), pitch_m=0.02)
    kept: list[bytes] = []

    def epoch(number: int) -> list[Batch]:
        if number == 1 and not kept:
            kept.append((tmp_path / "r.pt").read_bytes())
        return [make_batch(100 * number, count=1)]

    data = TrainingData(epoch=epoch, steps=1, validation=lambda: [])
    twin = copy.deepcopy(network)
    rows = train(network, task, plan, data, keeping=Keeping(resume_file=tmp_path / "r.pt", digest="a"))
    content = bytearray(kept[0])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        content[content.index(archive.read(largest), largest.header_offset) + largest.file_size // 2] ^= 1
    (tmp_path / "r.pt").write_bytes(content)
    assert train(twin, task, plan, data, keeping=Keeping(resume_file=tmp_path / "r.pt", digest="a")) == rows
    assert same(twin.state_dict(), network.state_dict())
    assert (tmp_path / "r.pt.damaged-1").read_bytes() == content
