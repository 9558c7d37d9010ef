"""Body models with the published shapes and meaningless content, quick to make."""

from __future__ import annotations

import pickle
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse as sp
import smplx

from sahmr.body.model import SIZES, BodyModel


def _parents(joints: int) -> np.ndarray:
    parents = np.maximum((np.arange(joints) - 1) // 2, 0).astype(np.uint32)
    parents[0] = 2**32 - 1
    return parents


def _one_hot_mix(rng: np.random.Generator, rows: int, columns: int, count: int = 3) -> np.ndarray:
    """Dense rows with a few weights that sum to 1."""
    dense = np.zeros((rows, columns))
    for _ in range(count):
        dense[np.arange(rows), rng.integers(0, columns, rows)] += 1 / count
    return dense


@cache
def model_arrays(kind: str) -> dict[str, Any]:
    """Arrays under the official key names, float64 where the official files have it."""
    vertices, faces, joints = SIZES[kind]
    rng = np.random.default_rng(7)
    rest = rng.uniform(-0.8, 0.8, (vertices, 3))
    pose_basis = rng.normal(0, 2e-3, (joints - 1) * 9)
    arrays: dict[str, Any] = {
        "v_template": rest,
        "shapedirs": rng.normal(0, 0.01, (vertices, 3, 20 if kind == "smplx" else 10)),
        "posedirs": (rest[:, :, None] * pose_basis).astype(np.float32),
        "J_regressor": _one_hot_mix(rng, joints, vertices),
        "weights": _one_hot_mix(rng, vertices, joints),
        "kintree_table": np.stack([_parents(joints), np.arange(joints, dtype=np.uint32)]),
        "f": rng.integers(0, vertices, (faces, 3)).astype(np.uint32),
    }
    if kind != "smpl":
        for side in "lr":
            arrays[f"hands_components{side}"] = np.linalg.qr(rng.normal(size=(45, 45)))[0]
            arrays[f"hands_mean{side}"] = rng.normal(0, 0.2, 45)
    if kind == "smplx":
        arrays |= {"lmk_faces_idx": rng.integers(0, faces, 51), "lmk_bary_coords": np.full((51, 3), 1 / 3)}
    return arrays


def transfer_matrix() -> sp.csc_matrix:
    """[6890, 20950]; the right half is what must be dropped."""
    rng = np.random.default_rng(8)
    rows = np.repeat(np.arange(6890), 3)
    left = sp.csc_matrix((np.full(rows.size, 1 / 3), (rows, rng.integers(0, 10475, rows.size))), shape=(6890, 10475))
    return sp.csc_matrix(sp.hstack([left, sp.identity(10475, format="csr")[:6890]]))


def chumpy_pickle(arrays: dict[str, Any], keys: tuple[str, ...]) -> bytes:
    """A protocol-2 pickle with chumpy objects and numpy's old module names, as Python 2 wrote them."""
    module = ModuleType("chumpy.ch")
    kind = type("Ch", (), {"__module__": "chumpy.ch"})
    module.Ch = kind  # type: ignore[attr-defined]
    sys.modules["chumpy"], sys.modules["chumpy.ch"] = ModuleType("chumpy"), module
    try:
        content = dict(arrays)
        for key in keys:
            content[key] = kind()
            content[key].__dict__ = {"x": arrays[key], "_dirty_vars": set()}
        raw = pickle.dumps(content, protocol=2)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    return raw.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def smplx_package(model: BodyModel, count: int) -> Any:
    """The package's SMPL of our model; it would open a pickle only."""
    arrays = {
        "v_template": model.v_template, "shapedirs": model.shape_dirs, "J_regressor": model.joint_regressor.toarray(),
        "posedirs": model.pose_dirs.T.reshape(6890, 3, 207), "weights": model.weights.toarray(),
        "kintree_table": np.stack([model.parents, np.arange(24)]), "f": model.faces,
    }  # fmt: skip
    return smplx.SMPL("", data_struct=smplx.utils.Struct(**arrays), batch_size=count, num_betas=10)


def selection(rows: int, columns: int, seed: int) -> sp.csc_matrix:
    picked = np.sort(np.random.default_rng(seed).permutation(columns)[:rows])
    return sp.csc_matrix((np.ones(rows), (np.arange(rows), picked)), shape=(rows, columns))


class MyMesh:
    """Stands for the class inside key M that no reader can have."""


def write_tables(root: Path) -> None:
    """``mesh_downsampling.npz``, ``seg_part_info.npy`` and the H36M regressor."""
    root.mkdir(parents=True, exist_ok=True)
    down = np.empty(2, dtype=object)
    down[:] = [selection(1723, 6890, 1), selection(431, 1723, 2)]
    meshes = np.empty(1, dtype=object)
    meshes[0] = MyMesh()
    np.savez(root / "mesh_downsampling.npz", D=down, F=np.zeros(3), M=meshes)
    coarse = down[0].tocsr().indices[down[1].tocsr().indices]
    parts = np.random.default_rng(3).integers(0, 8, 6890).astype(np.float64)
    names = np.array(["default", "L_Leg", "R_Leg", "L_Hand", "R_Hand", "back", "gluteus", "thighs"])
    table = {"predefined_segparts": names, "verts6890_pids": parts, "verts431_pids": parts[coarse]}
    np.save(root / "seg_part_info.npy", np.array(table, dtype=object), allow_pickle=True)
    np.save(root / "J_regressor_h36m_correct.npy", _one_hot_mix(np.random.default_rng(4), 17, 6890))


def write_body_tree(root: Path) -> None:
    """A body-model folder with everything the stage ``bodies`` needs."""
    (root / "models" / "smplx").mkdir(parents=True)
    male = root / "models" / "smplx" / "SMPLX_MALE.npz"
    np.savez(male, **model_arrays("smplx"))
    male.with_name("SMPLX_FEMALE.npz").hardlink_to(male)
    keys = ("shapedirs", "v_template")
    (root / "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl").write_bytes(chumpy_pickle(model_arrays("smpl"), keys))
    folder = root / "models" / "model_transfer"
    folder.mkdir()
    (folder / "smplx2smplh_deftrafo_setup.pkl").write_bytes(pickle.dumps({"mtx": transfer_matrix()}, protocol=2))
    write_tables(root)
