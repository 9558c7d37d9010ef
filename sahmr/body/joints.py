"""The 17 H36M joints regressed from 6890 vertices, and the 14 that are scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import BodyModelError
from sahmr.untrusted.pickles import load_npy

H36M_PELVIS = 0
# R_Ankle R_Knee R_Hip L_Hip L_Knee L_Ankle R_Wrist R_Elbow R_Shoulder L_Shoulder L_Elbow L_Wrist Neck Head; formats e.2
H36M_TO_14 = (3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10)


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


def h36m_joints(regressor: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """17 joints [17, 3] of vertices [6890, 3]; metres, the vertices' frame."""
    joints: NDArray[np.float64] = np.einsum("jv,vc->jc", regressor, vertices)
    return joints
