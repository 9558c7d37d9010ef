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
from sahmr.readers.base import BodyUnusableError
from sahmr.untrusted.arrays import to_array
from sahmr.untrusted.meshes import read_ply
from sahmr.untrusted.pickles import load_pickle

Array = NDArray[np.float64]

# Sizes of the parameters by schema (formats a.1, b, c). RICH and PROX: SMPL-X with 12 hand PCA coefficients;
# SA-HMR's re-fits: SMPL-H with full hands, 1-D arrays.
_SMPLX = {
    "betas": 10, "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12,
    "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10,
}  # fmt: skip
_SMPLH = {
    "betas": (10, 16), "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 45, "right_hand_pose": 45,
}  # fmt: skip
# Left over from the fits, of no use here.
_IGNORED = {"pose_embedding", "camera_rotation", "camera_translation", "camera_center", "gender"}

_MOST_BYTES = 1 << 25  # of a fit or contact file; published ones have up to 1 MB
_LARGEST_M, _FARTHEST_M = 10.0, 1000.0  # a body, and its place in any of the frames it is given in


@lru_cache(maxsize=4)
def _model(path: Path) -> BodyModel:
    return load_clean(path)


@lru_cache(maxsize=1)
def _transfer(path: Path) -> sp.csr_matrix:
    return load_transfer(path)


def _vectors(path: Path, content: Any) -> dict[str, Array]:
    """Parameters as float64 vectors under their usual names; ``beta`` is an alias of ``betas``."""
    if not isinstance(content, dict):
        raise RawDataError(f"{path}: expected a dict of body parameters, found {type(content).__name__}")
    named = {("betas" if key == "beta" else str(key)): value for key, value in content.items()}
    unknown = sorted(set(named) - set(_SMPLX) - _IGNORED)
    if unknown:
        raise RawDataError(f"{path}: unknown body parameters {unknown}; allowed: {sorted({*_SMPLX, *_IGNORED})}")
    return {key: _numbers(path, key, named[key]).astype(np.float64).ravel() for key in _SMPLX if key in named}


def _numbers(path: Path, key: str, value: Any) -> NDArray[Any]:
    try:
        array = to_array(value)
    except (TypeError, ValueError, OverflowError) as problem:  # lists of unequal lengths, of text
        raise RawDataError(f"{path}: '{key}' is no array of numbers ({problem}); fetch the file again") from None
    if array.dtype.kind not in "biuf":
        found = f"{type(value).__name__} of {array.dtype}"
        raise RawDataError(f"{path}: '{key}' must hold real numbers, found {found}; fetch the file again")
    return array


def read_params(path: Path, *, nan_rule: str | None = None) -> tuple[str, BodyParams]:
    """Read body parameters; keys and sizes decide the schema, never the folder's name.

    Args:
        path: pickle of the publisher.
        nan_rule: drop rule for fits with NaN, where the publisher is known to ship some.

    Returns:
        Model kind (smplx | smplh) and the parameters.

    Raises:
        RawDataError: on unknown keys, missing keys, other sizes, or NaN.
        BodyUnusableError: on NaN, if ``nan_rule`` is given.
    """
    vectors = _vectors(path, load_pickle(path, most_bytes=_MOST_BYTES))
    kind = "smplh" if "left_hand_pose" in vectors and vectors["left_hand_pose"].size == 45 else "smplx"
    sizes: dict[str, Any] = _SMPLH if kind == "smplh" else _SMPLX
    missing = [key for key in sizes if key not in vectors]
    if missing:
        raise RawDataError(f"{path}: lacks {missing} of the {kind} parameters; found {sorted(vectors)}")
    for key, size in sizes.items():
        found = vectors[key].size
        if found not in (size if isinstance(size, tuple) else (size,)):
            raise RawDataError(f"{path}: '{key}' has {found} numbers, {kind} parameters of this dataset have {size}")
    broken = [key for key in sizes if not np.isfinite(vectors[key]).all()]
    if broken:
        message = f"{path}: NaN or infinite values in {broken}; fetch the file again"
        raise BodyUnusableError(nan_rule, message) if nan_rule else RawDataError(message)
    return kind, BodyParams(**{key: vectors[key] for key in sizes})


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


def smpl_vertices_of_params(path: Path, bodies: Path, gender: str, *, nan_rule: str | None = None) -> Array:
    """Evaluate a parameter pickle to [6890, 3]; metres, the frame of the parameters.

    Raises:
        RawDataError: as :func:`read_params`.
        BodyModelError: if the model for this kind and gender is not there: that concerns more than one file.
    """
    kind, params = read_params(path, nan_rule=nan_rule)
    model_file = clean_path(bodies, kind, gender)
    if not model_file.is_file():
        raise BodyModelError(
            f"{path}: holds {kind.upper()} parameters of a {gender} body, but {model_file} is not there; add the "
            f"{kind.upper()} model to bodies.raw and run: dvc repro bodies"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # of wild parameters; reported below
        vertices = pose_body(_model(model_file), params)
    _check_size(path, vertices)
    return vertices if len(vertices) == NUM_VERTICES else to_smpl_vertices(_transfer(bodies / TRANSFER_FILE), vertices)


def _check_size(path: Path, vertices: Array) -> None:
    """A few flipped bits make a body as large as the Earth, which the rules for images would take for one out of view.

    Raises:
        RawDataError: if it is larger, or farther from the frame's origin, than any body.
    """
    columns = np.ascontiguousarray(vertices.T)  # several times faster to search than [n, 3]
    low, high = columns.min(axis=1), columns.max(axis=1)
    size, far = float((high - low).max()), float(np.maximum(-low, high).max())
    if not (size <= _LARGEST_M and far <= _FARTHEST_M):
        raise RawDataError(
            f"{path}: gives a body {size:.3g} m large, up to {far:.3g} m from the origin; allowed: {_LARGEST_M:g} m "
            f"and {_FARTHEST_M:g} m; fetch it again"
        )


def read_contact(path: Path) -> NDArray[np.bool_]:
    """``contact`` of a RICH human-scene-contact pickle: one label per SMPL vertex, [6890].

    Raises:
        RawDataError: if the key is missing, has another length, or holds anything but 0 and 1.
    """
    content = load_pickle(path, most_bytes=_MOST_BYTES)
    if not isinstance(content, dict) or "contact" not in content:
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise RawDataError(f"{path}: expected a dict with 'contact', found {found}")
    labels = _numbers(path, "contact", content["contact"])
    if labels.shape != (NUM_VERTICES,) or labels.dtype.kind not in "biuf" or not _is_binary(labels):
        found = f"{labels.dtype} {labels.shape}"
        raise RawDataError(f"{path}: 'contact' must be {NUM_VERTICES} zeros and ones, found {found}")
    return labels.astype(bool)


def _is_binary(labels: NDArray[Any]) -> bool:
    return bool(((labels == 0) | (labels == 1)).all())
