"""The published network with deterministic weights against the reference (golden G2 to G6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sahmr.body.joints import H36M_TO_14
from sahmr.geometry.nearest import nearest
from sahmr.losses import mesh_losses
from sahmr.network.checkpoint_keys import is_dead
from sahmr.network.hrnet import normalize_image
from sahmr.network.root import RootMaps
from sahmr.network.root_contact import crop_to_region, substitute_far_roots
from sahmr.network.size import PAPER, REFERENCE
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import ContactPoints, MeshPrediction, RootContact
from tests.parity.golden_file import DEEP_GRADIENT, LAYER, GoldenFile
from tests.parity.published import MODES, QUIET, Bodies, Load, Weights, joint_regressor, make_batch, tables, to_camera

EXACT_POINTS = 1e-6  # of scale: the points themselves, moved by a camera transform at most


def test_every_reference_key(beside: Callable[[str], Path], published: Weights) -> None:
    reference = json.loads(beside("state_dict_sahmr.json").read_text())
    theirs = {key: shape for key, (shape, _) in reference["state_dict"].items()}
    assert len(theirs) == 4437
    assert {key for key in theirs if is_dead(key)} == set(reference["never_used_in_forward"])
    assert published.shapes == {key: shape for key, shape in theirs.items() if not is_dead(key)}


@torch.no_grad()
def test_hrnet(load: Load, published: Weights) -> None:
    data, net = load("G2_hrnet"), published.network()
    image = normalize_image(data.given("image_u8") / 255)
    maps: RootMaps = net.rcnet.root_net(image)
    out = torch.cat([maps.heatmap[:, None], maps.scaled_depth[:, None], maps.features, maps.part_maps], dim=1)
    data.check("root_net_out", out)
    data.check("metro_backbone_out", net.metro_enhanced.backbone(image))


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_root_and_contact(load: Load, published: Weights, mode: Rounding) -> None:
    data = load("G3_rcnet")
    batch = make_batch(data)
    data.check("in__bi_f", 224 / batch.camera.depth_scale, LAYER)
    data.check_equal("in__bi_w", batch.image.shape[-1])
    made = published.network(rounding=mode).rcnet(batch)
    check_maps(data, made)
    data.check_equal("pred_bi4s_pelvis_2d", made.root_map)
    data.check("pred_bi01_pelvis_2d", made.root_map / 55, LAYER)
    data.check("pred_c_pelvis_z", made.initial_root[:, 2])
    data.check(f"pred_c_pelvis_refined_{mode}", made.root[:, None])
    nearby = crop_to_region(batch.scene, made.anchor_root, REFERENCE.region)
    for i in range(len(batch.keys)):
        data.check(f"c_pcFst_nearby_b{i}", nearby.xyz[nearby.sample == i], EXACT_POINTS)
        order = check_voxels(data, made, i, f"_{mode}")
        data.check_equal(f"pred_vox_segid_{mode}_b{i}", made.voxel_part[order].argmax(dim=1))
        check_contacts(data, made, mode, i)


def check_maps(data: GoldenFile, made: RootContact) -> None:
    data.check("pred_bi4s_pelvis_hm", made.heatmap[:, None])
    data.check("pred_bi4s_rdepth_hm", made.scaled_depth[:, None])
    data.check("pred_bi4s_seg_hm", made.part_maps)
    data.check("pred_c_pelvis", made.initial_root[:, None])


def check_voxels(data: GoldenFile, made: RootContact, item: int, tail: str) -> torch.Tensor:
    """Compare what the voxels of one batch item say; gives our row for each row of the file."""
    mine = made.voxel_centers.sample == item
    order = data.match(f"c_voxFst_nearby_b{item}", made.voxel_centers.xyz[mine], cell=PAPER.voxel_size)
    order = mine.nonzero()[:, 0][order]
    data.check(f"pred_vox_xyz_conf{tail}_b{item}", made.voxel_confidence[order, None])
    data.check(f"pred_vox_xyz_offset{tail}_b{item}", made.voxel_offset[order])
    data.check(f"pred_vox_seg{tail}_b{item}", made.voxel_part[order])
    return order


def check_contacts(data: GoldenFile, made: RootContact, mode: Rounding, item: int) -> None:
    count = int(made.contacts.mask[item].sum())
    data.check_equal(f"pred_pcSeg_all_pids_b{item}_{mode}", made.contacts.part[item, :count])
    data.check(f"pred_c_pcSeg_all_b{item}_{mode}", made.contacts.xyz_camera[item, :count], EXACT_POINTS)


@torch.no_grad()
def test_mesh_net(load: Load, published: Weights) -> None:
    data = load("G4_metro_enhanced")
    net = published.network(tables(data)).metro_enhanced
    image = normalize_image(data.given("in__image_u8") / 255)
    points, part, mask = (data.given(f"in__{name}") for name in ("pred_crm_pcSeg", "pcSeg_pids", "pcSeg_mask"))
    blocks: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block in net.trans_encoder:
        block.register_forward_hook(lambda _module, _input, output: blocks.append(output))
    vertices, corrected, _ = net.reconstruct(image, points, part, mask)
    data.check("pred_verts", vertices)
    data.check("pred_corr_pc", corrected)
    for i, (tokens, contacts) in enumerate(blocks):
        for name, value in (("img", tokens), ("cp", contacts)):
            if i < 2:
                data.check(f"cpose_{name}_feat_{i}_every16", value[:, ::16])
            else:
                data.check(f"cpose_{name}_feat_{i}", value)


@torch.no_grad()
def test_whole_network(load: Load, published: Weights) -> None:
    data = load("G5_sahmr")
    regressor = joint_regressor(data)
    batch = make_batch(data)
    for i in range(len(batch.keys)):
        data.check(f"c_pcFst_all_b{i}", batch.scene.xyz[batch.scene.sample == i], LAYER)
    data.check("T_c2w", torch.linalg.inv(batch.camera.camera_from_world), LAYER)
    data.check("ri_f", batch.camera.intrinsics[:, 0, 0], LAYER)
    data.check("bi_f", 224 / batch.camera.depth_scale, LAYER)
    for mode in MODES:
        made, mesh = published.network(tables(data, regressor), mode)(batch)
        data.check("pred_c_pelvis", made.initial_root[:, None])
        data.check(f"pred_c_pelvis_refined_{mode}", made.root[:, None])
        for i in range(len(batch.keys)):
            check_contacts(data, made, mode, i)
        data.check(f"pred_c_pcSeg_{mode}", made.contacts.xyz_camera, EXACT_POINTS)
        data.check_equal(f"pcSeg_pids_{mode}", made.contacts.part)
        data.check_equal(f"pcSeg_mask_{mode}", made.contacts.mask)
        data.check(f"pred_crm_pcSeg_{mode}", mesh.contacts_input_anchor)
        data.check(f"pred_crm_pcSeg_after_{mode}", mesh.contacts_anchor)
        data.check(f"pred_verts_{mode}_every10", mesh.vertices_anchor[:, ::10])
        data.check(f"pred_c_verts_{mode}", mesh.vertices_camera)
        joints = torch.einsum("jv,bvc->bjc", regressor, mesh.vertices_camera)
        data.check(f"pred_c_joints14_{mode}", joints[:, list(H36M_TO_14)])
        # The regressor's rows do not sum to 1: the frame it is applied in matters.
        joints = torch.einsum("jv,bvc->bjc", regressor, mesh.vertices_anchor)
        data.check(f"pred_cr_joints14_{mode}", joints[:, list(H36M_TO_14)] - joints[:, :1])
        data.check(f"pred_cr_verts_{mode}_every10", (mesh.vertices_anchor - joints[:, :1])[:, ::10])


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_root_and_contact_in_training(load: Load, published: Weights, mode: Rounding) -> None:
    """Without noise; roots farther than 0.5 m from the truth are replaced by it."""
    data, inputs = load(f"G6_rcnet_losses_{mode}"), load("G6_targets")
    batch, net = make_batch(inputs), published.network(rounding=mode).rcnet
    net.training = True  # of this module alone: normalisation stays on its running statistics
    made = net(batch, targets_root=inputs.given("gt_c_pelvis")[:, 0])
    check_maps(data, made)
    replaced = (made.anchor_root != made.initial_root).any(dim=1)
    data.check_equal("training_noisy_gt_root_mask", replaced)
    data.check("pred_c_pelvis_refined", made.root[:, None])
    for i in range(len(batch.keys)):
        check_voxels(data, made, i, "")
    data.check("pred_bi4s_seg_hm_flip", net.part_maps_of(batch.image.flip(3)))


GRADIENT = "grad__metro_enhanced."
FIRST_GRADIENT = (
    3e-2  # L2, first convolution: 1.1e-2 between the float32 file and ours, 2.9e-2 between our two precisions
)


def test_mesh_net_in_training(load: Load, published: Weights, bodies: Bodies) -> None:
    """One step of stage B, its backbone in float64.

    The file was made in float32 with the backbone's normalisation on *batch* statistics (with running ones vertices
    come out metres away). That amplifies rounding: a float32 run of ours is as far from float64 (9e-5 of the vertices'
    scale, 2.9e-2 of the first convolution's gradient) as the file is.
    """
    data, inputs = load("G6_sahmr_losses"), load("G6_targets")
    net = published.network(tables(load("G5_sahmr"), bodies.regressor))
    true = to_camera(bodies.pose(data), inputs.given("in__T_w2c"))
    true_root = torch.einsum("v,bvc->bc", bodies.regressor[0], true)
    with torch.no_grad():
        net.rcnet.max_contacts = 1 << 20  # all of them: the reference drew its 500 without a seed
        made = net.rcnet(make_batch(inputs))
    root = substitute_far_roots(made.root, true_root, QUIET.substitution_distance, QUIET.mesh_root_noise_std, None)
    data.check("pred_c_pelvis", made.initial_root[:, None])
    data.check("pred_c_pelvis_refined", made.root[:, None])
    data.check("pelvis_used", root[:, None])
    check_drawn_contacts(data, made, root)
    mesh_net = net.metro_enhanced
    backbone = mesh_net.backbone.double().train()
    backbone.register_forward_pre_hook(lambda _module, inputs: inputs[0].double())
    backbone.register_forward_hook(lambda _module, _inputs, output: output.float())
    parameters = dict(mesh_net.named_parameters())
    wanted = {name.removeprefix(GRADIENT): name for name in data.names(f"{GRADIENT}.*")}
    chosen = [parameters[name].requires_grad_() for name in wanted]
    mesh = mesh_net(inputs.given("in__image_u8") / 255, root, drawn_contacts(data, root))
    terms = mesh_losses(mesh, true, bodies.regressor, H36M_TO_14)
    loss = torch.stack(list(terms.values())).sum(dim=0)
    check_mesh(data, mesh, loss)
    for (name, key), gradient in zip(wanted.items(), torch.autograd.grad(loss.mean(), chosen), strict=True):
        gradient = gradient[::16] if name == "upsampling.weight" else gradient
        data.check(key, gradient, FIRST_GRADIENT if name == "backbone.conv1.weight" else DEEP_GRADIENT, "L2")


def check_drawn_contacts(data: GoldenFile, made: RootContact, root: torch.Tensor) -> None:
    """The file's contact points are points and parts of ours; all of ours where there are at most 500."""
    points, part, mask = (data.given(name) for name in ("pred_crm_pcSeg", "pcSeg_pids", "pcSeg_mask"))
    found, found_part, counts = points.clone(), torch.zeros_like(part), []
    for i, real in enumerate(mask):
        mine = made.contacts.mask[i]
        candidates = made.contacts.xyz_camera[i, mine] - root[i]
        chosen = nearest(points[i, real], candidates)[1]
        found[i, real], found_part[i, real] = candidates[chosen], made.contacts.part[i, mine][chosen]
        found[i, ~real] = -root[i]
        counts.append(min(len(candidates), mask.shape[1]))
        assert len(candidates) > mask.shape[1] or len(chosen.unique()) == len(candidates)
    data.check("pred_crm_pcSeg", found)
    data.check_equal("pcSeg_pids", found_part)
    data.check_equal("pcSeg_mask", torch.arange(mask.shape[1]) < torch.tensor(counts)[:, None])


def drawn_contacts(data: GoldenFile, root: torch.Tensor) -> ContactPoints:
    """The contact points that the reference drew."""
    points, part, mask = (data.given(name) for name in ("pred_crm_pcSeg", "pcSeg_pids", "pcSeg_mask"))
    return ContactPoints(xyz_camera=points + root[:, None], part=part, mask=mask)


def check_mesh(data: GoldenFile, mesh: MeshPrediction, loss: torch.Tensor) -> None:
    data.check("pred_verts", mesh.vertices_anchor)
    data.check("pred_crm_pcSeg_after", mesh.contacts_anchor)
    data.check("loss", loss)
