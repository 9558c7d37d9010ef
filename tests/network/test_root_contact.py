"""The whole demo-size network: training-time substitutes, votes, contact points, independence of batch mates."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import pytest
import torch

from sahmr.errors import CheckpointError
from sahmr.geometry.camera import project
from sahmr.network.checkpoint_keys import compare_keys
from sahmr.network.contact_points import select_contacts
from sahmr.network.mesh import MeshNet
from sahmr.network.root import decode_root
from sahmr.network.root_contact import sample_maps, substitute_far_roots, vote_root
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import DEMO, OWN, REFERENCE
from sahmr.structures import ContactPoints, PackedPoints, Targets, pack_points
from sahmr.targets import make_targets
from tests.worlds.batches import cloud, make_batch
from tests.worlds.networks import make_topology


@pytest.fixture(scope="module")
def net() -> SahmrNet:
    torch.manual_seed(0)
    return SahmrNet(DEMO, OWN, make_topology()).eval()


@torch.no_grad()
def test_samples_do_not_depend_on_their_batch_mates(net: SahmrNet) -> None:
    clouds = [cloud(300, seed=3), cloud(900, seed=4), cloud(20, seed=5)]
    together, mesh = net(make_batch(clouds))
    for i, one in enumerate(clouds):
        alone, alone_mesh = net(make_batch([one]))
        torch.testing.assert_close(alone.root[0], together.root[i], rtol=1e-4, atol=1e-5)
        assert torch.equal(alone.contacts.part[0], together.contacts.part[i])
        torch.testing.assert_close(alone_mesh.vertices_camera[0], mesh.vertices_camera[i], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("behaviour", [OWN, REFERENCE])
@torch.no_grad()
def test_inference_is_repeatable(behaviour: object) -> None:
    assert behaviour in (OWN, REFERENCE)
    net = SahmrNet(DEMO, OWN if behaviour == OWN else REFERENCE, make_topology()).eval()
    batch = make_batch([cloud(2000)])
    assert torch.equal(net(batch)[1].vertices_camera, net(batch)[1].vertices_camera)


def test_part_maps_of_a_flipped_image(net: SahmrNet) -> None:
    image = make_batch([cloud(5)]).image
    assert net.rcnet.part_maps_of(image.flip(3)).shape == (1, 7, 56, 56)
    torch.testing.assert_close(net.rcnet.part_maps_of(image), net.rcnet(make_batch([cloud(5)])).part_maps)


def test_topology_is_not_saved(net: SahmrNet) -> None:
    assert not [key for key in net.state_dict() if "template" in key or "part_mean" in key]


def test_far_roots_are_substituted() -> None:
    root = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 5.0]])
    target = torch.tensor([[0.0, 0.0, 3.4], [0.0, 0.0, 3.0]])
    made = substitute_far_roots(root, target, 0.5, (0.0, 0.0, 0.0), None)
    torch.testing.assert_close(made, torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 3.0]]))
    noisy = substitute_far_roots(root, target, 0.5, (0.0, 0.0, 1.0), torch.Generator().manual_seed(0))
    assert torch.equal(noisy[0], root[0]) and torch.equal(noisy[1, :2], target[1, :2]) and noisy[1, 2] != 3


def test_substitution_only_in_training() -> None:
    net = SahmrNet(DEMO, OWN, make_topology())
    batch, target = make_batch([cloud(100), cloud(100)]), torch.tensor([[0.0, 0.0, 40.0], [0.0, 0.0, 40.0]])
    assert not torch.equal(net.train().rcnet(batch, targets_root=target).anchor_root[:, 2] > 30, torch.zeros(2) > 1)
    evaluated = net.eval().rcnet(batch, targets_root=target)
    assert torch.equal(evaluated.anchor_root, evaluated.initial_root)


def test_far_mesh_roots_are_substituted_in_training_too() -> None:
    torch.manual_seed(0)
    net = SahmrNet(DEMO, OWN, make_topology())
    batch, target = make_batch([cloud(100), cloud(100)]), torch.tensor([[0.0, 0.0, 40.0], [0.0, 0.0, 40.0]])
    net.rcnet.eval()
    made, mesh = net(batch, targets_root=target, generator=torch.Generator().manual_seed(0))
    gap = (mesh.root - target).norm(dim=1)
    assert bool(((gap > 0) & (gap < 0.6)).all())  # 0.08 m of noise per axis
    torch.testing.assert_close(mesh.contacts_input_anchor, made.contacts.xyz_camera - mesh.root[:, None])
    made, mesh = net.eval()(batch, targets_root=target)
    assert torch.equal(mesh.root, made.root)


def test_vote_by_hand() -> None:
    voxels = PackedPoints(xyz=torch.tensor([[0.0, 0, 1], [0, 0, 3], [9, 9, 9]]), sample=torch.tensor([0, 0, 2]))
    confidence = torch.tensor([0.0, 3.0, 5.0]).log1p()  # softmax weights 1/5 and 4/5
    made = vote_root(voxels, torch.zeros(3, 3), confidence, torch.ones(3, 3), "softmax_logit")
    torch.testing.assert_close(made, torch.tensor([[0.0, 0.0, 2.6], [1.0, 1.0, 1.0], [9.0, 9.0, 9.0]]))
    odd = vote_root(voxels, torch.zeros(3, 3), confidence, torch.ones(3, 3), "softmax_sigmoid")
    weight = confidence[:2].sigmoid().softmax(0)
    torch.testing.assert_close(odd[0, 2], (weight * torch.tensor([1.0, 3.0])).sum())


def test_maps_are_read_at_pixel_centres() -> None:
    camera = make_batch([cloud(1), cloud(1)]).camera
    maps = torch.arange(2 * 56 * 56.0).view(2, 1, 56, 56)
    corner = torch.tensor([[-0.112, -0.134, 1.0]])  # projects on the crop's first pixel
    points = pack_points([corner * 2, torch.cat([corner, -corner, torch.tensor([[5.0, 5.0, 1.0]])])])
    read = sample_maps(maps, points, camera)[:, 0]
    torch.testing.assert_close(read, torch.tensor([0.0, 56.0 * 56, 0.0, 0.0]), rtol=1e-3, atol=1e-2)


def test_cells_are_corner_aligned() -> None:
    """Oddity 4: cell 0 is the box's left edge and cell 55 its right one, though cells lie 4 pixels apart."""
    camera = make_batch([cloud(1), cloud(1), cloud(1)]).camera
    heatmap, depth = torch.zeros(3, 56, 56), torch.full((3, 56, 56), 4.0) * camera.depth_scale[:, None, None]
    cells = [(0, 0), (55, 55), (11, 44)]
    for i, (u, v) in enumerate(cells):
        heatmap[i, v, u] = 1
    cell, root = decode_root(heatmap, depth, camera)
    assert [tuple(row) for row in cell.tolist()] == cells
    pixels = project(root, camera.intrinsics)  # box 400..624 x 250..474
    torch.testing.assert_close(pixels, torch.tensor([[400.0, 250], [624, 474], [444.8, 429.2]]))


