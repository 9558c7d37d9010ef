"""Body models of the SMPL family as plain arrays: read the official files, check them, write and read clean ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.errors import BodyModelError
from sahmr.npz import load_npz, save_npz
from sahmr.untrusted.arrays import to_array
from sahmr.untrusted.pickles import load_npz_member, load_pickle, npz_keys

Array = NDArray[np.float64]

# (vertices, faces, joints) of the published models; formats e.1.
SIZES = {"smpl": (6890, 13776, 24), "smplh": (6890, 13776, 52), "smplx": (10475, 20908, 55)}
SMPL_FILE = "SMPL_NEUTRAL.npz"  # what predictions are fitted with; no raw dataset has bodies of this kind
NUM_EXPRESSION = 10  # what RICH and PROX store
FULL_SHAPE_SPACE = 300  # SMPL-X files carry 300 shape directions and then 100 of expression, or 10 and 10
_BODY_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_HAND_KEYS = ("hands_componentsl", "hands_componentsr", "hands_meanl", "hands_meanr")
# Kept in clean files, unused here: the `smplx` package wants them to open the file.
_LANDMARK_KEYS = ("lmk_faces_idx", "lmk_bary_coords", "dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BodyModel:
    """One model of one gender; metres, body frame of the family (y up, facing +z).

    Attributes:
        kind: smpl | smplh | smplx.
        v_template: [V, 3] rest vertices.
        shape_dirs: [V, 3, betas] change per unit of shape, then of expression (``num_betas`` says where it starts).
        pose_dirs: [(joints - 1) * 9, V * 3] float32, change per entry of (rotation - identity).
        joint_regressor: sparse [joints, V].
        weights: sparse [V, joints] skinning weights.
        parents: [joints]; -1 for the root.
        faces: [F, 3].
        hand_components, hand_means: left and right, [45, 45] and [45]; None for SMPL.
        num_betas: shape directions in ``shape_dirs``.
    """

    kind: str
    v_template: Array
    shape_dirs: Array
    pose_dirs: NDArray[np.float32]
    joint_regressor: sp.csr_matrix
    weights: sp.csr_matrix
    parents: NDArray[np.int64]
    faces: NDArray[np.int64]
    hand_components: tuple[Array, Array] | None
    hand_means: tuple[Array, Array] | None
    num_betas: int


def read_official(path: Path, kind: str, *, num_betas: int) -> dict[str, NDArray[Any]]:
    """Read a publisher's ``.pkl`` or ``.npz``, check it, and keep what a clean file holds.

    Args:
        path: the file.
        kind: smpl | smplh | smplx, whatever the file claims.
        num_betas: shape directions to keep.

    Returns:
        Official key name -> plain array, ready for :func:`write_clean`.

    Raises:
        BodyModelError: on a missing or damaged file, a missing key, a wrong shape, a non-finite number.
    """
    wanted = _BODY_KEYS + (_HAND_KEYS if kind != "smpl" else ()) + (_LANDMARK_KEYS if kind == "smplx" else ())
    if path.suffix == ".npz":
        present = set(npz_keys(path, error=BodyModelError))
        raw = {key: load_npz_member(path, key, error=BodyModelError) for key in wanted if key in present}
    else:
        content = load_pickle(path, error=BodyModelError)
        if not isinstance(content, dict):
            raise BodyModelError(f"{path}: expected a dict of arrays, found {type(content).__name__}")
        present = set(content)
        raw = {key: content[key] for key in wanted if key in content}
    missing = [key for key in wanted if key not in raw and not key.startswith("dynamic_")]
    if missing:
        raise BodyModelError(f"{path}: lacks {missing}, found {sorted(map(str, present))}; is it a {kind} model?")
    arrays = {key: _to_array(path, key, value) for key, value in raw.items()}
    arrays["shapedirs"] = _cut_shape_space(path, kind, arrays["shapedirs"], num_betas)
    arrays["posedirs"] = arrays["posedirs"].astype(np.float32)
    check_arrays(path, kind, arrays, num_betas)
    return arrays


def _to_array(path: Path, key: str, value: Any) -> NDArray[Any]:
    try:
        return to_array(value)
    except (TypeError, ValueError, OverflowError) as problem:
        raise BodyModelError(f"{path}: '{key}' is no array of numbers ({problem}); fetch the file again") from None


def _cut_shape_space(path: Path, kind: str, shapedirs: NDArray[Any], num_betas: int) -> NDArray[Any]:
    """First ``num_betas`` shape directions; SMPL-X: followed by the first 10 of expression."""
    if shapedirs.ndim != 3:
        raise BodyModelError(f"{path}: 'shapedirs' has shape {shapedirs.shape}, expected [vertices, 3, directions]")
    total = shapedirs.shape[2]
    start = total if kind != "smplx" else (FULL_SHAPE_SPACE if total > FULL_SHAPE_SPACE else total - NUM_EXPRESSION)
    if num_betas > start:
        raise BodyModelError(f"{path}: has {start} shape directions, bodies.num_betas asks for {num_betas}")
    if kind != "smplx":
        return np.ascontiguousarray(shapedirs[:, :, :num_betas], dtype=np.float64)
    kept = (shapedirs[:, :, :num_betas], shapedirs[:, :, start : start + NUM_EXPRESSION])
    return np.concatenate(kept, axis=2, dtype=np.float64)


def check_arrays(path: Path, kind: str, arrays: Mapping[str, NDArray[Any]], num_betas: int) -> None:
    """Compare every array with what the kind of model must have.

    Raises:
        BodyModelError: naming the file, the key, what was found and what is allowed.
    """
    vertices, faces, joints = SIZES[kind]
    directions = num_betas + (NUM_EXPRESSION if kind == "smplx" else 0)
    shapes = {
        "v_template": (vertices, 3), "shapedirs": (vertices, 3, directions),
        "posedirs": (vertices, 3, (joints - 1) * 9),
        "J_regressor": (joints, vertices), "weights": (vertices, joints), "kintree_table": (2, joints), "f": (faces, 3),
        "hands_componentsl": (45, 45), "hands_componentsr": (45, 45), "hands_meanl": (45,), "hands_meanr": (45,),
    }  # fmt: skip
    for key, array in arrays.items():
        if key in shapes and array.shape != shapes[key]:
            raise BodyModelError(f"{path}: '{key}' has shape {array.shape}, a {kind} model has {shapes[key]}")
        if array.dtype.kind not in "fiu":
            raise BodyModelError(f"{path}: '{key}' holds {array.dtype}, expected numbers")
        if not np.isfinite(array).all():
            raise BodyModelError(f"{path}: '{key}' holds NaN or infinite values; fetch the file again")
    if arrays["f"].max() >= vertices or arrays["f"].min() < 0:
        raise BodyModelError(f"{path}: 'f' names vertex {arrays['f'].max()}, there are {vertices}")
    for key in ("weights", "J_regressor"):
        worst = float(np.abs(arrays[key].sum(axis=1) - 1.0).max())
        if worst > 1e-2:
            raise BodyModelError(f"{path}: rows of '{key}' must sum to 1, one is off by {worst:.3g}")
    parents = arrays["kintree_table"][0].astype(np.int64)
    if not (parents[1:] < np.arange(1, joints)).all() or (parents[1:] < 0).any():
        raise BodyModelError(f"{path}: 'kintree_table' names a parent that comes after its child")


def write_clean(path: Path, kind: str, arrays: Mapping[str, NDArray[Any]], num_betas: int) -> None:
    """Write a clean ``.npz`` under the official key names; no pickles, equal input gives equal bytes.

    A SMPL-X file with 10 betas opens with ``smplx.create`` too.
    """
    content = {key: np.ascontiguousarray(arrays[key]) for key in sorted(arrays)}
    content["num_betas"], content["kind"] = np.asarray(num_betas), np.asarray(kind)
    save_npz(path, content)


def load_clean(path: Path) -> BodyModel:
    """Read a file of the stage ``bodies``.

    Raises:
        BodyModelError: if it is missing or not such a file.
    """
    arrays = load_npz(path, {*_BODY_KEYS, "kind", "num_betas"})
    return body_model(arrays, str(arrays["kind"]), int(arrays["num_betas"]))


def body_model(arrays: Mapping[str, NDArray[Any]], kind: str, num_betas: int) -> BodyModel:
    """Arrays under official key names to a :class:`BodyModel`."""
    vertices, _, joints = SIZES[kind]
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1  # stored as 2**32 - 1
    with_hands = kind != "smpl"
    return BodyModel(
        kind=kind,
        v_template=arrays["v_template"].astype(np.float64),
        shape_dirs=arrays["shapedirs"].astype(np.float64),
        pose_dirs=np.ascontiguousarray(arrays["posedirs"].reshape(vertices * 3, (joints - 1) * 9).T, dtype=np.float32),
        joint_regressor=sp.csr_matrix(arrays["J_regressor"].astype(np.float64)),
        weights=sp.csr_matrix(arrays["weights"].astype(np.float64)),
        parents=parents,
        faces=arrays["f"].astype(np.int64),
        hand_components=_pair(arrays, "hands_components") if with_hands else None,
        hand_means=_pair(arrays, "hands_mean") if with_hands else None,
        num_betas=num_betas,
    )


def _pair(arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[Array, Array]:
    return arrays[f"{name}l"].astype(np.float64), arrays[f"{name}r"].astype(np.float64)


def clean_path(folder: Path, kind: str, gender: str) -> Path:
    """Where the stage ``bodies`` keeps a model: ``SMPLX_MALE.npz`` and so on."""
    return folder / f"{kind.upper()}_{gender.upper()}.npz"
