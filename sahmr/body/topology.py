"""Everything that comes with the SMPL topology in one file: template, vertex subsets, joints, parts, faces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sahmr.body.hierarchy import read_hierarchy
from sahmr.body.joints import H36M_PELVIS, H36M_TO_14, h36m_joints, read_joint_regressor
from sahmr.body.model import BodyModel, save_npz
from sahmr.body.parts import read_parts
from sahmr.body.pickles import load_npz_member, npz_keys
from sahmr.body.skinning import BodyParams, pose_body
from sahmr.errors import BodyModelError
from sahmr.structures import BodyTopology

TOPOLOGY_FILE = "topology.npz"
_KEYS = (
    "coarse_to_full", "faces", "joint_regressor", "middle_to_full", "part_coarse", "part_full", "part_names",
    "template_coarse", "template_full", "template_joints",
)  # fmt: skip


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


def load_topology(folder: Path) -> BodyTopology:
    """Read the tables the stage ``bodies`` wrote into ``folder``.

    Raises:
        BodyModelError: if the file is missing or of another make.
    """
    path = folder / TOPOLOGY_FILE
    if not path.is_file():
        raise BodyModelError(f"{path}: no such file; make it with: dvc repro bodies")
    if sorted(npz_keys(path, error=BodyModelError)) != list(_KEYS):
        raise BodyModelError(f"{path}: was written by another version; make it with: dvc repro bodies")

    def real(key: str) -> torch.Tensor:
        return torch.from_numpy(load_npz_member(path, key, error=BodyModelError).astype(np.float32))

    def integer(key: str) -> torch.Tensor:
        return torch.from_numpy(load_npz_member(path, key, error=BodyModelError).astype(np.int64))

    return BodyTopology(
        template_joints=real("template_joints"),
        template_coarse=real("template_coarse"),
        coarse_to_full=integer("coarse_to_full"),
        joint_regressor=real("joint_regressor"),
        part_full=integer("part_full"),
        part_coarse=integer("part_coarse"),
        faces=integer("faces"),
    )
