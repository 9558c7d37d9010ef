"""The published network with deterministic weights against the reference (golden G2, G3, G4, G5, G8)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from sahmr.geometry.frustum import frustum_corners, inside_frustum
from sahmr.network.checkpoint_keys import is_dead
from sahmr.network.hrnet import normalize_image
from sahmr.network.root import RootMaps
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import PAPER, REFERENCE
from sahmr.structures import Batch, BodyTopology, Camera, pack_points

MODES = ("trunc", "floor")
JOINTS = [3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10]


@pytest.fixture(scope="module")
def whole(load: Any) -> dict[str, torch.Tensor]:
    """The file of the whole network; its template and part ids are those of G4, too."""
    data: dict[str, torch.Tensor] = load("G5_sahmr")
    return data


@pytest.fixture(scope="module")
def topology(whole: dict[str, torch.Tensor]) -> BodyTopology:
    regressor = torch.zeros(17, 6890)
    row, col, value = (whole[f"in__J_regressor_h36m_{x}"] for x in ("row", "col", "val"))
    regressor[row, col] = value
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
def full_net(topology: BodyTopology, weights: ModuleType) -> Iterator[SahmrNet]:
    """1.5 GB of weights, made once."""
    net = SahmrNet(PAPER, REFERENCE, topology).eval().requires_grad_(False)
    yield weights.fill_(net)


def set_rounding(net: SahmrNet, mode: Any) -> None:
    net.rcnet.behaviour = dataclasses.replace(REFERENCE, rounding=mode)
    net.rcnet.contact_net.rounding = mode


def batch_of(data: dict[str, torch.Tensor], scene: list[torch.Tensor]) -> Batch:
    count = len(data["in__image_u8"])
    world = data.get("in__T_w2c", torch.eye(4).repeat(count, 1, 1))
    return Batch(
        keys=tuple(f"item{i}" for i in range(count)),
        image=data["in__image_u8"] / 255,
        camera=Camera(intrinsics=data["in__K"], camera_from_world=world, crop_box=data["in__bbx_lurb"]),
        scene=pack_points(scene),
        targets=None,
    )


def test_every_reference_key(golden: Path, topology: BodyTopology) -> None:
    reference = json.loads((golden.parent / "state_dict_sahmr.json").read_text())
    with torch.device("meta"):
        ours = {k: list(v.shape) for k, v in SahmrNet(PAPER, REFERENCE, topology).state_dict().items()}
    theirs = {key: shape for key, (shape, _) in reference["state_dict"].items()}
    assert len(theirs) == 4437
    assert {key for key in theirs if is_dead(key)} == set(reference["never_used_in_forward"])
    assert ours == {key: shape for key, shape in theirs.items() if not is_dead(key)}


@torch.no_grad()
def test_hrnet(load: Any, ledger: Any, full_net: SahmrNet) -> None:
    data = load("G2_hrnet")
    image = normalize_image(data["image_u8"] / 255)
    maps: RootMaps = full_net.rcnet.root_net(image)
    out = torch.cat([maps.heatmap[:, None], maps.scaled_depth[:, None], maps.features, maps.part_maps], dim=1)
    ledger.check("G2 root net", out, data["root_net_out"])
    ledger.check("G2 mesh backbone", full_net.metro_enhanced.backbone(image), data["metro_backbone_out"])


@torch.no_grad()
def test_root_and_contact(load: Any, ledger: Any, full_net: SahmrNet) -> None:
    data = load("G3_rcnet")
    batch = batch_of(data, [data["in__c_pcFst_all_b0"], data["in__c_pcFst_all_b1"]])
    for mode in MODES:
        set_rounding(full_net, mode)
        made = full_net.rcnet(batch)
        ledger.check("G3 heatmap", made.heatmap, data["pred_bi4s_pelvis_hm"][:, 0])
        ledger.check("G3 depth map", made.scaled_depth, data["pred_bi4s_rdepth_hm"][:, 0])
        ledger.check("G3 part maps", made.part_maps, data["pred_bi4s_seg_hm"])
        assert torch.equal(made.root_map, data["pred_bi4s_pelvis_2d"])
        ledger.check("G3 depth", made.initial_root[:, 2], data["pred_c_pelvis_z"])
        ledger.check("G3 root", made.initial_root, data["pred_c_pelvis"][:, 0])
        ledger.check(f"G3 refined root {mode}", made.root, data[f"pred_c_pelvis_refined_{mode}"][:, 0])
        for i in range(2):
            check_item(ledger, made, data, mode, i)


def check_item(ledger: Any, made: Any, data: dict[str, torch.Tensor], mode: str, item: int) -> None:
    mine = made.voxel_centers.sample == item
    wanted = data[f"c_voxFst_nearby_b{item}"]
    # Both lists hold the same voxels; sort both by voxel index.
    ours, theirs = (np.lexsort((c / 0.05).floor().long().numpy().T) for c in (made.voxel_centers.xyz[mine], wanted))
    ledger.check(f"G3 voxel centres b{item}", made.voxel_centers.xyz[mine][ours], wanted[theirs])
    for name, value in (
        ("xyz_conf", made.voxel_confidence[mine][ours][:, None]),
        ("xyz_offset", made.voxel_offset[mine][ours]),
        ("seg", made.voxel_part[mine][ours]),
    ):
        ledger.check(f"G3 voxel {name} {mode} b{item}", value, data[f"pred_vox_{name}_{mode}_b{item}"][theirs])
    parts = made.voxel_part[mine].argmax(1)[ours]
    assert torch.equal(parts, data[f"pred_vox_segid_{mode}_b{item}"][theirs])
    check_contacts(ledger, made, data, mode, item, "G3")


def check_contacts(ledger: Any, made: Any, data: dict[str, torch.Tensor], mode: str, item: int, group: str) -> None:
    contacts, count = made.contacts, int(made.contacts.mask[item].sum())
    ids = data[f"pred_pcSeg_all_pids_b{item}_{mode}"]
    assert torch.equal(contacts.part[item, :count], ids)
    points = data[f"pred_c_pcSeg_all_b{item}_{mode}"]
    ledger.check(f"{group} contact points {mode} b{item}", contacts.xyz_camera[item, :count], points, 1e-6)


@torch.no_grad()
def test_mesh_net(load: Any, ledger: Any, full_net: SahmrNet, whole: dict[str, torch.Tensor]) -> None:
    data = load("G4_metro_enhanced")
    for key in ("in__init_joints14", "in__init_verts431", "in__verts431_pids"):
        assert torch.equal(data[key], whole[key])
    image = normalize_image(data["in__image_u8"] / 255)
    points, part, mask = (data[f"in__{x}"] for x in ("pred_crm_pcSeg", "pcSeg_pids", "pcSeg_mask"))
    vertices, corrected, tokens = full_net.metro_enhanced.reconstruct(image, points, part, mask)
    ledger.check("G4 vertices", vertices, data["pred_verts"])
    ledger.check("G4 contact points", corrected, data["pred_corr_pc"])
    ledger.check("G4 tokens of block 2", tokens[2], data["cpose_img_feat_2"])
    for i in (0, 1):
        ledger.check(f"G4 tokens of block {i}", tokens[i][:, ::16], data[f"cpose_img_feat_{i}_every16"])


@torch.no_grad()
def test_whole_network(ledger: Any, full_net: SahmrNet, whole: dict[str, torch.Tensor], topology: BodyTopology) -> None:
    data = whole
    scenes = []
    for i in range(2):
        transform, world = data["in__T_w2c"][i], data[f"in__scene_voxels_w_b{i}"]
        corners = frustum_corners(data["in__K"][i : i + 1], data["in__bbx_lurb"][i : i + 1])[0]
        camera = world @ transform[:3, :3].t() + transform[:3, 3]
        scenes.append(camera[inside_frustum(camera, corners)])
        ledger.check(f"G5 frustum points b{i}", scenes[i], data[f"c_pcFst_all_b{i}"], 1e-5)
    batch = batch_of(data, scenes)
    for mode in MODES:
        set_rounding(full_net, mode)
        made, mesh = full_net(batch)
        ledger.check("G5 root", made.initial_root, data["pred_c_pelvis"][:, 0])
        ledger.check(f"G5 refined root {mode}", made.root, data[f"pred_c_pelvis_refined_{mode}"][:, 0])
        for i in range(2):
            check_contacts(ledger, made, data, mode, i, "G5")
        assert torch.equal(made.contacts.part, data[f"pcSeg_pids_{mode}"])
        assert torch.equal(made.contacts.mask, data[f"pcSeg_mask_{mode}"])
        ledger.check(f"G5 points in {mode}", mesh.contacts_input_anchor, data[f"pred_crm_pcSeg_{mode}"])
        ledger.check(f"G5 points out {mode}", mesh.contacts_anchor, data[f"pred_crm_pcSeg_after_{mode}"])
        ledger.check(f"G5 vertices {mode}", mesh.vertices_anchor[:, ::10], data[f"pred_verts_{mode}_every10"])
        ledger.check(f"G5 vertices, camera {mode}", mesh.vertices_camera, data[f"pred_c_verts_{mode}"])
        joints = topology.joint_regressor @ mesh.vertices_camera
        ledger.check(f"G5 joints, camera {mode}", joints[:, JOINTS], data[f"pred_c_joints14_{mode}"])


def test_frustum(load: Any, ledger: Any) -> None:
    data = load("G8_frustum")
    intrinsics, box = data["in__K"], data["in__bbx_lurb"]
    corners = frustum_corners(intrinsics, box)
    ledger.check("G8 frustum corners", corners, data["c_frustum_points"], 1e-5)
    other = frustum_corners(intrinsics, box, data["in__near_z"], data["in__far_z"])
    ledger.check("G8 frustum corners, own depths", other, data["c_frustum_points_near_far"], 1e-5)
    for i in range(2):
        transform = data["in__T_w2c"][i]
        camera = data["in__scene_w"] @ transform[:3, :3].t() + transform[:3, 3]
        inside = inside_frustum(camera, corners[i])
        bits = np.unpackbits(data["inside_bits"][i].numpy(), count=len(camera)).astype(bool)
        assert np.array_equal(inside.numpy(), bits)
        ledger.check(f"G8 points inside b{i}", camera[inside], data[f"c_pcFst_all_b{i}"], 1e-5)
