"""The published network with deterministic weights against the reference (golden G2 to G6)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from sahmr.body.joints import H36M_TO_14
from sahmr.network.checkpoint_keys import is_dead
from sahmr.network.hrnet import normalize_image
from sahmr.network.root import RootMaps
from sahmr.network.root_contact import crop_to_region
from sahmr.network.size import REFERENCE
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import RootContact
from tests.parity.golden_file import LAYER, GoldenFile, GoldenSet
from tests.parity.published import MODES, Load, Weights, joint_regressor, make_batch, tables
from tests.parity.steps import check_maps, check_voxels

EXACT_POINTS = 1e-6  # of scale: the points themselves, moved by a camera transform at most


def test_every_reference_key(golden: GoldenSet, published: Weights) -> None:
    reference = json.loads(golden.keys())
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
def test_root_and_contact_in_training(root_step: Callable[[Rounding], None], mode: Rounding) -> None:
    root_step(mode)


def test_mesh_net_in_training(mesh_step: Callable[[], None]) -> None:
    mesh_step()
