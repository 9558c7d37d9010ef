"""Bad and poor input to the whole demo-size network: one clear error, or a defined result, never NaN.

A sample that is merely poor must give the same result alone and in any batch, and leave its batch mates alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from sahmr.errors import SahmrError
from sahmr.network.batch_check import BatchError
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import DEMO, OWN
from sahmr.scenes.visible import block_points, visible_points
from sahmr.structures import Batch, MeshPrediction, RootContact, pack_points
from tests.worlds.batches import cloud, make_batch
from tests.worlds.checked import unchecked
from tests.worlds.networks import make_topology

Result = tuple[RootContact, MeshPrediction]
ORDINARY = (cloud(300, seed=3), cloud(500, seed=4))


@pytest.fixture(scope="module")
def net() -> SahmrNet:
    torch.manual_seed(0)
    return SahmrNet(DEMO, OWN, make_topology()).eval()


@contextmanager
def root_depth(net: SahmrNet, depth: float) -> Iterator[None]:
    """Make the root network see every root at a depth, metres."""
    layer = net.rcnet.root_net.out_conv
    assert layer.bias is not None
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    with torch.no_grad():
        layer.weight[1] = 0
        layer.bias[1] = depth * 224 / 1000  # crop width / focal length of every made-up camera
        yield
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


@contextmanager
def every_voxel_is(net: SahmrNet, part: int) -> Iterator[None]:
    """Make the contact network give every voxel the same part, 0 for no contact."""
    bias = net.rcnet.contact_net.classifier[0].bias
    assert isinstance(bias, torch.nn.Parameter)
    before = bias.detach().clone()
    with torch.no_grad():
        bias[4 + part] += 1e4
        yield
        bias.copy_(before)


def require_finite(result: Result) -> None:
    for value in result:
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if isinstance(item, torch.Tensor):
                assert item.isfinite().all(), field.name


@torch.no_grad()
def run_alone_and_in_a_batch(net: SahmrNet, poor: torch.Tensor) -> Result:
    """Result of the poor scene alone; the same first, amid and last in a batch, whose other samples do not notice."""
    first, second = ORDINARY
    clouds = [poor, first, poor, second, poor]
    alone: Result = net(make_batch([poor]))
    one, two = net(make_batch([first])), net(make_batch([second]))
    root_contact, mesh = net(make_batch(clouds))
    require_finite(alone)
    require_finite((root_contact, mesh))
    for i, (made, made_mesh) in enumerate((alone, one, alone, two, alone)):
        torch.testing.assert_close(root_contact.root[i], made.root[0], rtol=1e-4, atol=1e-4)
        assert torch.equal(root_contact.contacts.part[i], made.contacts.part[0])
        torch.testing.assert_close(mesh.vertices_camera[i], made_mesh.vertices_camera[0], rtol=1e-3, atol=1e-3)
    return alone


def test_empty_scene_leaves_the_root_where_the_image_sees_it(net: SahmrNet) -> None:
    with every_voxel_is(net, 3):  # so that only the empty scene is without contact
        made, mesh = run_alone_and_in_a_batch(net, torch.zeros(0, 3))
    assert torch.equal(made.root, made.initial_root)
    assert len(made.voxel_confidence) == 0
    assert not made.contacts.mask.any()
    assert torch.equal(mesh.contacts_input_anchor, -made.root[:, None].expand_as(mesh.contacts_input_anchor))


@pytest.mark.parametrize("side", [4.0, 400.0])
def test_no_point_near_the_root_uses_all_points(net: SahmrNet, side: float) -> None:
    poor = cloud(80) + torch.tensor([side, 0.0, 0.0])
    with root_depth(net, 4.0):
        made, _ = run_alone_and_in_a_batch(net, poor)
    voxels = (poor / DEMO.voxel_size).floor().unique(dim=0)
    assert len(made.voxel_confidence) == len(voxels)


def test_no_contact_point_is_padding_without_any_effect(net: SahmrNet) -> None:
    with every_voxel_is(net, 0), torch.no_grad():
        made, mesh = run_alone_and_in_a_batch(net, cloud(200))
        contacts = made.contacts
        assert not contacts.mask.any() and not contacts.part.any() and not contacts.xyz_camera.any()
        moved = replace(contacts, xyz_camera=contacts.xyz_camera + 7)
        image = make_batch([cloud(1)]).image
        torch.testing.assert_close(net.metro_enhanced(image, made.root, moved).vertices_camera, mesh.vertices_camera)


def test_points_behind_the_camera_read_no_image(net: SahmrNet) -> None:
    seen: list[torch.Tensor] = []
    hook = net.rcnet.contact_net.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    try:
        run_alone_and_in_a_batch(net, cloud(60, depth=-5.0))
    finally:
        hook.remove()
    assert seen[0].shape == (len((cloud(60, depth=-5.0) / 0.1).floor().unique(dim=0)), 3 + DEMO.image_features)
    assert not seen[0][:, 3:].any() and seen[1][:, 3:].any()  # the poor scene, the first ordinary one


@pytest.mark.parametrize("depth", [-3.0, 0.0])
def test_root_behind_the_camera_is_kept(net: SahmrNet, depth: float) -> None:
    with root_depth(net, depth):
        made, _ = run_alone_and_in_a_batch(net, cloud(300))
    torch.testing.assert_close(made.initial_root[0, 2], torch.tensor(depth), rtol=0, atol=1e-5)
    assert len(made.voxel_confidence) > 100  # nothing is near: everything is used


@pytest.mark.parametrize(("wall", "voxels"), [(12.4, True), (14.0, False)])
def test_person_beyond_the_far_plane(net: SahmrNet, wall: float, voxels: bool) -> None:
    """The scene ends at 12.5 m: what lies before is used, and if nothing does, the root stays as it is."""
    batch = make_batch([cloud(1)])
    points = cloud(400, depth=wall) * torch.tensor([1.0, 1.0, 0.0]) + torch.tensor([0.0, 0.0, wall])
    camera = batch.camera
    cull = (camera.intrinsics[0], camera.camera_from_world[0], camera.crop_box[0])
    seen = visible_points(block_points(points), *cull)
    assert (len(seen) > 0) == voxels
    with root_depth(net, 15.0):
        made, _ = run_alone_and_in_a_batch(net, seen)
    torch.testing.assert_close(made.initial_root[0, 2], torch.tensor(15.0))
    assert (len(made.voxel_confidence) > 0) == voxels
    assert voxels or torch.equal(made.root, made.initial_root)


def test_one_point(net: SahmrNet) -> None:
    made, _ = run_alone_and_in_a_batch(net, cloud(1))
    assert len(made.voxel_confidence) == 1


def test_poor_scenes_give_finite_gradients() -> None:
    torch.manual_seed(0)
    net = SahmrNet(DEMO, OWN, make_topology()).train()
    for clouds in ([torch.zeros(0, 3), cloud(1)], [torch.zeros(0, 3), torch.zeros(0, 3)]):
        made, mesh = net(make_batch(clouds), targets_root=torch.zeros(2, 3))
        (made.root.sum() + made.voxel_part.sum() + made.heatmap.sum() + mesh.vertices_camera.sum()).backward()
        assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def damage(what: str, value: float) -> Batch:
    """A batch of three whose second sample is bad."""
    batch = make_batch([cloud(10), cloud(10), cloud(10)])
    if what == "image":
        batch.image[1, 0, 3, 4] = value
    elif what == "scene points":
        batch.scene.xyz[15, 0] = value
    else:
        getattr(batch.camera, what)[1, 0] = value
    return batch


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("what", ["image", "intrinsics", "camera_from_world", "crop_box", "scene points"])
def test_nan_and_infinity_name_the_sample(net: SahmrNet, what: str, value: float) -> None:
    with pytest.raises(BatchError, match=f"^sample 'person1' has {what} with NaN or infinity; drop") as found:
        net(damage(what, value))
    assert isinstance(found.value, SahmrError) and isinstance(found.value, ValueError)


def no_focal(batch: Batch) -> None:
    batch.camera.intrinsics[1, 1, 1] = 0


def mirrored(batch: Batch) -> None:
    batch.camera.intrinsics[1, 0, 0] *= -1


def no_area(batch: Batch) -> None:
    batch.camera.crop_box[1, 3] = batch.camera.crop_box[1, 1]


def millimetres(batch: Batch) -> None:
    batch.scene.xyz[7:] *= 1000


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_focal, "focal length that is not positive"),
        (mirrored, "focal length that is not positive"),
        (no_area, "crop box without area"),
        (millimetres, "more than 1000 m away; are its points in metres"),
    ],
)
def test_impossible_cameras_and_points_name_the_sample(
    net: SahmrNet, spoil: Callable[[Batch], None], message: str
) -> None:
    batch = make_batch([cloud(7), cloud(7)])
    spoil(batch)
    with pytest.raises(BatchError, match=f"sample 'person1' has a.*{message}"):
        net(batch)


def test_sizes_that_do_not_fit(net: SahmrNet) -> None:
    batch = make_batch([cloud(7), cloud(7)])
    image, camera, scene = batch.image, batch.camera, batch.scene
    for make_wrong, message in (
        (lambda: replace(batch, image=image[:, :, :128, :128]), r"\[2, 3, 128, 128\].*224 x 224"),
        (lambda: replace(batch, image=image[:1]), "2 keys and images"),
        (lambda: replace(batch, keys=(), image=image[:0], scene=pack_points([])), "at least one"),
        (lambda: replace(batch, camera=make_batch([cloud(1)]).camera), r"2 keys, but cameras for \[1\]"),
        (
            lambda: replace(batch, scene=replace(scene, sample=scene.sample + 1)),
            r"samples 1\.\.2, the batch has 0\.\.1",
        ),
        (lambda: replace(batch, camera=replace(camera, crop_box=camera.crop_box[:1])), r"cameras for \[1, 2\]"),
    ):
        with unchecked(), pytest.raises(BatchError, match=message):
            net(make_wrong())


@pytest.mark.parametrize("place", ["rcnet.root_net.out_conv.bias", "metro_enhanced.upsampling2.bias"])
@torch.no_grad()
def test_broken_weights_are_told_and_no_nan_is_handed_on(net: SahmrNet, place: str) -> None:
    weight = net.get_parameter(place)
    before = weight.clone()
    weight[1] = torch.nan
    try:
        with pytest.raises(BatchError, match=r"sample 'person0' has finite input, but its .* is not: the weights"):
            net(make_batch([cloud(7), cloud(7)]))
    finally:
        weight.copy_(before)


def test_no_clouds_pack_to_no_points() -> None:
    packed = pack_points([])
    assert packed.xyz.shape == (0, 3) and packed.sample.shape == (0,)
