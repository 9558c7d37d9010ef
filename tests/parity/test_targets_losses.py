"""Our targets and losses against the reference's training path (golden G6)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
import torch

from sahmr.data.targets import label_points, make_targets
from sahmr.losses import mesh_losses, root_contact_losses, weighted_sum
from sahmr.structures import (
    Batch,
    BodyTopology,
    Camera,
    ContactPoints,
    MeshPrediction,
    PackedPoints,
    RootContact,
    RootContactTargets,
    Targets,
    pack_points,
)

JOINTS = (3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10)


def tensor(data: Any, name: str) -> torch.Tensor:
    return torch.from_numpy(np.asarray(data[name]))


@pytest.fixture(scope="module")
def targets_file(golden: Path) -> Any:
    return np.load(golden / "G6_targets.npz")


@pytest.fixture(scope="module")
def regressor(golden: Path) -> torch.Tensor:
    """The same synthetic regressor as in every golden file."""
    data = np.load(golden / "G7_metrics.npz")
    dense = torch.zeros(17, 6890)
    dense[tensor(data, "in__J_regressor_h36m_row"), tensor(data, "in__J_regressor_h36m_col")] = tensor(
        data, "in__J_regressor_h36m_val"
    )
    return dense


def to_camera(points: torch.Tensor, camera_from_world: torch.Tensor) -> torch.Tensor:
    return points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]


@pytest.fixture(scope="module")
def batch(targets_file: Any) -> Batch:
    data = targets_file
    transform = tensor(data, "in__T_w2c")
    vertices = torch.stack([to_camera(tensor(data, "gt_w_verts")[item], transform[item]) for item in range(2)])
    scene = pack_points([to_camera(tensor(data, f"w_pcFst_all_b{item}"), transform[item]) for item in range(2)])
    return Batch(
        keys=("a", "b"),
        image=tensor(data, "in__image_u8") / 255,
        camera=Camera(
            intrinsics=tensor(data, "in__K"), camera_from_world=transform, crop_box=tensor(data, "in__bbx_lurb")
        ),
        scene=scene,
        targets=Targets(
            vertices_camera=vertices,
            vertex_contact=torch.zeros(2, 6890, dtype=torch.bool),
            has_contact=torch.zeros(2, dtype=torch.bool),
        ),
    )


@pytest.fixture(scope="module")
def topology(targets_file: Any, regressor: torch.Tensor) -> BodyTopology:
    return BodyTopology(
        template_joints=torch.zeros(14, 3),
        template_coarse=torch.zeros(431, 3),
        coarse_to_full=torch.arange(431),
        joint_regressor=regressor,
        part_full=tensor(targets_file, "in__verts6890_pids"),
        part_coarse=torch.zeros(431, dtype=torch.long),
        faces=torch.zeros(1, 3, dtype=torch.long),
    )


@pytest.fixture(scope="module", params=["trunc", "floor"])
def losses_file(golden: Path, request: pytest.FixtureRequest) -> Any:
    return np.load(golden / f"G6_rcnet_losses_{request.param}.npz")


def packed(data: Any, name: str) -> torch.Tensor:
    return torch.cat([tensor(data, f"{name}_b{item}") for item in range(2)])


def voxels(data: Any) -> PackedPoints:
    return pack_points([tensor(data, f"c_voxFst_nearby_b{item}") for item in range(2)])


@pytest.fixture(scope="module")
def made(batch: Batch, losses_file: Any, topology: BodyTopology) -> RootContactTargets:
    return make_targets(batch, voxels(losses_file), topology)


def test_root_targets(made: RootContactTargets, targets_file: Any) -> None:
    torch.testing.assert_close(made.root, tensor(targets_file, "gt_c_pelvis")[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made.root_map, tensor(targets_file, "gt_bi4s_pelvis_2d").long())
    assert torch.equal(made.heatmap, tensor(targets_file, "gt_bi4s_pelvis_hm")[:, 0])
    torch.testing.assert_close(made.scaled_depth, tensor(targets_file, "gt_bi_pelvis_zw1f"), rtol=1e-5, atol=1e-5)


def test_part_targets(
    made: RootContactTargets, batch: Batch, topology: BodyTopology, targets_file: Any, losses_file: Any
) -> None:
    assert torch.equal(made.part_maps, tensor(targets_file, "gt_bi4s_seg_hm"))
    assert torch.equal(made.voxel_part, packed(losses_file, "gt_vox_seg_label"))
    expected = packed(losses_file, "gt_vox_xyz_offset")
    torch.testing.assert_close(made.voxel_offset, expected, rtol=0, atol=1e-5)
    assert batch.targets is not None
    label = label_points(batch.scene, batch.targets.vertices_camera, topology.part_full)
    assert torch.equal(label[label > 0], packed(targets_file, "gt_pcSeg_all_pids"))


def test_stage_a_losses(made: RootContactTargets, losses_file: Any) -> None:
    data = losses_file
    empty = ContactPoints(
        xyz_camera=torch.zeros(2, 1, 3),
        part=torch.zeros(2, 1, dtype=torch.long),
        mask=torch.zeros(2, 1, dtype=torch.bool),
    )
    prediction = RootContact(
        heatmap=tensor(data, "pred_bi4s_pelvis_hm")[:, 0],
        scaled_depth=tensor(data, "pred_bi4s_rdepth_hm")[:, 0],
        part_maps=tensor(data, "pred_bi4s_seg_hm"),
        root_map=torch.zeros(2, 2, dtype=torch.long),
        initial_root=tensor(data, "pred_c_pelvis")[:, 0],
        anchor_root=tensor(data, "pred_c_pelvis")[:, 0],
        voxel_centers=voxels(data),
        voxel_confidence=packed(data, "pred_vox_xyz_conf")[:, 0],
        voxel_offset=packed(data, "pred_vox_xyz_offset"),
        voxel_part=packed(data, "pred_vox_seg"),
        root=tensor(data, "pred_c_pelvis_refined")[:, 0],
        contacts=empty,
    )
    got = root_contact_losses(prediction, made, tensor(data, "pred_bi4s_seg_hm_flip"))
    names = {
        "heatmap": "pelvis_heatmap_MSE",
        "scaled_depth": "pelvis_depth_L1",
        "voxel_part": "pcSeg_voxel",
        "voxel_offset": "vox_xyz_offset_L1",
        "root": "pelvis_xyz_refined_L1",
        "part_maps": "bi4s_seg_hm_MSE",
        "part_maps_flipped": "bi4s_seg_hm_flip_MSE",
    }
    assert set(got) == set(names)
    for ours, theirs in names.items():
        torch.testing.assert_close(got[ours], tensor(data, f"loss_stats__{theirs}"), rtol=2e-5, atol=1e-5)
    weights = dict.fromkeys(names, 1.0) | {"scaled_depth": 10.0}
    torch.testing.assert_close(weighted_sum(got, weights), tensor(data, "loss"), rtol=2e-5, atol=1e-4)


@pytest.fixture(scope="module")
def stage_b_vertices(golden: Path, targets_file: Any, tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """The true meshes of G6's stage B, posed from the stored SMPL-H parameters with the synthetic body models."""
    folder = tmp_path_factory.mktemp("synthetic_body")
    script = golden.parent / "make_synthetic_body.py"
    subprocess.run([sys.executable, script, "--out", folder, "--seed", "7"], check=True, capture_output=True)
    data = np.load(golden / "G6_sahmr_losses.npz")
    transform = tensor(targets_file, "in__T_w2c")
    prefix = "in__gt_smplh__"
    meshes = []
    for item, gender in enumerate(("male", "female")):
        model = smplx.create(
            folder / "models", "smplh", gender=gender, use_pca=False, flat_hand_mean=True, num_betas=10, batch_size=1
        )
        pose = {name[len(prefix) :]: tensor(data, name)[item, None] for name in data.files if name.startswith(prefix)}
        meshes.append(to_camera(model(**pose).vertices[0].detach(), transform[item]))
    return torch.stack(meshes)