@torch.no_grad()
def test_part_position_codes() -> None:
    """Oddity 2: a contact point's code is the mean of its part's vertices, whose codes follow the 14 joints'."""
    # Every part but 7, which has none, has vertices among the first and the last 14.
    topology = replace(make_topology(), part_coarse=torch.arange(431) % 7)
    image, part, heard = make_batch([cloud(1)]).image, torch.full((1, 30), 6), {}
    contacts = ContactPoints(xyz_camera=cloud(30)[None], part=part, mask=part > 0)
    for name, shift in (("own", False), ("reference", True)):
        torch.manual_seed(0)
        net = MeshNet(DEMO, replace(OWN, part_position_shift=shift), topology).eval()
        codes = net.get_parameter("trans_encoder.0.bert.position_embeddings.weight")
        before, kept = net(image, torch.zeros(1, 3), contacts).contacts_anchor, codes.clone()
        for first, last in ((0, 14), (14, 431), (431, 445)):
            codes[first:last] += 1
            heard[name, first] = not torch.equal(net(image, torch.zeros(1, 3), contacts).contacts_anchor, before)
            codes.copy_(kept)
    # Points listen to each other alone, so nothing but their own code can have changed them.
    assert heard == {
        ("own", 0): False, ("own", 14): True, ("own", 431): True,
        ("reference", 0): True, ("reference", 14): True, ("reference", 431): False,
    }  # fmt: skip


