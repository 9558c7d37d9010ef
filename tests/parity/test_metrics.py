"""Our metrics against the reference's validator and evaluation script (golden G7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sahmr.geometry.distance_field import sample_distance
from sahmr.metrics import (
    cell_errors,
    contact_vertex_error_mm,
    mesh_errors,
    part_map_errors,
    root_errors,
    scene_errors,
    voxel_part_scores,
)

JOINTS = (3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10)


def tensor(data: Any, name: str) -> torch.Tensor:
    return torch.from_numpy(np.asarray(data[name]))


def regressor(data: Any) -> torch.Tensor:
    dense = torch.zeros(17, 6890)
    dense[tensor(data, "in__J_regressor_h36m_row"), tensor(data, "in__J_regressor_h36m_col")] = tensor(
        data, "in__J_regressor_h36m_val"
    )
    return dense


def bits(data: Any, name: str, count: int) -> torch.Tensor:
    return torch.from_numpy(np.unpackbits(data[name], axis=-1, count=count)).bool()


@pytest.fixture(scope="module")
def validator(golden: Path) -> Any:
    return np.load(golden / "G7_metrics.npz")


@pytest.fixture(scope="module")
def table(golden: Path) -> Any:
    return np.load(golden / "G7_eval_results.npz")


def agree(got: torch.Tensor, data: Any, name: str, rtol: float = 2e-5, atol: float = 2e-3) -> None:
    torch.testing.assert_close(got.float(), tensor(data, name), rtol=rtol, atol=atol)


def test_mesh_errors_of_validator(validator: Any) -> None:
    got = mesh_errors(
        tensor(validator, "in__pred_c_verts"), tensor(validator, "in__gt_c_verts"), regressor(validator), JOINTS
    )
    for ours, theirs in (
        ("mpjpe_mm", "MPJPE"),
        ("mpve_mm", "MPVE"),
        ("pa_mpjpe_mm", "PA_MPJPE"),
        ("global_mpjpe_mm", "G_MPJPE"),
        ("global_mpve_mm", "G_MPVE"),
    ):
        agree(got[ours], validator, f"metric__{theirs}")


def test_root_and_contact_scores_of_validator(validator: Any) -> None:
    true_root = tensor(validator, "in__gt_c_pelvis")[:, 0]
    for ours, theirs in (("in__pred_c_pelvis", "PelvisE"), ("in__pred_c_pelvis_refined", "PelvisE_refined")):
        agree(root_errors(tensor(validator, ours)[:, 0], true_root), validator, f"metric__{theirs}")
    cells = cell_errors(tensor(validator, "in__pred_bi4s_pelvis_2d"), tensor(validator, "in__gt_bi4s_pelvis_2d"))
    agree(cells, validator, "metric__PelvisE_2D")
    error = contact_vertex_error_mm(
        tensor(validator, "in__pred_c_verts"),
        tensor(validator, "in__gt_c_verts"),
        bits(validator, "in__gt_hsc_bits", 6890),
        regressor(validator),
    )
    agree(error, validator, "metric__C_HSCP_L2")


def test_voxel_and_map_scores_of_validator(validator: Any) -> None:
    predicted = [tensor(validator, f"in__pred_vox_segid_b{item}").long() for item in range(3)]
    true = [tensor(validator, f"in__gt_vox_seg_label_b{item}").long() for item in range(3)]
    sample = torch.cat([torch.full((len(part),), item) for item, part in enumerate(true)])
    got = voxel_part_scores(torch.cat(predicted), torch.cat(true), sample, 3)
    agree(got["voxel_precision"], validator, "metric__VoxSeg_PREC", atol=1e-6)
    agree(got["voxel_iou"], validator, "metric__VoxSeg_IOU", atol=1e-6)
    agree(got["voxel_recall"], validator, "metric__VoxSeg_RECALL", atol=1e-6)
    maps = part_map_errors(
        bits(validator, "in__pred_bi4s_seg_hm_gt_half", 56).float(), tensor(validator, "in__gt_bi4s_seg_hm").float()
    )
    agree(maps["part_map_recall_error"], validator, "metric__HmSeg_RecallE", atol=1e-6)
    agree(maps["part_map_precision_error"], validator, "metric__HmSeg_PredE", atol=1e-6)


def test_six_table_metrics(table: Any) -> None:
    rows, columns = tensor(table, "in__smplx2smplh_row").long(), tensor(table, "in__smplx2smplh_col").long()
    source = tensor(table, "in__gt_smplx_verts")
    true = torch.zeros(3, 6890, 3).index_add(
        1, rows, source[:, columns] * tensor(table, "in__smplx2smplh_val")[:, None]
    )
    camera_from_world = tensor(table, "in__T_w2c")
    shifted = tensor(table, "in__pred_c_verts") - camera_from_world[:, None, :3, 3]
    predicted = shifted @ camera_from_world[:, :3, :3]
    got = mesh_errors(predicted, true, regressor(table), JOINTS)
    for ours, theirs in (
        ("mpjpe_mm", "MPJPE"),
        ("mpve_mm", "MPVE"),
        ("global_mpjpe_mm", "GMPJPE"),
        ("global_mpve_mm", "GMPVE"),
    ):
        agree(got[ours], table, theirs, atol=5e-3)
    distance = torch.stack([scene_distance(table, item, predicted[item]) for item in range(3)])
    scene = scene_errors(distance, bits(table, "in__hsc_bits", 6890))
    agree(scene["penetration_m"], table, "PenE", rtol=1e-4)
    agree(scene["contact_m"], table, "ConFE", rtol=1e-4)


def scene_distance(table: Any, item: int, points: torch.Tensor) -> torch.Tensor:
    low, high = tensor(table, "in__grid_min")[item], tensor(table, "in__grid_max")[item]
    return sample_distance(tensor(table, "in__sdf_f16")[item].float(), low, high, points)