def test_stage_b_losses(golden: Path, stage_b_vertices: torch.Tensor, regressor: torch.Tensor) -> None:
    data = np.load(golden / "G6_sahmr_losses.npz")
    root = tensor(data, "pelvis_used")[:, 0]
    vertices = tensor(data, "pred_verts")
    prediction = MeshPrediction(
        root=root,
        vertices_anchor=vertices,
        vertices_camera=vertices + root[:, None],
        contacts_anchor=tensor(data, "pred_crm_pcSeg_after"),
        contacts_input_anchor=tensor(data, "pred_crm_pcSeg"),
        contacts_mask=tensor(data, "pcSeg_mask"),
    )
    got = mesh_losses(prediction, stage_b_vertices, regressor, JOINTS)
    names = {
        "vertices": "vertex_L1",
        "joints": "joint_L1",
        "contacts": "corr_points_pred",
        "global_vertices": "vertex_c_L1",
    }
    assert set(got) == set(names)
    for ours, theirs in names.items():
        torch.testing.assert_close(got[ours], tensor(data, f"loss_stats__{theirs}"), rtol=2e-5, atol=1e-6)
    torch.testing.assert_close(weighted_sum(got, dict.fromkeys(names, 1.0)), tensor(data, "loss"), rtol=2e-5, atol=1e-5)
