"""Join the published tables of the SMPL topology into one file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.body.hierarchy import read_hierarchy
from sahmr.body.joints import H36M_PELVIS, H36M_TO_14, h36m_joints
from sahmr.body.model import BodyModel
from sahmr.body.parts import read_parts
from sahmr.body.skinning import BodyParams, pose_body
from sahmr.body.topology import TOPOLOGY_FILE
from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import BodyModelError
from sahmr.npz import save_npz
from sahmr.untrusted.pickles import load_npy


def read_joint_regressor(path: Path) -> NDArray[np.float64]:
    """Read ``J_regressor_h36m*.npy``: [17, 6890], rows sum to 1 within 1e-3 (0.9996 at least in the published file).

    Raises:
        BodyModelError: on another shape, non-finite values or other row sums.
    """
    regressor = load_npy(path, error=BodyModelError)
    if not isinstance(regressor, np.ndarray) or regressor.shape != (17, NUM_VERTICES):
        found = getattr(regressor, "shape", type(regressor).__name__)
        raise BodyModelError(f"{path}: found {found}, expected (17, {NUM_VERTICES})")
    regressor = regressor.astype(np.float64)
    worst = float(np.abs(regressor.sum(axis=1) - 1.0).max())
    if not worst < 1e-3:
        raise BodyModelError(f"{path}: rows must sum to 1, one is off by {worst:.3g}")
    return regressor


def template_vertices(model: BodyModel, regressor: NDArray[np.float64]) -> NDArray[np.float64]:
    """T-posed neutral SMPL body [6890, 3], turned by pi about x so that it stands in a y-down camera.

    Metres, origin at its own H36M pelvis (method 7).
    """
    params = BodyParams(
        betas=np.zeros(0),
        global_orient=np.array([math.pi, 0.0, 0.0]),
        transl=np.zeros(3),
        body_pose=np.zeros((len(model.parents) - 1) * 3),
    )
    vertices = pose_body(model, params)
    pelvis: NDArray[np.float64] = h36m_joints(regressor, vertices)[H36M_PELVIS]
    return vertices - pelvis


def write_topology(folder: Path, model: BodyModel, *, regressor: Path, downsampling: Path, parts: Path) -> None:
    """Join the published tables into ``topology.npz``.

    Args:
        folder: where the file goes.
        model: neutral SMPL.
        regressor, downsampling, parts: ``J_regressor_h36m*.npy``, ``mesh_downsampling.npz``, ``seg_part_info.npy``.

    Raises:
        BodyModelError: if a table is not as published, or two of them contradict each other.
    """
    joint_regressor = read_joint_regressor(regressor)
    middle, coarse = read_hierarchy(downsampling)
    names, part_full, part_coarse = read_parts(parts)
    if not np.array_equal(part_full[coarse], part_coarse):
        raise BodyModelError(
            f"{parts}: 'verts431_pids' is not 'verts6890_pids' of the coarse vertices in {downsampling}; "
            "the two files belong to different meshes"
        )
    template = template_vertices(model, joint_regressor)
    save_npz(
        folder / TOPOLOGY_FILE,
        {
            "template_full": template,
            "template_joints": h36m_joints(joint_regressor, template)[list(H36M_TO_14)],
            "template_coarse": template[coarse],
            "coarse_to_full": coarse,
            "middle_to_full": middle,
            "joint_regressor": joint_regressor,
            "part_full": part_full,
            "part_coarse": part_coarse,
            "part_names": np.asarray(names),
            "faces": model.faces,
        },
    )
