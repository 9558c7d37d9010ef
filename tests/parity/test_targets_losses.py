"""Our targets and losses against the reference's training path (golden G6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sahmr.body.joints import H36M_TO_14
from sahmr.dimensions import CROP_SIZE
from sahmr.geometry.camera import image_to_unit, project
from sahmr.losses import mesh_losses, root_contact_losses, weighted_sum
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import (
    Batch,
    BodyTopology,
    ContactPoints,
    MeshPrediction,
    PackedPoints,
    RootContact,
    RootContactTargets,
    Targets,
    pack_points,
)
from sahmr.targets import label_points, make_targets
from tests.parity.golden_file import LAYER, NETWORK, GoldenFile
from tests.parity.published import MODES, Bodies, Load, make_batch, tables, to_camera, visible

LOSS = 2e-5  # of the largest loss of the batch

STAGE_A = {
    "heatmap": "pelvis_heatmap_MSE",
    "scaled_depth": "pelvis_depth_L1",
    "voxel_part": "pcSeg_voxel",
    "voxel_offset": "vox_xyz_offset_L1",
    "root": "pelvis_xyz_refined_L1",
    "part_maps": "bi4s_seg_hm_MSE",
    "part_maps_flipped": "bi4s_seg_hm_flip_MSE",
}
STAGE_B = {
    "vertices": "vertex_L1",
    "joints": "joint_L1",
    "contacts": "corr_points_pred",
    "global_vertices": "vertex_c_L1",
}


@pytest.fixture(scope="module")
def batch(load: Load, bodies: Bodies) -> Batch:
    data = load("G6_targets")
    empty = make_batch(data)
    data.check("gt_w_verts", bodies.pose(data), LAYER)
    vertices = to_camera(data.given("gt_w_verts"), empty.camera.camera_from_world)
    unknown = torch.zeros(vertices.shape[:2], dtype=torch.bool)
    return replace(empty, targets=Targets(vertices_camera=vertices, vertex_contact=unknown, has_contact=unknown[:, 0]))


@pytest.fixture(scope="module")
def topology(load: Load, bodies: Bodies) -> BodyTopology:
    return replace(tables(regressor=bodies.regressor), part_full=load("G6_targets").given("in__verts6890_pids"))


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> Rounding:
    chosen: Rounding = request.param
    return chosen


@pytest.fixture(scope="module")
def losses_file(load: Load, mode: Rounding) -> GoldenFile:
    return load(f"G6_rcnet_losses_{mode}")


@pytest.fixture(scope="module")
def voxels(losses_file: GoldenFile) -> PackedPoints:
    return pack_points(losses_file.items("c_voxFst_nearby_b*"))


@pytest.fixture(scope="module")
def made(batch: Batch, voxels: PackedPoints, topology: BodyTopology) -> RootContactTargets:
    return make_targets(batch, voxels, topology)


def test_true_meshes(load: Load, batch: Batch, bodies: Bodies) -> None:
    data = load("G6_targets")
    posed = bodies.pose(data)
    data.check("gt_w_verts", posed, LAYER)
    vertices = to_camera(posed, batch.camera.camera_from_world)
    joints = torch.einsum("jv,bvc->bjc", bodies.regressor, vertices)
    root, chosen = joints[:, :1], joints[:, list(H36M_TO_14)]
    data.check("gt_c_verts_every10", vertices[:, ::10], LAYER)
    data.check("gt_cr_verts_every10", (vertices - root)[:, ::10], LAYER)
    data.check("gt_cr_joints14", chosen - root, LAYER)
    data.check("gt_c_verts431", vertices[:, bodies.coarse_to_full], LAYER)
    # The regressor's rows do not sum to 1: here it is applied in the world frame.
    chosen = to_camera(torch.einsum("jv,bvc->bjc", bodies.regressor, posed), batch.camera.camera_from_world)
    chosen = chosen[:, list(H36M_TO_14)]
    data.check("gt_c_joints14", chosen, LAYER)
    pixels = project(chosen.flatten(0, 1), batch.camera.intrinsics.repeat_interleave(14, dim=0)).unflatten(0, (-1, 14))
    data.check("gt_bi_joints14_2d", image_to_unit(pixels, batch.camera.crop_box[:, None]) * (CROP_SIZE - 1), LAYER)


def test_root_targets(load: Load, made: RootContactTargets, batch: Batch) -> None:
    data = load("G6_targets")
    data.check("gt_c_pelvis", made.root[:, None], LAYER)
    data.check("gt_c_pelvis_z", made.root[:, 2], LAYER)
    data.check("gt_bi_pelvis_zw1f", made.scaled_depth, LAYER)
    unit = image_to_unit(project(made.root, batch.camera.intrinsics), batch.camera.crop_box)
    data.check("gt_bi01_pelvis_2d", unit, LAYER)
    data.check_equal("gt_bi4s_pelvis_2d", (unit * 55).round())
    # Ours is clamped to 1..54, so that its 3x3 window fits; the reference clamps for the heat-map only.
    data.note("gt_bi4s_pelvis_2d, clamped", made.root_map, data.given("gt_bi4s_pelvis_2d").clamp(1, 54), 0.0, "equal")
    data.check_equal("gt_bi4s_pelvis_hm", made.heatmap[:, None])


def test_part_targets(load: Load, made: RootContactTargets, batch: Batch, topology: BodyTopology) -> None:
    data = load("G6_targets")
    data.check_equal("gt_bi4s_seg_hm", made.part_maps)
    assert batch.targets is not None
    label = label_points(batch.scene, batch.targets.vertices_camera, topology.part_full)
    for i, inside in enumerate(visible(data)):
        world, part = data.items("in__scene_voxels_w_b*")[i][inside], label[batch.scene.sample == i]
        data.check(f"w_pcFst_all_b{i}", world, LAYER)
        data.check(f"gt_w_pcSeg_all_b{i}", world[part > 0], LAYER)
        data.check_equal(f"gt_pcSeg_all_pids_b{i}", part[part > 0])


def test_voxel_targets(losses_file: GoldenFile, made: RootContactTargets, voxels: PackedPoints, batch: Batch) -> None:
    for i in range(len(batch.keys)):
        mine = voxels.sample == i
        losses_file.check_equal(f"gt_vox_seg_label_b{i}", made.voxel_part[mine])
        losses_file.check(f"gt_vox_xyz_offset_b{i}", made.voxel_offset[mine], 1e-5, "absolute")


def stage_a_prediction(data: GoldenFile, voxels: PackedPoints) -> RootContact:
    """The predictions stored beside the losses; the losses read no other fields."""

    def packed(name: str) -> torch.Tensor:
        return torch.cat(data.items(f"{name}_b*"))

    root = data.given("pred_c_pelvis")[:, 0]
    count = len(root)
    return RootContact(
        heatmap=data.given("pred_bi4s_pelvis_hm")[:, 0],
        scaled_depth=data.given("pred_bi4s_rdepth_hm")[:, 0],
        part_maps=data.given("pred_bi4s_seg_hm"),
        root_map=torch.zeros(count, 2, dtype=torch.long),
        initial_root=root,
        anchor_root=root,
        points=voxels,
        voxel_of_point=torch.arange(len(voxels.xyz)),
        voxel_centers=voxels,
        voxel_confidence=packed("pred_vox_xyz_conf")[:, 0],
        voxel_offset=packed("pred_vox_xyz_offset"),
        voxel_part=packed("pred_vox_seg"),
        root=data.given("pred_c_pelvis_refined")[:, 0],
        contacts=ContactPoints(
            xyz_camera=torch.zeros(count, 1, 3),
            part=torch.zeros(count, 1, dtype=torch.long),
            mask=torch.zeros(count, 1, dtype=torch.bool),
        ),
    )


def test_stage_a_losses(
    losses_file: GoldenFile,
    made: RootContactTargets,
    voxels: PackedPoints,
    mode: Rounding,
    root_step: Callable[[Rounding], None],
) -> None:
    """On the stored predictions; where those are thinned, on ours, which agree with what is left of them."""
    data = losses_file
    if data.is_thinned:
        root_step(mode)
    bound = NETWORK if data.is_thinned else LOSS
    flipped = data.given("pred_bi4s_seg_hm_flip")
    got = root_contact_losses(stage_a_prediction(data, voxels), made, flipped)
    assert set(got) == set(STAGE_A)
    for ours, theirs in STAGE_A.items():
        data.check(f"loss_stats__{theirs}", got[ours], bound)
    total = weighted_sum(got, dict.fromkeys(STAGE_A, 1.0) | {"scaled_depth": 10.0})
    data.check("loss", total, bound)
    data.check("loss_stats__loss_weighted_sum", total, bound)


def test_stage_b_losses(load: Load, batch: Batch, bodies: Bodies, mesh_step: Callable[[], None]) -> None:
    """On the stored predictions; our own are in ``test_network.py``. Where those are thinned, on ours, too."""
    data = load("G6_sahmr_losses")
    if data.is_thinned:
        mesh_step()
    bound = NETWORK if data.is_thinned else LOSS
    root, vertices = data.given("pelvis_used")[:, 0], data.given("pred_verts")
    prediction = MeshPrediction(
        root=root,
        vertices_anchor=vertices,
        vertices_camera=vertices + root[:, None],
        contacts_anchor=data.given("pred_crm_pcSeg_after"),
        contacts_input_anchor=data.given("pred_crm_pcSeg"),
        contacts_mask=data.given("pcSeg_mask"),
    )
    true = to_camera(bodies.pose(data), batch.camera.camera_from_world)
    got = mesh_losses(prediction, true, bodies.regressor, H36M_TO_14)
    assert set(got) == set(STAGE_B)
    for ours, theirs in STAGE_B.items():
        data.check(f"loss_stats__{theirs}", got[ours], bound)
    total = weighted_sum(got, dict.fromkeys(STAGE_B, 1.0))
    data.check("loss", total, bound)
    data.check("loss_stats__loss_weighted_sum", total, bound)
    check_joints(data, vertices, true, bodies.regressor)


def check_joints(data: GoldenFile, predicted: torch.Tensor, true: torch.Tensor, regressor: torch.Tensor) -> None:
    for name, mesh in (("pred_cr_joints14", predicted), ("gt_cr_joints14", true)):
        joints = torch.einsum("jv,bvc->bjc", regressor, mesh)
        bound = NETWORK if data.is_thinned and name.startswith("pred") else LAYER
        data.check(name, joints[:, list(H36M_TO_14)] - joints[:, :1], bound)
    data.check("gt_c_pelvis", joints[:, :1], LAYER)
