"""Ground-truth bodies of the raw datasets: parameter pickles and meshes to vertices of the SMPL topology."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.body.model import BodyModel, clean_path, load_clean
from sahmr.body.skinning import BodyParams, pose_body
from sahmr.body.transfer import NUM_SMPLX, TRANSFER_FILE, load_transfer, to_smpl_vertices
from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import BodyModelError, RawDataError
from sahmr.readers.fits import MOST_BYTES, numbers, read_params
from sahmr.units import as_if
from sahmr.untrusted.meshes import read_ply
from sahmr.untrusted.pickles import load_npy, load_pickle

Array = NDArray[np.float64]

# A body, and its place in any of the frames it is given in. A crouching person is 1 m large, 3.3 m if in feet; one who
# stands with arms raised 2.5 m.
_SMALLEST_M, _LARGEST_M, _FARTHEST_M = 0.3, 3.2, 1000.0
_TYPICAL_M = (0.6, 2.5)


@lru_cache(maxsize=4)
def _model(path: Path) -> BodyModel:
    return load_clean(path)


@lru_cache(maxsize=1)
def _transfer(path: Path) -> sp.csr_matrix:
    return load_transfer(path)


def smpl_vertices_of_file(path: Path, bodies: Path, gender: str, *, nan_rule: str | None = None) -> Array:
    """:func:`smpl_vertices_of_mesh` of a PLY file, :func:`smpl_vertices_of_params` of any other."""
    if path.suffix == ".ply":
        return smpl_vertices_of_mesh(path, bodies)
    return smpl_vertices_of_params(path, bodies, gender, nan_rule=nan_rule)


def smpl_vertices_of_mesh(path: Path, bodies: Path) -> Array:
    """A mesh file with 10475 (SMPL-X) or 6890 vertices as [6890, 3]; metres, the file's frame.

    Args:
        path: PLY mesh.
        bodies: output folder of the stage ``bodies``.

    Raises:
        RawDataError: on another number of vertices.
    """
    vertices = read_ply(path).vertices
    if len(vertices) not in (NUM_SMPLX, NUM_VERTICES):
        raise RawDataError(f"{path}: {len(vertices)} vertices; a body mesh has {NUM_SMPLX} or {NUM_VERTICES}")
    _check_size(path, vertices)
    if len(vertices) == NUM_VERTICES:
        return vertices
    return to_smpl_vertices(_transfer(bodies / TRANSFER_FILE), vertices)


def smpl_vertices_of_array(path: Path) -> Array:
    """An ``.npy`` of [6890, 3] numbers; metres, the file's frame.

    Raises:
        RawDataError: if it holds anything else, or numbers that are no body.
    """
    found = load_npy(path)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.shape != (NUM_VERTICES, 3):
        shape = getattr(found, "shape", type(found).__name__)
        raise RawDataError(
            f"{path}: holds {shape}; allowed: ({NUM_VERTICES}, 3) numbers, the vertices of SMPL in metres"
        )
    vertices: Array = found.astype(np.float64)
    if not np.isfinite(vertices).all():
        raise RawDataError(f"{path}: holds NaN or infinite vertices; allowed: metres in the scan's frame")
    _check_size(path, vertices)
    return vertices


def smpl_vertices_of_params(path: Path, bodies: Path, gender: str, *, nan_rule: str | None = None) -> Array:
    """Evaluate a parameter pickle to [6890, 3]; metres, the frame of the parameters.

    Raises:
        RawDataError: as :func:`read_params`.
        BodyModelError: if the model for this kind and gender is not there: that concerns more than one file.
    """
    kind, params = read_params(path, gender=gender, nan_rule=nan_rule)
    model_file = clean_path(bodies, kind, gender)
    if not model_file.is_file():
        raise BodyModelError(
            f"{path}: holds {kind.upper()} parameters of a {gender} body, but {model_file} is not there; add the "
            f"{kind.upper()} model to bodies.raw and run: dvc repro bodies"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # of wild parameters; reported below
        vertices = pose_body(_fitting_model(path, model_file, params), params)
    _check_size(path, vertices)
    return vertices if len(vertices) == NUM_VERTICES else to_smpl_vertices(_transfer(bodies / TRANSFER_FILE), vertices)


def _fitting_model(path: Path, model_file: Path, params: BodyParams) -> BodyModel:
    """The model of a fit, if it keeps as many shape directions as the fit uses."""
    model = _model(model_file)
    if len(params.betas) > model.num_betas:
        raise BodyModelError(
            f"{path}: has {len(params.betas)} betas, {model_file} keeps {model.num_betas} shape directions; set "
            f"bodies.num_betas of params.yaml to {len(params.betas)} and run: dvc repro bodies"
        )
    return model


def _check_size(path: Path, vertices: Array) -> None:
    """A few flipped bits make a body as large as the Earth, which the rules for images would take for one out of view.

    Raises:
        RawDataError: if it is larger, or farther from the frame's origin, than any body.
    """
    columns = np.ascontiguousarray(vertices.T)  # several times faster to search than [n, 3]
    low, high = columns.min(axis=1), columns.max(axis=1)
    size, far = float((high - low).max()), float(np.maximum(-low, high).max())
    if not _SMALLEST_M <= size <= _LARGEST_M:
        looks = as_if(size, *_TYPICAL_M)
        raise RawDataError(
            f"{path}: gives a body {size:.3g} m large{looks}; allowed: {_SMALLEST_M:g} to {_LARGEST_M:g} m; "
            + ("convert it to metres" if looks else "fetch it again")
        )
    if far > _FARTHEST_M:
        raise RawDataError(
            f"{path}: gives a body {far:.6g} m from the origin; allowed: {_FARTHEST_M:g} m; if that is a surveyor's "
            "offset, subtract it from scan, cameras and bodies; if its place is in millimetres, convert it; else fetch "
            "it again"
        )


def read_contact(path: Path) -> NDArray[np.bool_]:
    """``contact`` of a RICH human-scene-contact pickle: one label per SMPL vertex, [6890].

    Raises:
        RawDataError: if the key is missing, has another length, or holds anything but 0 and 1.
    """
    content = load_pickle(path, most_bytes=MOST_BYTES)
    if not isinstance(content, dict) or "contact" not in content:
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise RawDataError(f"{path}: expected a dict with 'contact', found {found}")
    labels = numbers(path, "contact", content["contact"])
    if labels.shape != (NUM_VERTICES,) or labels.dtype.kind not in "biuf" or not _is_binary(labels):
        found = f"{labels.dtype} {labels.shape}"
        raise RawDataError(f"{path}: 'contact' must be {NUM_VERTICES} zeros and ones, found {found}")
    return labels.astype(bool)


def _is_binary(labels: NDArray[Any]) -> bool:
    return bool(((labels == 0) | (labels == 1)).all())
