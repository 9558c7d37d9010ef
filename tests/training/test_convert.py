"""The authors' three files: recognised, checked entry by entry, never run."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import pickle
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sahmr.errors import CheckpointError
from sahmr.network.checkpoint_keys import group_keys, is_dead
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN, REFERENCE, Behaviour, RootRegion
from sahmr.structures import BodyTopology
from sahmr.training import restore
from sahmr.training.checkpoint import (
    Checkpoint,
    load_plain,
    read_checkpoint,
    save_atomically,
    save_checkpoint,
)
from sahmr.training.initial import load_initial
from sahmr.training.restore import network_of, require_whole
from tests.worlds import authors_files
from tests.worlds.networks import TINY

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module", autouse=True)
def published_is_tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(restore.SIZES, "paper", TINY)
        patch.setattr(restore, "_empty_state", functools.cache(restore._empty_state))
        yield


@pytest.fixture(scope="module")
def values(topology: BodyTopology) -> dict[str, Tensor]:
    return authors_files.distinct_state(SahmrNet(TINY, REFERENCE, topology))


@pytest.fixture
def state(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(values)


@pytest.fixture
def few(values: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Entries of a network that is next to nothing, where it does not matter what network it is."""
    parts = ("rcnet.root_net.out_conv.", "rcnet.contact_net.stem.", "metro_enhanced.upsampling.")
    wanted = {name: value for name, value in values.items() if name.startswith(parts)}
    monkeypatch.setattr(restore, "_empty_state", lambda *_: wanted)
    return wanted | {name: values[name] for name in authors_files.UNUSED}


def read_whole(path: Path) -> Checkpoint:
    return require_whole(read_checkpoint(path), source=str(path))


@pytest.mark.parametrize("legacy", [False, True])
def test_released_file_fills_the_network(
    state: dict[str, Tensor], topology: BodyTopology, tmp_path: Path, legacy: bool
) -> None:
    made = read_whole(authors_files.write(tmp_path / "x.pth", authors_files.released(state), legacy=legacy))
    assert (made.stage, made.epoch, made.size, made.behaviour) == ("released", 30, "paper", REFERENCE)
    assert sorted(made.dropped) == sorted(authors_files.UNUSED)
    network = network_of(made, topology, backend="native", source="x")
    assert network.behaviour.rounding == "trunc" and network.rcnet.contact_net.rounding == "trunc"
    loaded = network.state_dict()
    assert loaded.keys() | set(authors_files.UNUSED) == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_file_saved_on_a_gpu_by_parameters(
    few: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    given = {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in few.items()}
    made = read_whole(authors_files.write(tmp_path / "x.pth", authors_files.released(given)))
    assert all(value.device.type == "cpu" and not value.requires_grad for value in made.network.values())


def test_views_are_stored_in_their_own_size(few: dict[str, Tensor], tmp_path: Path) -> None:
    name = "metro_enhanced.upsampling.bias"
    plain = read_whole(authors_files.write(tmp_path / "a.pth", authors_files.released(few)))
    few[name] = torch.cat([few[name], torch.zeros(10**6)])[: len(few[name])]
    few["rcnet.root_net.out_conv.weight"] = few["rcnet.root_net.out_conv.weight"].to(memory_format=torch.channels_last)
    viewed = read_whole(authors_files.write(tmp_path / "b.pth", authors_files.released(few), legacy=True))
    save_checkpoint(tmp_path / "a.pt", plain)
    save_checkpoint(tmp_path / "b.pt", viewed)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def put(name: str, value: object) -> Edit:
    """Set an entry, to something wrong as a rule."""

    def edit(state: dict[str, Any]) -> None:
        state[name] = value

    return edit


def drop(name: str) -> Edit:
    def edit(state: dict[str, Any]) -> None:
        del state[name]

    return edit


BIAS = "rcnet.root_net.out_conv.bias"
NAN = torch.tensor([0.0, torch.nan] + [0.0] * 11)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("rcnet.surplus", torch.zeros(1)), r"1 unknown: rcnet\.surplus"),
        (
            put("metro_enhanced.trans_encoder.0.bert.embeddings.extra", torch.zeros(1)),
            r"1 unknown: .*embeddings\.extra",
        ),
        (put("metro_enhanced.trans_encoder.3.bert.pooler.dense.bias", torch.zeros(1)), r"1 unknown: .*encoder\.3"),
        (drop(BIAS), r"1 missing: rcnet\.root_net\.out_conv\.bias"),
        (put(BIAS, torch.zeros(5)), r"other shape or type: .*out_conv\.bias \(5,\) float32 instead of \(13,\) float32"),
        (put(BIAS, torch.zeros(13, dtype=torch.float16)), r"out_conv\.bias \(13,\) float16 instead of"),
        (put(BIAS, NAN), r"1 with NaN or infinity: rcnet\.root_net\.out_conv\.bias"),
        (put(BIAS, torch.full((13,), torch.inf)), r"1 with NaN or infinity"),
        (put(BIAS, torch.zeros(13).to_sparse()), r"'net\.rcnet\.root_net\.out_conv\.bias' is no ordinary tensor"),
        (put(BIAS, "text"), r"is no ordinary tensor but str"),
        (put(BIAS, torch.zeros(13, device="meta")), r"is no ordinary tensor"),
    ],
)
def test_one_wrong_entry_is_named(few: dict[str, Tensor], tmp_path: Path, edit: Edit, message: str) -> None:
    edit(few)
    path = authors_files.write(tmp_path / "x.pth", authors_files.released(few))
    with pytest.raises(CheckpointError, match=message) as error:
        read_whole(path)
    assert str(path) in str(error.value)


