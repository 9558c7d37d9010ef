"""Our metrics against the reference's validator and evaluation script (golden G7)."""

from __future__ import annotations

import numpy as np
import torch

from sahmr.body.joints import H36M_TO_14
from sahmr.geometry.distance_field import sample_distance
from sahmr.geometry.rigid import apply_rigid
from sahmr.metrics import (
    cell_errors,
    mesh_errors,
    part_map_errors,
    root_errors,
    scene_errors,
    voxel_part_scores,
)
from tests.parity.golden_file import LAYER, GoldenFile, Kind
from tests.parity.published import Bodies, Load, joint_regressor

MM = 2e-3  # millimetres: float32 rounding at ten metres, of all errors in millimetres
METRIC = 2e-5  # of the largest value of any other metric
VALIDATOR_MESH = {
    "mpjpe_mm": "MPJPE",
    "mpve_mm": "MPVE",
    "pa_mpjpe_mm": "PA_MPJPE",
    "global_mpjpe_mm": "G_MPJPE",
    "global_mpve_mm": "G_MPVE",
}
TABLE_MESH = {"mpjpe_mm": "MPJPE", "mpve_mm": "MPVE", "global_mpjpe_mm": "GMPJPE", "global_mpve_mm": "GMPVE"}


def bits(data: GoldenFile, name: str, count: int) -> torch.Tensor:
    return torch.from_numpy(np.unpackbits(data.given(name).numpy(), axis=-1, count=count)).bool()


def check_metric(
    data: GoldenFile, name: str, got: torch.Tensor, bound: float = METRIC, kind: Kind = "of scale"
) -> None:
    """One value per item and their mean."""
    data.check(f"metric__{name}", got, bound, kind)
    data.check(f"metric_mean__{name}", got.double().mean(), bound, kind)


def test_mesh_errors_of_validator(load: Load) -> None:
    data = load("G7_metrics")
    predicted, true, regressor = data.given("in__pred_c_verts"), data.given("in__gt_c_verts"), joint_regressor(data)
    got = mesh_errors(predicted, true, regressor, H36M_TO_14)
    for ours, theirs in VALIDATOR_MESH.items():
        check_metric(data, theirs, got[ours], MM, "absolute")
    # No code of ours reports this one: the pelvis-aligned error of the touching vertices, divided by all 6890.
    contact, joint = bits(data, "in__gt_hsc_bits", true.shape[1]), regressor[0]
    shift = torch.einsum("v,bvc->bc", joint, true - predicted)[:, None]
    touching = (predicted + shift - true).norm(dim=2) * contact
    check_metric(data, "C_HSCP_L2", touching.mean(dim=1) * 1000)
    # The file also gives what follows from the meshes.
    for name, mesh in (("pred", predicted), ("gt", true)):
        joints = torch.einsum("jv,bvc->bjc", regressor, mesh)
        data.check(f"in__{name}_c_joints14", joints[:, list(H36M_TO_14)], LAYER)
        data.check(f"in__{name}_cr_joints14", joints[:, list(H36M_TO_14)] - joints[:, :1], LAYER)
        if name == "pred":
            check_metric(data, "PelvisE_refined_mesh", root_errors(joints[:, 0], data.given("in__gt_c_pelvis")[:, 0]))
        else:
            data.check("in__gt_c_pelvis", joints[:, :1], LAYER)


def test_root_scores_of_validator(load: Load) -> None:
    data = load("G7_metrics")
    true = data.given("in__gt_c_pelvis")[:, 0]
    for ours, theirs in (("in__pred_c_pelvis", "PelvisE"), ("in__pred_c_pelvis_refined", "PelvisE_refined")):
        check_metric(data, theirs, root_errors(data.given(ours)[:, 0], true))
    cells = cell_errors(data.given("in__pred_bi4s_pelvis_2d"), data.given("in__gt_bi4s_pelvis_2d"))
    check_metric(data, "PelvisE_2D", cells)


def test_voxel_and_map_scores_of_validator(load: Load) -> None:
    data = load("G7_metrics")
    predicted, true = data.items("in__pred_vox_segid_b*"), data.items("in__gt_vox_seg_label_b*")
    sample = torch.cat([torch.full((len(part),), item) for item, part in enumerate(true)])
    scores = voxel_part_scores(torch.cat(predicted).long(), torch.cat(true).long(), sample, len(true))
    for ours, theirs in (("voxel_precision", "PREC"), ("voxel_iou", "IOU"), ("voxel_recall", "RECALL")):
        check_metric(data, f"VoxSeg_{theirs}", scores[ours], 1e-6)
    true_maps = data.given("in__gt_bi4s_seg_hm").float()
    claimed = bits(data, "in__pred_bi4s_seg_hm_gt_half", true_maps.shape[-1]).float()
    maps = part_map_errors(claimed, true_maps)
    check_metric(data, "HmSeg_RecallE", maps["part_map_recall_error"], 1e-6)
    check_metric(data, "HmSeg_PredE", maps["part_map_precision_error"], 1e-6)


def test_six_table_metrics(load: Load, bodies: Bodies) -> None:
    data = load("G7_eval_results")
    parts = [f"in__smplx2smplh_{part}" for part in ("row", "col", "val")]
    if data.is_thinned:
        for name, ours in zip(parts, bodies.smplh_from_smplx, strict=True):
            data.check_equal(name, ours)
    row, column, value = map(data.given, parts)
    source, predicted = data.given("in__gt_smplx_verts"), data.given("in__pred_c_verts")
    true = torch.zeros_like(predicted).index_add(1, row.long(), source[:, column.long()] * value[:, None])
    transform = data.given("in__T_w2c")
    world = torch.stack([apply_rigid(*item) for item in zip(transform.inverse(), predicted, strict=True)])
    got = mesh_errors(world, true, joint_regressor(data), H36M_TO_14)
    fields, low, high = data.given("in__sdf_f16").float(), data.given("in__grid_min"), data.given("in__grid_max")
    data.check_equal("in__grid_dim", fields.shape[-1])
    distance = torch.stack([sample_distance(*item) for item in zip(fields, low, high, world, strict=True)])
    scene = scene_errors(distance, bits(data, "in__hsc_bits", world.shape[1]))
    for ours, theirs in TABLE_MESH.items():
        data.check(theirs, got[ours], MM, "absolute")
        data.check(f"{theirs}_mean", got[ours].double().mean(), MM, "absolute")
    for ours, theirs in (("penetration_m", "PenE"), ("contact_m", "ConFE")):
        data.check(theirs, scene[ours], METRIC)
        data.check(f"{theirs}_mean", scene[ours].double().mean(), METRIC)
