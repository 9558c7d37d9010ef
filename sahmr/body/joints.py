"""The 17 H36M joints regressed from 6890 vertices, and the 14 that are scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

H36M_PELVIS = 0
H36M_NECK = 8
RIGHT_LEG, LEFT_LEG = (1, 2, 3), (4, 5, 6)  # hip, knee, ankle
# R_Ankle R_Knee R_Hip L_Hip L_Knee L_Ankle R_Wrist R_Elbow R_Shoulder L_Shoulder L_Elbow L_Wrist Neck Head; formats e.2
H36M_TO_14 = (3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10)


def h36m_joints(regressor: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """17 joints [17, 3] of vertices [6890, 3]; metres, the vertices' frame."""
    joints: NDArray[np.float64] = np.einsum("jv,vc->jc", regressor, vertices)
    return joints