def test_huge_finite_numbers_are_finite(few: dict[str, Tensor], tmp_path: Path) -> None:
    few[BIAS] = torch.full((13,), 3e38)  # their sum is not
    read_whole(authors_files.write(tmp_path / "x.pth", authors_files.released(few)))


def test_all_faults_are_one_error(state: dict[str, Tensor], topology: BodyTopology, tmp_path: Path) -> None:
    for number in range(30):
        state[f"rcnet.surplus{number:02d}"] = torch.zeros(1)
    put(BIAS, torch.zeros(5))(state)
    for name in [name for name in state if ".contact_net.stem." in name]:
        del state[name]
    path = authors_files.write(tmp_path / "x.pth", authors_files.released(state))
    message = r"30 unknown: rcnet\.surplus00.*surplus19 and 10 more; 12 missing: .*stem.*; 1 of other shape or type"
    with pytest.raises(CheckpointError, match=message):
        read_whole(path)
    with pytest.raises(CheckpointError, match=message):  # the same from the raw file, as predict reads it
        network_of(read_checkpoint(path), topology, backend="native", source=str(path))


def test_mixed_prefix_is_refused(few: dict[str, Tensor], tmp_path: Path) -> None:
    content = authors_files.released(few)
    content["network"][BIAS] = content["network"].pop(f"net.{BIAS}")  # type: ignore[index]
    with pytest.raises(CheckpointError, match=r"x\.pth: 1 keys lack the prefix"):
        read_checkpoint(authors_files.write(tmp_path / "x.pth", content))


def test_what_else_lies_beside_the_network_is_named(few: dict[str, Tensor], tmp_path: Path) -> None:
    path = authors_files.write(tmp_path / "x.pth", authors_files.released(few) | {"optimizer": {"lr": 1.0}})
    assert read_checkpoint(path).dropped[-1] == "optimizer"
    with pytest.raises(CheckpointError, match="'epoch' is 'thirty'"):
        read_checkpoint(authors_files.write(tmp_path / "y.pth", authors_files.released(few) | {"epoch": "thirty"}))