def test_nothing_is_written_into_the_batch() -> None:
    """Oddity 17: jitter, noise and normalisation work on copies."""
    torch.manual_seed(0)
    net = SahmrNet(DEMO, OWN, make_topology()).train()
    batch = make_batch([cloud(300), cloud(200)])
    vertices = torch.cat([cloud(6890, seed=8), cloud(6890, seed=9)]).view(2, 6890, 3)
    unknown = torch.zeros(2, 6890, dtype=torch.bool)
    batch = replace(batch, targets=Targets(vertices_camera=vertices, vertex_contact=unknown, has_contact=unknown[:, 0]))
    before = copy.deepcopy(batch)
    random, root = torch.Generator().manual_seed(0), torch.full((2, 3), 40.0)
    made, _ = net(batch, targets_root=root, generator=random)
    make_targets(batch, made.voxel_centers, make_topology(), generator=random)
    assert root.unique().tolist() == [40.0]
    pairs = (
        (batch, before),
        (batch.camera, before.camera),
        (batch.scene, before.scene),
        (batch.targets, before.targets),
    )
    for after, kept in pairs:
        assert after is not None and kept is not None
        for field in fields(after):
            value = getattr(after, field.name)
            assert not isinstance(value, torch.Tensor) or torch.equal(value, getattr(kept, field.name)), field.name


@pytest.mark.parametrize("sampling", ["with_replacement", "seeded_without"])
def test_contacts_are_cut_and_padded(sampling: str) -> None:
    points = PackedPoints(xyz=torch.arange(60.0).view(20, 3), sample=torch.tensor([0] * 12 + [1] * 3 + [2] * 5))
    part = torch.tensor([1] * 10 + [0] * 2 + [2, 0, 3] + [0] * 5)
    chosen = "with_replacement" if sampling == "with_replacement" else "seeded_without"
    made = select_contacts(points, part, 4, 6, chosen, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert made.mask.sum(1).tolist() == [6, 2, 0, 0]
    assert made.part[1].tolist() == [2, 3, 0, 0, 0, 0]
    assert torch.equal(made.xyz_camera[1, :2], points.xyz[[12, 14]])
    assert not made.xyz_camera[2:].any() and not made.xyz_camera[1, 2:].any()
    rows = made.xyz_camera[0, :, 0] / 3
    assert set(rows.tolist()) <= set(range(10))
    if sampling == "seeded_without":
        assert rows.tolist() == sorted(set(rows.tolist()))


def test_checkpoint_that_does_not_fit(net: SahmrNet) -> None:
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    assert compare_keys(state, net.state_dict()).require_complete().keys() == net.state_dict().keys()
    state["net.metro_enhanced.trans_encoder.0.bert.pooler.dense.bias"] = torch.zeros(3)
    assert len(compare_keys(state, net.state_dict()).dropped) == 1
    state["net.surplus"] = torch.zeros(3)
    state["net.rcnet.root_net.out_conv.bias"] = torch.zeros(3)
    del state["net.rcnet.contact_net.fc_in.bias"]
    with pytest.raises(CheckpointError, match=r"unknown: surplus.*missing: rcnet.contact_net.fc_in.bias.*out_conv"):
        compare_keys(state, net.state_dict()).require_complete()
    with pytest.raises(CheckpointError, match="lack the prefix"):
        compare_keys({"net.a": torch.zeros(1), "b": torch.zeros(1)}, {})
