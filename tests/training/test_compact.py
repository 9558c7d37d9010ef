"""Small files of weights: what they keep, and what a damaged one says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sahmr.errors import CheckpointError
from sahmr.network.size import OWN
from sahmr.training.checkpoint import Checkpoint, load_plain, read_checkpoint, save_atomically, save_checkpoint
from sahmr.training.compact import save_compact


@pytest.fixture
def checkpoint() -> Checkpoint:
    random = torch.Generator().manual_seed(0)
    sparse = torch.zeros(300, 200)
    sparse[torch.arange(300), torch.arange(300) % 200] = torch.rand(300, generator=random) + 0.1
    network = {
        "rcnet.weight": torch.randn(50, 40, generator=random),
        "rcnet.count": torch.tensor(7),
        "metro_enhanced.upsampling.weight": sparse,
        "metro_enhanced.small": torch.zeros(10, 10),
    }
    return Checkpoint(network=network, stage="train_sahmr", epoch=3, size="demo", behaviour=OWN)


def test_sparse_matrices_come_back_exactly_and_others_to_half_precision(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_compact(tmp_path / "small.pt", checkpoint)
    save_checkpoint(tmp_path / "large.pt", checkpoint)
    read = read_checkpoint(tmp_path / "small.pt")
    assert (read.stage, read.epoch, read.size) == ("train_sahmr", 3, "demo")
    assert set(read.network) == set(checkpoint.network)
    for name, value in checkpoint.network.items():
        assert read.network[name].dtype == value.dtype
        torch.testing.assert_close(read.network[name], value, rtol=2**-11, atol=0)
    name = "metro_enhanced.upsampling.weight"
    assert torch.equal(read.network[name], checkpoint.network[name])
    assert (tmp_path / "small.pt").stat().st_size < (tmp_path / "large.pt").stat().st_size
    for name, value in read_checkpoint(tmp_path / "large.pt").network.items():
        assert value.dtype == checkpoint.network[name].dtype and torch.equal(value, checkpoint.network[name])


def test_zeros_of_a_sparse_matrix_are_not_stored_but_negative_ones_are(checkpoint: Checkpoint, tmp_path: Path) -> None:
    name = "metro_enhanced.upsampling.weight"
    save_checkpoint(tmp_path / "sparse.pt", checkpoint)
    checkpoint.network[name][0, 1] = -0.0
    save_checkpoint(tmp_path / "dense.pt", checkpoint)
    sizes = [(tmp_path / f"{kind}.pt").stat().st_size for kind in ("sparse", "dense")]
    assert sizes[1] - sizes[0] > 4 * checkpoint.network[name].numel() * 0.9
    found = read_checkpoint(tmp_path / "dense.pt").network[name]
    assert torch.equal(found.signbit(), checkpoint.network[name].signbit())


def test_same_weights_same_bytes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        (tmp_path / name[0]).mkdir()
        save_compact(tmp_path / name[0] / "small.pt", checkpoint)
    assert (tmp_path / "a/small.pt").read_bytes() == (tmp_path / "b/small.pt").read_bytes()


def test_a_number_too_large_for_half_precision_is_an_error(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.network["rcnet.weight"][0, 0] = 1e6
    with pytest.raises(CheckpointError, match=r"rcnet.weight: 1e\+06 does not fit"):
        save_compact(tmp_path / "small.pt", checkpoint)
    assert not list(tmp_path.iterdir())


def _set(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["sparse"]["metro_enhanced.upsampling.weight"][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("shape", (1 << 20, 1 << 20)), "its shape is none, or too large"),
        (_set("shape", (-3, 4)), "its shape is none, or too large"),
        (_set("shape", "300"), "its shape is none, or too large"),
        (_set("shape", (2, 2)), "places outside of it"),
        (_set("place", torch.full((300,), -1, dtype=torch.int32)), "places outside of it"),
        (_set("place", torch.arange(300)), "of another type"),
        (_set("place", None), "lacks places or values"),
        (_set("value", torch.ones(299)), "of another type"),
        (lambda content: content.update(sparse=[1]), "must be dicts"),
        (lambda content: content.pop("network"), "must be dicts"),
        (lambda content: content["network"].update(content["sparse"]), "is there twice"),
    ],
)
def test_a_damaged_file_is_one_clear_error(
    change: Callable[[dict[str, Any]], None], message: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "small.pt"
    save_compact(path, checkpoint)
    content = load_plain(path)
    change(content)
    save_atomically(path, content)
    with pytest.raises(CheckpointError, match=message) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value)
    assert "fetch it again" in str(error.value)
    shipped = path.rename(tmp_path / "start.pt")
    with pytest.raises(CheckpointError, match=r"restore it with: git checkout -- sahmr/demo/pretraining/start\.pt"):
        read_checkpoint(shipped)


def test_half_a_file_is_one_clear_error(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "small.pt"
    save_compact(path, checkpoint)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        read_checkpoint(path)
