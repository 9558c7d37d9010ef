from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sahmr.errors import CheckpointError
from sahmr.network.size import OWN, REFERENCE
from sahmr.training.checkpoint import (
    Checkpoint,
    load_plain,
    load_state,
    read_checkpoint,
    save_atomically,
    save_checkpoint,
)

NETWORK = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))


def checkpoint() -> Checkpoint:
    return Checkpoint(network=NETWORK.state_dict(), stage="train_rcnet", epoch=3, size="demo", behaviour=OWN)


def test_round_trip_and_repeatable_bytes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", checkpoint())
    save_checkpoint(tmp_path / "b" / "a.pt", checkpoint())
    back = read_checkpoint(tmp_path / "a.pt")
    assert (back.stage, back.epoch, back.size, back.behaviour) == ("train_rcnet", 3, "demo", OWN)
    assert all(torch.equal(back.network[name], value) for name, value in NETWORK.state_dict().items())
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b" / "a.pt").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b"]


def test_what_older_versions_stored_beside_the_network_is_ignored(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", checkpoint())
    save_atomically(tmp_path / "old.pt", load_plain(tmp_path / "a.pt") | {"baseline_mesh": torch.ones(6890, 3)})
    assert read_checkpoint(tmp_path / "old.pt").network.keys() == checkpoint().network.keys()
    save_checkpoint(tmp_path / "b.pt", read_checkpoint(tmp_path / "old.pt"))
    assert load_plain(tmp_path / "b.pt").keys() == load_plain(tmp_path / "a.pt").keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a readable"), (b"PK\x03\x04junk", "not a readable"), (None, "no such file")],
)
def test_unreadable_file_is_one_clear_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_foreign_content_says_what_is_missing(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="lacks"):
        read_checkpoint(tmp_path / "x.pt")


def test_state_of_another_size_names_the_entry() -> None:
    state = dict(NETWORK.state_dict())
    state["0.weight"] = torch.zeros(5, 2)
    with pytest.raises(CheckpointError, match=r"x\.pt .*0\.weight \(5, 2\) float32 instead of \(3, 2\)"):
        load_state(NETWORK, state, source="x.pt")
    with pytest.raises(CheckpointError, match=r"1 missing: 1\.bias; 1 of other shape or type: 0\.weight"):
        load_state(NETWORK, {name: value for name, value in state.items() if name != "1.bias"}, source="x.pt")


def test_part_of_a_state_loads_alone() -> None:
    twin = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    kept = twin[1].weight.detach().clone()
    load_state(twin, NETWORK.state_dict(), source="x.pt", under="0.")
    assert torch.equal(twin[0].weight, NETWORK[0].weight)
    assert torch.equal(twin[1].weight, kept)


def test_released_file_is_of_published_size_and_loses_its_prefix(tmp_path: Path) -> None:
    weight = torch.ones(1)
    state = {"net.rcnet.a": weight, "net.metro_enhanced.trans_encoder.0.bert.pooler.dense.weight": weight}
    torch.save({"network": state, "epoch": 29}, tmp_path / "released.pth")
    back = read_checkpoint(tmp_path / "released.pth")
    assert (back.size, back.behaviour, back.stage, back.epoch) == ("paper", REFERENCE, "released", 29)
    assert back.network.keys() == {"rcnet.a"}
    assert back.dropped == ("metro_enhanced.trans_encoder.0.bert.pooler.dense.weight",)
