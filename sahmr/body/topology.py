"""The tables of the SMPL topology that later stages read: template, vertex subsets, joints, parts, faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sahmr.errors import BodyModelError
from sahmr.structures import BodyTopology
from sahmr.untrusted.pickles import load_npz_member, npz_keys

TOPOLOGY_FILE = "topology.npz"
_KEYS = (
    "coarse_to_full", "faces", "joint_regressor", "middle_to_full", "part_coarse", "part_full", "part_names",
    "template_coarse", "template_full", "template_joints",
)  # fmt: skip


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
