"""Write the made-up body models in the publishers' containers, with their names and quirks."""

import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.bodies.family import BodyFamily
from sahmr.demo.bodies.tables import PART_NAMES
from sahmr.demo.publishers.containers import put

OLD_PICKLE_NAME = "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
# What the publishers' old pickles hold as chumpy objects.
_CHUMPY_KEYS = ("shapedirs", "posedirs", "v_template", "weights")


def write_body_models(root: Path, family: BodyFamily) -> None:
    """Write every model and side table under ``root``; same family, same bytes.

    Gives ``models/{smpl,smplh,smplx}/``, ``models/model_transfer/smplx2smplh_deftrafo_setup.pkl``, the chumpy-style
    ``basicModel_neutral_lbs_10_207_0_v1.0.0.pkl``, ``J_regressor_h36m_correct.npy``, ``mesh_downsampling.npz`` and
    ``seg_part_info.npy``. ``smplx.create(root / "models", ...)`` reads the models.
    """
    for (kind, gender), arrays in family.models.items():
        stem = root / "models" / kind / f"{kind.upper()}_{gender.upper()}"
        if kind == "smplx":
            put(stem.with_suffix(".npz"), _npz(arrays))
        else:
            put(stem.with_suffix(".pkl"), pickle.dumps(arrays, protocol=2))
    transfer = pickle.dumps({"mtx": family.transfer}, protocol=2)
    put(root / "models" / "model_transfer" / "smplx2smplh_deftrafo_setup.pkl", transfer)
    put(root / OLD_PICKLE_NAME, _old_pickle(family.models["smpl", "neutral"]))
    put(root / "J_regressor_h36m_correct.npy", _npy(family.h36m_regressor))
    put(root / "mesh_downsampling.npz", _downsampling(family))
    put(root / "seg_part_info.npy", _pickled_npy(_part_table(family)))


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _pickled_npy(content: dict[str, Any]) -> bytes:
    """An ``.npy`` of one object, as ``np.save`` writes a dict: header, then a pickle."""
    array = np.array(content, dtype=object)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(array))
    return buffer.getvalue() + pickle.dumps(array, protocol=4)


def _part_table(family: BodyFamily) -> dict[str, Any]:
    return {
        "predefined_segparts": np.array(PART_NAMES),
        "verts6890_pids": family.parts,
        "verts431_pids": family.parts[family.hierarchy.coarse()],
    }


def _objects(items: Any) -> NDArray[np.object_]:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


@contextmanager
def _borrowed_class(module: str, name: str) -> Iterator[type]:
    """A class that pickles as ``module.name`` although that module need not exist; gone afterwards."""
    stub = type(name, (), {"__module__": module})
    parents = [".".join(module.split(".")[: end + 1]) for end in range(module.count(".") + 1)]
    added = [parent for parent in parents if parent not in sys.modules]
    sys.modules.update({parent: ModuleType(parent) for parent in added})
    home = sys.modules[module]
    before = home.__dict__.get(name)
    setattr(home, name, stub)
    try:
        yield stub
    finally:
        delattr(home, name)
        if before is not None:
            setattr(home, name, before)
        for parent in added:
            del sys.modules[parent]


def _old_pickle(arrays: dict[str, Any]) -> bytes:
    """SMPL as the old releases hold it: chumpy objects, and module paths of numpy and scipy before their moves."""
    with _borrowed_class("chumpy.ch", "Ch") as chumpy_array:
        content = dict(arrays)
        for key in _CHUMPY_KEYS:
            wrapped = chumpy_array()
            wrapped.__dict__ = {"x": np.asarray(arrays[key], dtype=np.float64), "_dirty_vars": set(), "_itr": None}
            content[key] = wrapped
        raw = pickle.dumps(content, protocol=2)
    # GLOBAL opcodes are plain text lines in protocol 2, so renaming a module cannot shift anything.
    raw = raw.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    return raw.replace(b"cscipy.sparse._csc\ncsc_matrix\n", b"cscipy.sparse.csc\ncsc_matrix\n")


def _downsampling(family: BodyFamily) -> bytes:
    """``mesh_downsampling.npz``; its key M holds objects of a class that exists in no reader's process."""
    hierarchy = family.hierarchy
    with _borrowed_class("__main__", "MyMesh") as mesh_class:
        meshes = []
        for vertices, faces in zip(hierarchy.vertices, hierarchy.faces, strict=True):
            mesh = mesh_class()
            mesh.__dict__ = {"v": vertices, "f": faces}
            meshes.append(mesh)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            A=_objects(hierarchy.adjacency),
            U=_objects(hierarchy.upsample),
            D=_objects(hierarchy.downsample),
            F=_objects(hierarchy.faces),
            M=_objects(meshes),
        )
    return buffer.getvalue()
