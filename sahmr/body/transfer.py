"""SMPL-X vertices to the 6890 vertices of SMPL-H and SMPL: one sparse matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.errors import BodyModelError
from sahmr.npz import load_npz, save_npz
from sahmr.untrusted.pickles import load_pickle

TRANSFER_FILE = "transfer.npz"
NUM_SMPLX, NUM_SMPL = 10475, 6890


def read_transfer(path: Path) -> sp.csr_matrix:
    """Read ``smplx2smplh_deftrafo_setup.pkl``; its second half multiplies normals and is dropped (formats e.1).

    Returns:
        Sparse [6890, 10475], rows sum to 1, so it commutes with every rigid motion.

    Raises:
        BodyModelError: if the key, the shape or the row sums are not as published.
    """
    content = load_pickle(path, error=BodyModelError)
    if not isinstance(content, dict) or "mtx" not in content:
        raise BodyModelError(f"{path}: expected a dict with the key 'mtx'; fetch SMPL-X 'model correspondences' again")
    found = getattr(content["mtx"], "shape", type(content["mtx"]).__name__)
    if found not in ((NUM_SMPL, 2 * NUM_SMPLX), (NUM_SMPL, NUM_SMPLX)) or content["mtx"].dtype.kind not in "biuf":
        raise BodyModelError(f"{path}: 'mtx' has shape {found}, expected numbers of {(NUM_SMPL, 2 * NUM_SMPLX)}")
    matrix = sp.csr_matrix(sp.csr_matrix(content["mtx"]).astype(np.float64)[:, :NUM_SMPLX])
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not np.isfinite(matrix.data).all():
        raise BodyModelError(f"{path}: 'mtx' holds NaN or infinite values; fetch it again")
    worst = float(np.abs(np.asarray(matrix.sum(axis=1)) - 1.0).max())
    if worst > 1e-4:
        raise BodyModelError(f"{path}: rows of the vertex half of 'mtx' must sum to 1, one is off by {worst:.3g}")
    return matrix


def write_transfer(path: Path, matrix: sp.csr_matrix) -> None:
    """Write the matrix as plain arrays; equal matrices give equal bytes."""
    matrix = sp.csr_matrix(matrix)
    matrix.sort_indices()
    save_npz(
        path,
        {
            "data": matrix.data.astype(np.float64),
            "indices": matrix.indices.astype(np.int32),
            "indptr": matrix.indptr.astype(np.int32),
            "shape": np.asarray(matrix.shape, dtype=np.int64),
        },
    )


def load_transfer(path: Path) -> sp.csr_matrix:
    """Read a file of :func:`write_transfer`. Errors as :func:`sahmr.npz.load_npz`."""
    tables = load_npz(path, ("data", "indices", "indptr", "shape"))
    parts = (tables["data"], tables["indices"], tables["indptr"])
    return sp.csr_matrix(parts, shape=tuple(int(n) for n in tables["shape"]))


def to_smpl_vertices(matrix: sp.csr_matrix, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPL-X vertices [10475, 3] to SMPL vertices [6890, 3]; metres, any frame.

    Raises:
        BodyModelError: if there are not 10475 vertices.
    """
    if vertices.shape != (NUM_SMPLX, 3):
        raise BodyModelError(f"expected [{NUM_SMPLX}, 3] SMPL-X vertices, found {list(vertices.shape)}")
    return np.asarray(matrix @ vertices)
