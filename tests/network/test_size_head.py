"""The factor of the size head: what it is made of, what it scales, and that nothing changes without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sahmr.network.mesh import MeshNet, SizeHead
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.structures import BodyTopology, ContactPoints
from sahmr.training.checkpoint import Checkpoint, load_plain, read_checkpoint, save_checkpoint
from tests.worlds.batches import cloud, make_batch
from tests.worlds.networks import TINY, make_topology

WITH = replace(OWN, size_head=True)
NAMES = {"size_head.linear.weight", "size_head.linear.bias"}


@pytest.fixture(scope="module")
def topology() -> BodyTopology:
    return make_topology()


@pytest.fixture(scope="module")
def nets(topology: BodyTopology) -> tuple[MeshNet, MeshNet]:
    """The same weights without and with a head, which has some of its own."""
    torch.manual_seed(0)
    without, with_head = MeshNet(TINY, OWN, topology).eval(), MeshNet(TINY, WITH, topology).eval()
    with_head.load_state_dict(without.state_dict(), strict=False)
    return without, with_head


def given() -> tuple[torch.Tensor, torch.Tensor, ContactPoints]:
    random = torch.Generator().manual_seed(1)
    points = torch.randn(2, TINY.max_contacts, 3, generator=random)
    part = torch.ones(2, TINY.max_contacts, dtype=torch.long)
    contacts = ContactPoints(xyz_camera=points, part=part, mask=part > 0)
    return torch.rand(2, 3, 224, 224, generator=random), torch.tensor([[0.1, 0.2, 3.0], [0.0, 0.0, 9.0]]), contacts


def test_no_other_entry_changes(nets: tuple[MeshNet, MeshNet]) -> None:
    without, with_head = (set(net.state_dict()) for net in nets)
    assert with_head - without == NAMES and without < with_head


@torch.no_grad()
def test_before_training_the_mesh_is_the_same(nets: tuple[MeshNet, MeshNet], topology: BodyTopology) -> None:
    fresh = MeshNet(TINY, WITH, topology).eval()
    fresh.load_state_dict(nets[0].state_dict(), strict=False)
    image, root, contacts = given()
    expected = nets[0](image, root, contacts)
    found = fresh(image, root, contacts, torch.tensor([0.7, 3.0]))
    assert torch.equal(found.vertices_camera, expected.vertices_camera)


@torch.no_grad()
def test_the_mesh_is_scaled_about_the_root(nets: tuple[MeshNet, MeshNet]) -> None:
    without, with_head = nets
    assert with_head.size_head is not None
    weight = torch.linspace(-1, 1, TINY.mesh_hrnet.head_width + 1)
    with_head.size_head.linear.weight.copy_(weight[None])
    with_head.size_head.linear.bias.fill_(-0.2)
    image, root, contacts = given()
    maps: list[torch.Tensor] = []
    hook = with_head.backbone.register_forward_hook(lambda _module, _given, made: maps.append(made))
    before = without(image, root, contacts)
    after = with_head(image, root, contacts, torch.tensor([0.7, 3.0]))
    hook.remove()
    for sample, metres in enumerate((0.7, 3.0)):
        mean = maps[0][sample].double().numpy().reshape(TINY.mesh_hrnet.head_width, -1).mean(axis=1)
        factor = np.exp(mean @ weight[:-1].double().numpy() + np.log(metres) * float(weight[-1]) - 0.2)
        assert abs(factor - 1) > 0.05
        scaled = before.vertices_anchor[sample].numpy() * factor
        np.testing.assert_allclose(after.vertices_anchor[sample].numpy(), scaled, rtol=1e-4, atol=1e-6)
        placed = scaled + root[sample].numpy()
        np.testing.assert_allclose(after.vertices_camera[sample].numpy(), placed, rtol=1e-4, atol=1e-6)
    assert torch.equal(after.contacts_anchor, before.contacts_anchor)  # they are where they touch


@torch.no_grad()
@pytest.mark.parametrize("metres", [-1.0, 0.0, 1e-9, 1e9])
def test_an_impossible_crop_gives_a_finite_factor(metres: float) -> None:
    head = SizeHead(2)
    torch.nn.init.ones_(head.linear.weight)
    factor = head(torch.zeros(1, 4, 2), torch.tensor([metres]))
    assert 0.1 < float(factor) < 100


def test_it_goes_with_the_weights(nets: tuple[MeshNet, MeshNet], tmp_path: Path) -> None:
    state = {f"metro_enhanced.{name}": value for name, value in nets[1].state_dict().items()}
    made = Checkpoint(network=state, stage="train_sahmr", epoch=1, size="demo", behaviour=WITH)
    save_checkpoint(tmp_path / "with.pt", made)
    save_checkpoint(tmp_path / "without.pt", replace(made, behaviour=OWN))
    assert load_plain(tmp_path / "with.pt")["behaviour"]["size_head"] is True
    assert "size_head" not in load_plain(tmp_path / "without.pt")["behaviour"]  # as in files of older versions
    assert [read_checkpoint(tmp_path / f"{name}.pt").behaviour for name in ("with", "without")] == [WITH, OWN]


@torch.no_grad()
def test_the_network_tells_it_the_crop_at_the_root(topology: BodyTopology) -> None:
    torch.manual_seed(0)
    net = SahmrNet(TINY, WITH, topology).eval()
    told: list[torch.Tensor] = []
    assert net.metro_enhanced.size_head is not None
    net.metro_enhanced.size_head.register_forward_pre_hook(lambda _module, given: told.append(given[1]))
    batch = make_batch([cloud(300, seed=3), cloud(900, seed=4)])
    _, mesh = net(batch)
    for sample in range(2):
        K = batch.camera.intrinsics[sample].double().numpy()
        left, top, right, _ = batch.camera.crop_box[sample].double().numpy()
        ends = [np.linalg.solve(K, [u, top, 1.0]) * float(mesh.root[sample, 2]) for u in (left, right)]  # on the plane
        assert float(told[0][sample]) == pytest.approx(ends[1][0] - ends[0][0], rel=1e-5)


def test_it_learns(nets: tuple[MeshNet, MeshNet]) -> None:
    net = nets[1]
    assert net.size_head is not None
    image, root, contacts = given()
    net(image, root, contacts, torch.tensor([0.7, 3.0])).vertices_camera.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().max() > 0) for p in net.size_head.parameters())
