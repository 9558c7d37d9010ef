"""Which of the 6890 vertices make up the middle (1723) and coarse (431) meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.dimensions import NUM_COARSE, NUM_MIDDLE, NUM_VERTICES
from sahmr.errors import BodyModelError
from sahmr.untrusted.pickles import load_npz_member

Index = NDArray[np.int64]


def _selection(path: Path, matrix: object, rows: int, columns: int) -> Index:
    """Column of the single 1 in every row."""
    if not sp.issparse(matrix) or matrix.shape != (rows, columns):  # type: ignore[attr-defined]
        found = getattr(matrix, "shape", type(matrix).__name__)
        raise BodyModelError(f"{path}: a matrix of 'D' is {found}, expected sparse {(rows, columns)}")
    csr = sp.csr_matrix(matrix)
    csr.eliminate_zeros()
    if not (np.diff(csr.indptr) == 1).all() or not np.allclose(csr.data, 1.0):
        raise BodyModelError(f"{path}: 'D' must pick one vertex per row (a single 1); this file does not")
    return np.asarray(csr.indices, dtype=np.int64)


def read_hierarchy(path: Path) -> tuple[Index, Index]:
    """Read ``D`` of ``mesh_downsampling.npz``; its key ``M`` is never touched (formats e.4).

    Returns:
        middle_to_full [1723] and coarse_to_full [431], indices of the 6890 vertices.

    Raises:
        BodyModelError: if ``D`` is not two vertex selections of these sizes.
    """
    down = load_npz_member(path, "D", error=BodyModelError)
    if np.ndim(down) != 1 or len(down) < 2:
        raise BodyModelError(f"{path}: 'D' holds {np.size(down)} matrices, expected 2")
    middle = _selection(path, down[0], NUM_MIDDLE, NUM_VERTICES)
    coarse = _selection(path, down[1], NUM_COARSE, NUM_MIDDLE)
    return middle, middle[coarse]
