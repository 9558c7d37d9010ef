"""The authors' files at full size, with the deterministic weights: converted, loaded and run against golden G5."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines import convert_checkpoint
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import REFERENCE
from sahmr.structures import BodyTopology
from sahmr.training.checkpoint import read_checkpoint
from sahmr.training.restore import network_of, require_whole
from tests.parity import deterministic_weights
from tests.parity.golden_file import GoldenSet
from tests.parity.published import Load, joint_regressor, make_batch, tables
from tests.worlds.authors_files import ADDED_BY_SAHMR, CAMERA_HEAD

FULL_DIGEST, SPARSE_DIGEST = "92e5f324", "2d5623a4"  # the golden README's check values


def counter(name: str, reference: dict[str, Any]) -> Tensor:
    """A value of its own for every ``num_batches_tracked``, which the deterministic weights leave alone."""
    return torch.tensor(list(reference["state_dict"]).index(name))


@pytest.fixture(scope="module")
def reference(golden: GoldenSet) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(golden.keys())
    assert len(content["state_dict"]) == 4437
    return content


def write_files(folder: Path, reference: dict[str, Any]) -> dict[str, Path]:
    """The three files, 2.8 GB; the two of SA-HMR differ in nothing but the name, METRO's has the older container."""
    paths = {name: folder / name for name in ("sahmr_rich_e30.pth", "sahmr_prox_e30.pth", "metro_3dpw_state_dict.bin")}
    state = {
        name: deterministic_weights.value(name, shape) if kind == "float32" else counter(name, reference)
        for name, (shape, kind) in reference["state_dict"].items()
    }
    network = OrderedDict((f"net.{name}", value) for name, value in state.items())
    torch.save({"network": network, "epoch": 30}, paths["sahmr_rich_e30.pth"])
    paths["sahmr_prox_e30.pth"].hardlink_to(paths["sahmr_rich_e30.pth"])
    rules = reference["metro_to_metro_enhanced"]
    mesh = {key.removeprefix("metro_enhanced."): key for key in state if key.startswith("metro_enhanced.")}
    metro = OrderedDict((ours, state[key]) for ours, key in mesh.items() if ours not in rules["in_metro_enhanced_only"])
    assert len(metro) == rules["loaded"]
    metro.update((key, torch.zeros(shape)) for key, (shape, _) in rules["in_metro_only"].items())
    torch.save(metro, paths["metro_3dpw_state_dict.bin"], _use_new_zipfile_serialization=False)
    return paths


@pytest.fixture(scope="module")
def files(reference: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    paths = write_files(tmp_path_factory.mktemp("authors"), reference)
    yield paths
    for path in paths.values():
        path.unlink()


def convert(source: Path) -> Path:
    output = source.with_suffix(".pt")
    convert_checkpoint.main(["--source", str(source), "--output", str(output)])
    return output


@pytest.fixture(scope="module")
def topology(load: Load) -> BodyTopology:
    data = load("G5_sahmr")
    return tables(data, joint_regressor(data))


@pytest.fixture(scope="module")
def network(files: dict[str, Path], reference: dict[str, Any], topology: BodyTopology) -> SahmrNet:
    """The network of the converted file; what was left out is checked on the way."""
    output = convert(files["sahmr_rich_e30.pth"])
    made = read_checkpoint(output)
    output.unlink()
    assert sorted(made.dropped) == sorted(reference["never_used_in_forward"])
    assert {*made.network, *made.dropped} == set(reference["state_dict"])
    assert (made.epoch, made.size, made.behaviour) == (30, "paper", REFERENCE)
    return network_of(made, topology, backend="native", source=str(output)).eval().requires_grad_(False)


def test_every_used_tensor_is_the_deterministic_one(network: SahmrNet, reference: dict[str, Any]) -> None:
    state = dict(network.state_dict())
    for name, value in state.items():
        if not value.is_floating_point():
            assert torch.equal(value, counter(name, reference)), name
    assert deterministic_weights.digest(network.rcnet.contact_net) == SPARSE_DIGEST
    for name in reference["never_used_in_forward"]:
        assert name not in state
        state[name] = deterministic_weights.value(name, reference["state_dict"][name][0])
    assert deterministic_weights.digest(SimpleNamespace(state_dict=lambda: state)) == FULL_DIGEST


@torch.no_grad()
def test_converted_file_gives_the_golden_mesh(network: SahmrNet, load: Load) -> None:
    data = load("G5_sahmr")
    made, mesh = network(make_batch(data))
    data.check_equal("pcSeg_pids_trunc", made.contacts.part)
    data.check("pred_c_pelvis_refined_trunc", made.root[:, None])
    data.check("pred_c_verts_trunc", mesh.vertices_camera)


def test_prox_file_is_whole(files: dict[str, Path]) -> None:
    made = require_whole(read_checkpoint(files["sahmr_prox_e30.pth"]), source="sahmr_prox_e30.pth")
    assert (len(made.network), len(made.dropped), made.stage) == (4437 - 23, 23, "released")


def test_metro_file(files: dict[str, Path], reference: dict[str, Any]) -> None:
    output = convert(files["metro_3dpw_state_dict.bin"])
    made = read_checkpoint(output)
    output.unlink()
    rules = reference["metro_to_metro_enhanced"]
    assert made.stage == "metro"
    assert set(made.dropped) == {
        *(name.removeprefix("metro_enhanced.") for name in reference["never_used_in_forward"]),
        *rules["in_metro_only"],
    }
    assert set(rules["in_metro_only"]) == set(CAMERA_HEAD)
    assert len(made.network) == rules["loaded"] - 23
    mesh = {name: value for name, value in made.network.items() if not name.startswith("backbone.")}
    for name, value in list(mesh.items())[::7]:
        full = f"metro_enhanced.{name}"
        assert torch.equal(value, deterministic_weights.value(full, reference["state_dict"][full][0])), name
    assert all(any(part in name for part in ADDED_BY_SAHMR) for name in rules["in_metro_enhanced_only"])