class Trap:
    """A pickle that runs a command where it is trusted."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_named_and_not_run(few: dict[str, Tensor], tmp_path: Path, legacy: bool) -> None:
    mark = tmp_path / "ran"
    path = authors_files.write(tmp_path / "x.pth", authors_files.released(few) | {"e": Trap(mark)}, legacy=legacy)
    with pytest.raises(CheckpointError, match=r"x\.pth: .*'posix\.system'") as error:
        read_checkpoint(path)
    assert not mark.exists()
    assert len(str(error.value)) < 400 and "weights_only" not in str(error.value)
    module = authors_files.write(tmp_path / "y.pth", {"network": torch.nn.Linear(1, 1)}, legacy=legacy)
    with pytest.raises(CheckpointError, match=r"'torch\.nn\.modules\.linear\.Linear'"):
        read_checkpoint(module)


def test_bare_pickle_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"network": Trap(tmp_path / "ran")}))
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "x.pth")
    assert not (tmp_path / "ran").exists()
    subprocess.run(["touch", tmp_path / "ran"], check=True)  # the trap would have worked


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_truncated_file(few: dict[str, Tensor], tmp_path: Path, legacy: bool, share: float) -> None:
    path = authors_files.write(tmp_path / "x.pth", authors_files.released(few), legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"x\.pth: not a readable checkpoint: .*[Ff]etch it again"):
        read_checkpoint(path)


def test_flipped_byte_breaks_the_check_sum(few: dict[str, Tensor], tmp_path: Path) -> None:
    path = authors_files.write(tmp_path / "x.pth", authors_files.released(few))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert torch.load(path)["epoch"] == 30  # torch does not notice
    with pytest.raises(CheckpointError, match=r"does not have its check sum .*; fetch it again"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", ["<!DOCTYPE html><html>quota exceeded</html>", ""])
def test_file_of_another_kind(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.pth").write_text(content)
    with pytest.raises(CheckpointError, match=r"not a readable checkpoint: (no file of torch\.save|the file is empty)"):
        read_checkpoint(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)


def start(network: SahmrNet, path: Path, under: str = "") -> None:
    load_initial(network, read_checkpoint(path), size="paper", under=under, source=str(path))


@pytest.mark.parametrize("legacy", [False, True])
def test_metro_starts_both_networks_raw_or_converted(
    network: SahmrNet, state: dict[str, Tensor], tmp_path: Path, legacy: bool
) -> None:
    raw = authors_files.write(tmp_path / "metro.bin", authors_files.metro(state), legacy=legacy)
    made = read_whole(raw)
    assert made.stage == "metro" and made.behaviour == REFERENCE
    assert len(made.dropped) == len(authors_files.UNUSED) + len(authors_files.CAMERA_HEAD)
    save_checkpoint(tmp_path / "metro.pt", dataclasses.replace(made, source_sha256="0"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for path in (raw, tmp_path / "metro.pt"):
        network.load_state_dict(before)
        start(network, path)
        for name, value in network.state_dict().items():
            trunk = name.replace("rcnet.root_net.hrnet.", "metro_enhanced.backbone.")
            is_own = not trunk.startswith("metro_enhanced.") or any(a in name for a in authors_files.ADDED_BY_SAHMR)
            assert torch.equal(value, before[name] if is_own else state[trunk]), name


def test_metro_log_names_what_is_taken_and_what_stays_random(
    network: SahmrNet, state: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = authors_files.write(tmp_path / "metro.bin", authors_files.metro(state))
    with caplog.at_level(logging.INFO, logger="sahmr"):
        start(network, path, under="rcnet.")
    own = [name for name in state if name.startswith("rcnet.")]
    trunk = sum(name.startswith("rcnet.root_net.hrnet.") for name in own)
    rest = len(own) - trunk
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: {trunk} of {len(own)} entries taken: rcnet.root_net.hrnet.* ({trunk})",
        f"{path}: {rest} of {len(own)} entries not in it, random: "
        f"rcnet.root_net.out_conv.* (2), rcnet.contact_net.* ({rest - 2})",
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="sahmr"):
        start(network, path, under="metro_enhanced.")
    assert (
        caplog.records[1]
        .getMessage()
        .endswith(
            "random: metro_enhanced.trans_encoder.{0,1,2}.bert.encoder.linear_cp.* (30), "
            "metro_enhanced.trans_encoder.{0,1,2}.bert.encoder.loftr_layer.* (30)"
        )
    )
    taken = caplog.records[0].getMessage()
    assert "metro_enhanced.backbone.*" in taken and "metro_enhanced.trans_encoder.{0,1,2}.bert.encoder.layer.*" in taken


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop("upsampling.bias"), r"1 missing: upsampling\.bias"),
        (put("backbone.surplus", torch.zeros(1)), r"1 unknown: backbone\.surplus"),
        (put("upsampling.bias", torch.zeros(1)), r"upsampling\.bias \(1,\) float32 instead of \(1723,\)"),
    ],
)
def test_metro_that_does_not_fit(
    network: SahmrNet, state: dict[str, Tensor], tmp_path: Path, edit: Edit, message: str
) -> None:
    content = authors_files.metro(state)
    edit(content)
    path = authors_files.write(tmp_path / "metro.bin", content)
    for attempt in (lambda: read_whole(path), lambda: start(network, path)):
        with pytest.raises(CheckpointError, match=message):
            attempt()


def test_each_kind_in_its_place_only(
    network: SahmrNet, state: dict[str, Tensor], topology: BodyTopology, tmp_path: Path
) -> None:
    whole = authors_files.write(tmp_path / "x.pth", authors_files.released(state))
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
    start(network, whole, under="metro_enhanced.")  # training may go on from it
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]) == (name.startswith("metro_enhanced.") or not state[name].any()), name
    with pytest.raises(CheckpointError, match="weights of size 'paper', the network is of size 'demo'"):
        load_initial(network, read_checkpoint(whole), size="demo", under="", source=str(whole))
    metro = authors_files.write(tmp_path / "metro.bin", authors_files.metro(state))
    with pytest.raises(CheckpointError, match="METRO's weights are a start for training"):
        network_of(read_checkpoint(metro), topology, backend="native", source="metro.bin")


def test_stored_behaviour_is_what_the_network_gets(network: SahmrNet, topology: BodyTopology, tmp_path: Path) -> None:
    trained = dataclasses.replace(OWN, region=RootRegion(roi_radius=1.5, anchor_spacing=0.4, substitution_distance=0.0))
    made = Checkpoint(network=network.state_dict(), stage="train_sahmr", epoch=1, size="paper", behaviour=trained)
    save_checkpoint(tmp_path / "x.pt", made)
    back = network_of(read_checkpoint(tmp_path / "x.pt"), topology, backend="native", source="x").behaviour
    assert back == dataclasses.replace(
        OWN, region=RootRegion(roi_radius=1.5, anchor_spacing=0.4)
    )  # training's own: left out
    assert load_plain(tmp_path / "x.pt")["behaviour"] == {
        "rounding": "floor", "vote": "softmax_logit", "part_position_shift": False,
        "contact_sampling": "seeded_without", "anchor_spacing": 0.4, "roi_radius": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounding": "round"}, r"rounding 'round', allowed are \['trunc', 'floor'\]"),
        ({"roi_radius": 0.0}, r"roi_radius 0\.0, expected metres above 0"),
        ({"extra": 1}, r"expected \['rounding', 'vote'"),
        ({"size_head": False}, r"size_head False, expected True, or nothing"),
        ({"size_head": 1}, r"size_head 1, expected True, or nothing"),
        (None, r"behaviour has 'own', expected \['rounding'"),
    ],
)
def test_behaviour_that_cannot_be_read(tmp_path: Path, change: dict[str, Any] | None, message: str) -> None:
    made = Checkpoint(network={"rcnet.a": torch.zeros(1)}, stage="train_sahmr", epoch=1, size="paper", behaviour=OWN)
    save_checkpoint(tmp_path / "x.pt", made)
    content = load_plain(tmp_path / "x.pt")
    content["behaviour"] = "own" if change is None else content["behaviour"] | change
    save_atomically(tmp_path / "x.pt", content)
    with pytest.raises(CheckpointError, match=rf"x\.pt: .*{message}"):
        read_checkpoint(tmp_path / "x.pt")


def test_unused_entries_are_told_by_their_whole_name() -> None:
    assert all(is_dead(name) for name in [*authors_files.UNUSED, *authors_files.CAMERA_HEAD])
    block = "metro_enhanced.trans_encoder.0.bert"
    for used in (f"{block}.position_embeddings.weight", f"{block}.embeddings.extra", f"x.{block}.pooler.dense.bias"):
        assert not is_dead(used)


def test_names_are_told_by_whole_subtrees() -> None:
    names = ["a.0.x.w", "a.0.x.b", "a.0.y.w", "a.1.x.w", "a.1.x.b", "a.1.y.w", "b.c.w", "b.d", "e"]
    assert group_keys(names[:2], names) == ["a.0.x.* (2)"]
    assert group_keys([names[0], names[1], names[3], names[4]], names) == ["a.{0,1}.x.* (4)"]
    assert group_keys(names[:6], names) == ["a.* (6)"]
    assert group_keys(["a.0.x.w", "b.d", "e"], names) == ["a.0.x.w (1)", "b.d (1)", "e (1)"]
    assert group_keys([], names) == []


@pytest.mark.parametrize(
    ("stage", "behaviour"),
    [
        ("released", dataclasses.replace(REFERENCE, rounding="floor")),
        ("released", OWN),
        ("train_sahmr", dataclasses.replace(REFERENCE, rounding="floor")),
    ],
)
def test_switches_that_contradict_the_rounding(stage: str, behaviour: Behaviour, tmp_path: Path) -> None:
    """The authors' switches go with rounding towards zero; own trainings may round as they like."""
    made = Checkpoint(network={"rcnet.a": torch.zeros(1)}, stage=stage, epoch=1, size="paper", behaviour=behaviour)
    save_checkpoint(tmp_path / "x.pt", made)
    with pytest.raises(CheckpointError, match=rf"x\.pt: stage '{stage}' .*floor.* contradict .*trunc"):
        read_checkpoint(tmp_path / "x.pt")
    for other in (dataclasses.replace(OWN, rounding="trunc"), OWN):
        save_checkpoint(tmp_path / "x.pt", dataclasses.replace(made, stage="train_sahmr", behaviour=other))
        assert read_checkpoint(tmp_path / "x.pt").behaviour == other
