"""bfloat16 under autocast: only products and convolutions become coarse, never pixels or metres."""

from __future__ import annotations

import pytest
import torch

from sahmr.inference import predict_tables
from sahmr.network.precision import reduced
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import DEMO, OWN
from sahmr.structures import Batch, MeshPrediction, RootContact
from tests.worlds.batches import cloud, make_batch
from tests.worlds.networks import make_topology

CPU = torch.device("cpu")


@pytest.fixture
def net() -> SahmrNet:
    """Untrained, but sees its roots within the clouds of points."""
    torch.manual_seed(0)
    net = SahmrNet(DEMO, OWN, make_topology()).eval()
    layer = net.rcnet.root_net.out_conv
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight[1] = 0
        layer.bias[1] = 4.0 * 224 / 1000
    return net


@pytest.fixture
def batch() -> Batch:
    return make_batch([cloud(300, seed=3), cloud(500, seed=4)])


def run(net: SahmrNet, batch: Batch) -> tuple[RootContact, MeshPrediction]:
    with torch.no_grad(), reduced("bfloat16", CPU):
        coarse: tuple[RootContact, MeshPrediction] = net(batch)
    return coarse


def test_geometry_stays_exact(net: SahmrNet, batch: Batch) -> None:
    """With maps and votes that no product touches, roots are equal to the last bit."""
    net.rcnet.root_net.out_conv.requires_grad_(False).weight.zero_()
    net.rcnet.contact_net.classifier[0].requires_grad_(False).weight.zero_()
    with torch.no_grad():
        fine: RootContact = net(batch)[0]
    coarse = run(net, batch)[0]
    for name in ("initial_root", "anchor_root", "root", "voxel_offset"):
        assert torch.equal(getattr(fine, name), getattr(coarse, name)), name
    assert torch.equal(fine.voxel_centers.xyz, coarse.voxel_centers.xyz)
    assert torch.equal(fine.contacts.xyz_camera, coarse.contacts.xyz_camera)


def test_pixels_stay_exact(net: SahmrNet, batch: Batch) -> None:
    """What voxels sample from the maps is read at the same pixel: only the maps' own values differ a little."""
    read: list[torch.Tensor] = []
    net.rcnet.contact_net.register_forward_pre_hook(lambda _net, inputs: read.append(inputs[1]))
    with torch.no_grad():
        net(batch)
    run(net, batch)
    assert read[0].dtype == read[1].dtype == torch.float32
    torch.testing.assert_close(read[1], read[0], rtol=0, atol=5e-3)
    assert torch.equal(read[1][:, :3], read[0][:, :3])


def test_everything_predicted_is_float32_and_near(net: SahmrNet, batch: Batch) -> None:
    with torch.no_grad():
        fine, fine_mesh = net(batch)
    coarse, mesh = run(net, batch)
    for ours, theirs, bound in (
        (coarse.root, fine.root, 1e-3),
        (coarse.voxel_part, fine.voxel_part, 5e-3),
        (coarse.part_maps, fine.part_maps, 5e-3),
        (mesh.vertices_anchor, fine_mesh.vertices_anchor, 5e-3),
        (mesh.contacts_anchor, fine_mesh.contacts_anchor, 5e-3),
    ):
        assert ours.dtype == torch.float32
        assert not torch.equal(ours, theirs)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=bound)


def test_gradients_are_float32_and_point_the_same_way(net: SahmrNet, batch: Batch) -> None:
    def gradients(precision: str) -> torch.Tensor:
        net.zero_grad()
        with reduced(precision, CPU):  # type: ignore[arg-type]
            contact, mesh = net(batch)
        (contact.voxel_part.square().mean() + mesh.vertices_anchor.square().mean()).backward()
        sparse = [p.grad.flatten() for p in net.rcnet.contact_net.parameters() if p.grad is not None]
        mesh_net = [p.grad.flatten() for p in net.metro_enhanced.parameters() if p.grad is not None]
        assert len(sparse) > 50 and len(mesh_net) > 50
        return torch.cat(sparse + mesh_net)

    fine, coarse = gradients("float32"), gradients("bfloat16")
    assert coarse.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(fine, coarse, dim=0) > 0.999


def test_prediction_at_low_precision(net: SahmrNet, batch: Batch) -> None:
    regressor = make_topology().joint_regressor
    fine, coarse = (
        next(predict_tables(net, [batch], precision, joint_regressor=regressor))
        for precision in ("float32", "bfloat16")
    )
    assert coarse.column("key").to_pylist() == list(batch.keys)
    for a, b in zip(fine.column("vertices"), coarse.column("vertices"), strict=True):
        exact, near = a.values.to_numpy(), b.values.to_numpy()
        assert (exact != near).any()
        assert near == pytest.approx(exact, abs=5e-3)
