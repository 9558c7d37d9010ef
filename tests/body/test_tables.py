"""Transfer matrix, vertex hierarchy, parts, joints, topology file and file lookup."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sahmr.body.build_topology import read_joint_regressor, template_vertices, write_topology
from sahmr.body.files import check_body_files, find_body_files
from sahmr.body.hierarchy import read_hierarchy
from sahmr.body.joints import H36M_TO_14
from sahmr.body.model import body_model
from sahmr.body.parts import read_parts
from sahmr.body.topology import load_topology
from sahmr.body.transfer import load_transfer, read_transfer, to_smpl_vertices, write_transfer
from sahmr.errors import BodyModelError
from sahmr.losses import FLIPPED_PARTS
from sahmr.npz import load_npz, save_npz
from tests.worlds.bodies import model_arrays, selection, transfer_matrix, write_tables


def write_matrix(path: Path, matrix: sp.spmatrix) -> Path:
    path.write_bytes(pickle.dumps({"mtx": matrix}, protocol=2))
    return path


def test_transfer_keeps_the_vertex_half(tmp_path: Path) -> None:
    raw = transfer_matrix()
    matrix = read_transfer(write_matrix(tmp_path / "t.pkl", raw))
    write_transfer(tmp_path / "t.npz", matrix)
    vertices = np.random.default_rng(0).normal(size=(10475, 3))
    expected = raw[:, :10475] @ vertices
    np.testing.assert_allclose(to_smpl_vertices(load_transfer(tmp_path / "t.npz"), vertices), expected, atol=1e-12)


def test_transfer_commutes_with_translation_or_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match=r"sum to 1, one is off by 0\.5"):
        read_transfer(write_matrix(tmp_path / "t.pkl", transfer_matrix() * 0.5))
    with pytest.raises(BodyModelError, match="has shape"):
        read_transfer(write_matrix(tmp_path / "t.pkl", transfer_matrix()[:, :100]))
    with pytest.raises(BodyModelError, match="10475, 3"):
        to_smpl_vertices(sp.csr_matrix((6890, 10475)), np.zeros((6890, 3)))


def test_hierarchy_composes_the_two_selections(tmp_path: Path) -> None:
    write_tables(tmp_path)
    middle, coarse = read_hierarchy(tmp_path / "mesh_downsampling.npz")
    with np.load(tmp_path / "mesh_downsampling.npz", allow_pickle=True) as archive:
        first, second = archive["D"]
    ids = np.arange(6890.0)
    np.testing.assert_array_equal(middle, first @ ids)
    np.testing.assert_array_equal(coarse, second @ (first @ ids))


def test_a_blending_hierarchy_is_refused(tmp_path: Path) -> None:
    down = np.empty(2, dtype=object)
    down[:] = [selection(1723, 6890, 1) * 0.5, selection(431, 1723, 2)]
    np.savez(tmp_path / "d.npz", D=down)
    with pytest.raises(BodyModelError, match="one vertex per row"):
        read_hierarchy(tmp_path / "d.npz")


def test_flip_swaps_hands_and_feet() -> None:
    names = ["L_Leg", "R_Leg", "L_Hand", "R_Hand", "back", "gluteus", "thighs"]
    flipped = [names[i].replace("L_", "?").replace("R_", "L_").replace("?", "R_") for i in FLIPPED_PARTS]
    assert flipped == names


def test_topology_round_trip(tmp_path: Path) -> None:
    write_tables(tmp_path)
    model = body_model(model_arrays("smpl"), "smpl", 10)
    tables = {
        "regressor": tmp_path / "J_regressor_h36m_correct.npy",
        "downsampling": tmp_path / "mesh_downsampling.npz",
        "parts": tmp_path / "seg_part_info.npy",
    }
    write_topology(tmp_path / "out", model, **tables)
    topology = load_topology(tmp_path / "out")
    regressor = read_joint_regressor(tables["regressor"])
    template = template_vertices(model, regressor)
    joints = regressor @ template
    np.testing.assert_allclose(joints[0], 0, atol=1e-12)
    np.testing.assert_allclose(topology.template_joints, joints[list(H36M_TO_14)], atol=1e-6)
    np.testing.assert_allclose(topology.template_coarse, template[topology.coarse_to_full], atol=1e-6)
    np.testing.assert_array_equal(topology.part_coarse, topology.part_full[topology.coarse_to_full])
    root = (model.joint_regressor @ model.v_template)[0]
    upright = (model.v_template - root) * [1, -1, -1]  # turned by pi about x
    np.testing.assert_allclose(template - template[0], upright - upright[0], atol=1e-9)
    with pytest.raises(BodyModelError, match="dvc repro bodies"):
        load_topology(tmp_path)


def test_parts_of_another_mesh_are_refused(tmp_path: Path) -> None:
    write_tables(tmp_path)
    path = tmp_path / "seg_part_info.npy"
    table = np.load(path, allow_pickle=True).item()
    np.save(path, np.array({**table, "verts431_pids": np.zeros(431)}, dtype=object), allow_pickle=True)
    with pytest.raises(BodyModelError, match="belong to different meshes"):
        write_topology(
            tmp_path,
            body_model(model_arrays("smpl"), "smpl", 10),
            regressor=tmp_path / "J_regressor_h36m_correct.npy",
            downsampling=tmp_path / "mesh_downsampling.npz",
            parts=path,
        )
    np.save(path, np.array({**table, "verts6890_pids": np.full(6890, 9)}, dtype=object), allow_pickle=True)
    with pytest.raises(BodyModelError, match=r"outside 0\.\.7"):
        read_parts(path)


def test_missing_files_are_told_all_at_once(tmp_path: Path) -> None:
    write_tables(tmp_path)
    problems = check_body_files(tmp_path)
    assert len(problems) == 4  # neutral SMPL, transfer, two SMPL-X models
    with pytest.raises(BodyModelError) as caught:
        find_body_files(tmp_path)
    assert all(
        name in str(caught.value) for name in ("basicModel_neutral", "smplx2smplh", "SMPLX_MALE", "SMPLX_FEMALE")
    )
    assert check_body_files(tmp_path / "nowhere") == [
        f"{tmp_path / 'nowhere'}: no such folder; point bodies.raw of params.yaml at the body models"
    ]


def test_models_are_found_in_other_layouts(tmp_path: Path) -> None:
    for name in (
        "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl", "smplx/SMPLX_MALE.pkl", "smplx/SMPLX_FEMALE.npz",
        "model_transfer/smplx2smplh_deftrafo_setup.pkl", "smplh/SMPLH_MALE.pkl",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_tables(tmp_path)
    found = find_body_files(tmp_path)
    assert found.smplx == {"male": tmp_path / "smplx/SMPLX_MALE.pkl", "female": tmp_path / "smplx/SMPLX_FEMALE.npz"}
    assert found.smplh == {"male": tmp_path / "smplh/SMPLH_MALE.pkl"}


def damages(content: bytes) -> list[bytes]:
    """An npz cut short, with one byte of an array flipped, and things that are no npz at all."""
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return [content[:middle], flipped, b"", b"no archive", stream.getvalue()]


@pytest.mark.parametrize("kind", range(5))
def test_damage_to_our_own_files_is_one_error_with_its_remedy(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "t.npz"
    save_npz(path, {"a": np.arange(1000.0)})
    assert load_npz(path, ["a"])["a"][7] == 7
    path.write_bytes(damages(path.read_bytes())[kind])
    with pytest.raises(BodyModelError, match=r"t\.npz: damaged .*dvc repro bodies"):
        load_npz(path, ["a"])


def test_npz_of_another_make_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.array([{}], dtype=object))
    with pytest.raises(BodyModelError, match=r"damaged .*allow_pickle=False"):
        load_npz(tmp_path / "t.npz", ["a"])
    with zipfile.ZipFile(tmp_path / "z.npz", "w") as archive:
        archive.writestr("a.npy", b"no array")
    for wanted in "ab":
        with pytest.raises(BodyModelError, match=r"z\.npz: lacks \['.'\], found \['a'\]; rebuild with: dvc repro"):
            load_npz(tmp_path / "z.npz", wanted)
