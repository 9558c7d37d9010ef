"""The whole demo-size network: poor input, training-time substitutes, independence of batch mates."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sahmr.errors import CheckpointError
from sahmr.network.checkpoint_keys import compare_keys
from sahmr.network.contact_points import select_contacts
from sahmr.network.root_contact import sample_maps, substitute_far_roots, vote_root
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import DEMO, OWN, REFERENCE
from sahmr.structures import Batch, BodyTopology, Camera, MeshPrediction, PackedPoints, RootContact, pack_points


def make_topology() -> BodyTopology:
    generator = torch.Generator().manual_seed(0)
    part = torch.randint(0, 7, (6890,), generator=generator)  # part 7 has no vertex
    selected = torch.randperm(6890, generator=generator)[:431]
    return BodyTopology(
        template_joints=torch.randn(14, 3, generator=generator) * 0.3,
        template_coarse=torch.randn(431, 3, generator=generator) * 0.3,
        coarse_to_full=selected,
        joint_regressor=torch.zeros(17, 6890),
        part_full=part,
        part_coarse=part[selected],
        faces=torch.zeros(0, 3, dtype=torch.long),
    )


def make_batch(clouds: list[torch.Tensor]) -> Batch:
    count = len(clouds)
    generator = torch.Generator().manual_seed(1)
    intrinsics = torch.tensor([[1000.0, 0, 512], [0, 1000, 384], [0, 0, 1]]).repeat(count, 1, 1)
    box = torch.tensor([400.0, 250.0, 624.0, 474.0]).repeat(count, 1)
    return Batch(
        keys=tuple(f"person{i}" for i in range(count)),
        image=torch.rand(1, 3, 224, 224, generator=generator).repeat(count, 1, 1, 1),
        camera=Camera(intrinsics=intrinsics, camera_from_world=torch.eye(4).repeat(count, 1, 1), crop_box=box),
        scene=pack_points(clouds),
        targets=None,
    )


def cloud(num_points: int, depth: float = 4.0, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_points, 3, generator=generator) * 0.8 + torch.tensor([-0.4, -0.4, depth])


@pytest.fixture(scope="module")
def net() -> SahmrNet:
    torch.manual_seed(0)
    return SahmrNet(DEMO, OWN, make_topology()).eval()


def require_finite(*values: RootContact | MeshPrediction) -> None:
    for value in values:
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if isinstance(item, torch.Tensor):
                assert item.isfinite().all(), field.name


POOR = {
    "empty scene": torch.zeros(0, 3),
    "one point": cloud(1),
    "far scene": cloud(50, depth=12.0),
    "scene behind the camera": cloud(50, depth=-5.0),
    "ordinary": cloud(400),
}


@torch.no_grad()
def test_poor_scenes_give_finite_results(net: SahmrNet) -> None:
    made, mesh = net(make_batch(list(POOR.values())))
    require_finite(made, mesh)
    torch.testing.assert_close(made.root[0], made.anchor_root[0])
    assert not made.contacts.mask[0].any()
    assert made.voxel_centers.sample.unique().tolist() == [1, 2, 3, 4]
    nothing, mesh = net(make_batch([torch.zeros(0, 3)]))
    require_finite(nothing, mesh)


def test_poor_scenes_give_finite_gradients() -> None:
    net = SahmrNet(DEMO, OWN, make_topology()).train()
    made, mesh = net(make_batch([torch.zeros(0, 3), cloud(1)]), targets_root=torch.zeros(2, 3))
    (made.root.sum() + made.voxel_part.sum() + made.heatmap.sum() + mesh.vertices_camera.sum()).backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@torch.no_grad()
def test_root_behind_the_camera_is_kept(net: SahmrNet) -> None:
    bias = net.rcnet.root_net.out_conv.bias
    assert bias is not None
    before = bias.clone()
    bias[1] -= 100
    made, mesh = net(make_batch([cloud(300)]))
    bias.copy_(before)
    assert made.initial_root[0, 2] < 0
    assert int(made.voxel_centers.sample.bincount()[0]) > 100  # nothing is near: everything is used
    require_finite(made, mesh)


@pytest.mark.parametrize("what", ["image", "intrinsics", "crop_box", "scene"])
def test_nan_names_the_sample(net: SahmrNet, what: str) -> None:
    batch = make_batch([cloud(10), cloud(10)])
    if what == "image":
        batch.image[1, 0, 3, 4] = torch.nan
    elif what == "scene":
        batch.scene.xyz[-1, 0] = torch.inf
    else:
        getattr(batch.camera, what)[1, 0] = torch.nan
    with pytest.raises(ValueError, match="sample 'person1'"):
        net(batch)


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
