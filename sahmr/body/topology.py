"""The tables of the SMPL topology that later stages read: template, vertex subsets, joints, parts, faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sahmr.npz import load_npz
from sahmr.structures import BodyTopology

TOPOLOGY_FILE = "topology.npz"
_KEYS = (
    "coarse_to_full", "faces", "joint_regressor", "middle_to_full", "part_coarse", "part_full", "part_names",
    "template_coarse", "template_full", "template_joints",
)  # fmt: skip


def load_tables(folder: Path) -> dict[str, NDArray[Any]]:
    """All tables the stage ``bodies`` wrote into ``folder``, as stored. Errors as :func:`sahmr.npz.load_npz`."""
    return load_npz(folder / TOPOLOGY_FILE, _KEYS)


def load_topology(folder: Path) -> BodyTopology:
    """The tables a network and its losses need: float32 and int64. Errors as :func:`load_tables`."""
    tables = load_tables(folder)

    def real(key: str) -> torch.Tensor:
        return torch.from_numpy(tables[key].astype(np.float32))

    def integer(key: str) -> torch.Tensor:
        return torch.from_numpy(tables[key].astype(np.int64))

    return BodyTopology(
        template_joints=real("template_joints"),
        template_coarse=real("template_coarse"),
        coarse_to_full=integer("coarse_to_full"),
        joint_regressor=real("joint_regressor"),
        part_full=integer("part_full"),
        part_coarse=integer("part_coarse"),
        faces=integer("faces"),
    )
