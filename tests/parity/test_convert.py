"""The authors' files at full size, with the deterministic weights: converted, loaded and run against golden G5."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines import convert_checkpoint
from sahmr.geometry.frustum import frustum_corners, inside_frustum
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import REFERENCE
from sahmr.structures import Batch, BodyTopology, Camera, pack_points
from sahmr.training.build import network_of, require_whole
from sahmr.training.checkpoint import read_checkpoint
from tests.worlds.authors_files import ADDED_BY_SAHMR, CAMERA_HEAD

FULL_DIGEST, SPARSE_DIGEST = "92e5f324", "2d5623a4"  # the golden README's check values


def counter(name: str, reference: dict[str, Any]) -> Tensor:
    """A value of its own for every ``num_batches_tracked``, which the deterministic weights leave alone."""
    return torch.tensor(list(reference["state_dict"]).index(name))


@pytest.fixture(scope="module")
def reference(beside: Callable[[str], Path]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(beside("state_dict_sahmr.json").read_text())
    assert len(content["state_dict"]) == 4437
    return content


def write_files(folder: Path, reference: dict[str, Any], weights: ModuleType) -> dict[str, Path]:
    """The three files, 2.8 GB; the two of SA-HMR differ in nothing but the name, METRO's has the older container."""
    paths = {name: folder / name for name in ("sahmr_rich_e30.pth", "sahmr_prox_e30.pth", "metro_3dpw_state_dict.bin")}
    state = {
        name: weights.value(name, shape) if kind == "float32" else counter(name, reference)
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
def files(
    reference: dict[str, Any], weights: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    paths = write_files(tmp_path_factory.mktemp("authors"), reference, weights)
    yield paths
    for path in paths.values():
        path.unlink()


def convert(source: Path) -> Path:
    output = source.with_suffix(".pt")
    convert_checkpoint.main(["--source", str(source), "--output", str(output)])
    return output


@pytest.fixture(scope="module")
def whole(golden: Path) -> dict[str, Tensor]:
    with np.load(golden / "G5_sahmr.npz", allow_pickle=False) as data:
        return {key: torch.from_numpy(np.array(data[key])) for key in data.files}


@pytest.fixture(scope="module")
def topology(whole: dict[str, Tensor]) -> BodyTopology:
    regressor = torch.zeros(17, 6890)
    row, column, value = (whole[f"in__J_regressor_h36m_{part}"] for part in ("row", "col", "val"))
    regressor[row, column] = value
    return BodyTopology(
        template_joints=whole["in__init_joints14"][0],
        template_coarse=whole["in__init_verts431"][0],
        coarse_to_full=torch.arange(431),
        joint_regressor=regressor,
        part_full=torch.zeros(6890, dtype=torch.long),
        part_coarse=whole["in__verts431_pids"],
        faces=torch.zeros(0, 3, dtype=torch.long),
    )


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


def test_every_used_tensor_is_the_deterministic_one(
    network: SahmrNet, reference: dict[str, Any], weights: ModuleType
) -> None:
    state = dict(network.state_dict())
    for name, value in state.items():
        if not value.is_floating_point():
            assert torch.equal(value, counter(name, reference)), name
    assert weights.digest(network.rcnet.contact_net) == SPARSE_DIGEST
    for name in reference["never_used_in_forward"]:
        assert name not in state
        state[name] = weights.value(name, reference["state_dict"][name][0])
    assert weights.digest(SimpleNamespace(state_dict=lambda: state)) == FULL_DIGEST


@torch.no_grad()
def test_converted_file_gives_the_golden_mesh(network: SahmrNet, whole: dict[str, Tensor]) -> None:
    data, scenes = whole, []
    corners = frustum_corners(data["in__K"], data["in__bbx_lurb"])
    for i in range(len(data["in__K"])):
        transform = data["in__T_w2c"][i]
        points = data[f"in__scene_voxels_w_b{i}"] @ transform[:3, :3].t() + transform[:3, 3]
        scenes.append(points[inside_frustum(points, corners[i])])
    camera = Camera(intrinsics=data["in__K"], camera_from_world=data["in__T_w2c"], crop_box=data["in__bbx_lurb"])
    image = data["in__image_u8"] / 255
    keys = tuple(map(str, range(len(scenes))))
    made, mesh = network(Batch(keys=keys, image=image, camera=camera, scene=pack_points(scenes), targets=None))
    assert torch.equal(made.contacts.part, data["pcSeg_pids_trunc"])
    for got, name in ((made.root, "pred_c_pelvis_refined_trunc"), (mesh.vertices_camera, "pred_c_verts_trunc")):
        want = data[name].view(got.shape)
        assert (got - want).abs().max() <= 1e-4 * want.abs().max(), name


def test_prox_file_is_whole(files: dict[str, Path]) -> None:
    made = require_whole(read_checkpoint(files["sahmr_prox_e30.pth"]), source="sahmr_prox_e30.pth")
    assert (len(made.network), len(made.dropped), made.stage) == (4437 - 23, 23, "released")


def test_metro_file(files: dict[str, Path], reference: dict[str, Any], weights: ModuleType) -> None:
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
        assert torch.equal(value, weights.value(full, reference["state_dict"][full][0])), name
    assert all(any(part in name for part in ADDED_BY_SAHMR) for name in rules["in_metro_enhanced_only"])
