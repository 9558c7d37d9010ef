"""The made-up body family: counts, closed surfaces, files as the publishers ship them, read by ``smplx``."""

import hashlib
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
import torch

from sahmr.demo.bodies.family import BodyFamily, build_body_models
from sahmr.demo.bodies.files import OLD_PICKLE_NAME, write_body_models
from sahmr.demo.bodies.mesh import REGIONS, region_labels
from sahmr.demo.bodies.remesh import check_closed
from sahmr.demo.bodies.rig import BODY_JOINTS, skin_weights
from sahmr.demo.people.pose import POSE_KINDS, WORLD_FROM_BODY, sample_pose, yaw_rotation


@pytest.fixture(scope="module")
def family(body_family: BodyFamily) -> BodyFamily:
    return body_family


@pytest.fixture(scope="module")
def root(family: BodyFamily, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bodies")
    write_body_models(folder, family)
    return folder


def _create(root: Path, kind: str, **options: Any) -> torch.nn.Module:
    extension = "npz" if kind == "smplx" else "pkl"
    return smplx.create(str(root / "models"), model_type=kind, gender="male", ext=extension, num_betas=10, **options)


def test_shapes_are_the_publishers(family: BodyFamily) -> None:
    expected = {"smpl": (6890, 13776, 24, 10), "smplh": (6890, 13776, 52, 10), "smplx": (10475, 20908, 55, 20)}
    assert len(family.models) == 8
    for (kind, _), arrays in family.models.items():
        vertices, faces, joints, directions = expected[kind]
        assert arrays["v_template"].shape == (vertices, 3)
        assert arrays["f"].shape == (faces, 3)
        assert arrays["J_regressor"].shape == (joints, vertices)
        assert arrays["weights"].shape == (vertices, joints)
        assert arrays["posedirs"].shape == (vertices, 3, 9 * (joints - 1))
        assert arrays["shapedirs"].shape == (vertices, 3, directions)
        assert arrays["kintree_table"][0, 0] == 2**32 - 1


def test_smpl_is_closed_and_smplx_uses_every_vertex(family: BodyFamily) -> None:
    check_closed(family.models["smpl", "neutral"]["f"].astype(np.int64))
    assert np.unique(family.models["smplx", "neutral"]["f"]).size == 10475


def test_faces_look_outwards(family: BodyFamily) -> None:
    arrays = family.models["smpl", "neutral"]
    corners = arrays["v_template"][arrays["f"]]
    volume = np.einsum("fk,fk->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.055 < volume < 0.080  # cubic metres: a person of 55 to 80 kg


def test_people_have_human_heights(family: BodyFamily) -> None:
    height = {sex: np.ptp(family.models["smplx", sex]["v_template"][:, 1]) for sex in ("female", "neutral", "male")}
    assert 1.60 < height["female"] < height["neutral"] < height["male"] < 1.85
    size = family.models["smpl", "neutral"]["shapedirs"][:, 1, 0]
    assert np.ptp(size) == pytest.approx(0.06, abs=0.01)


def test_weights_and_regressors(family: BodyFamily) -> None:
    for arrays in family.models.values():
        assert arrays["weights"].min() >= 0
        np.testing.assert_allclose(arrays["weights"].sum(1), 1, atol=1e-12)
        np.testing.assert_allclose(np.asarray(arrays["J_regressor"].sum(1)).ravel(), 1, atol=1e-9)
    neutral = family.models["smpl", "neutral"]
    np.testing.assert_allclose(neutral["J_regressor"] @ neutral["v_template"], BODY_JOINTS, atol=1e-9)


def test_weights_of_hand_computed_places() -> None:
    places = np.array([[0.55, 0.22, 0.0], [0.10, -0.90, 0.0], [0.0, 0.50, 0.05]])  # left forearm, left calf, skull
    np.testing.assert_allclose(skin_weights(places, "smpl")[[0, 1, 2], [18, 4, 15]], 1.0, atol=1e-6)


def test_h36m_regressor(family: BodyFamily) -> None:
    regressor = family.h36m_regressor
    assert regressor.shape == (17, 6890) and regressor.dtype == np.float64
    entries = (regressor != 0).sum(1)
    assert entries.min() >= 4 and entries.max() <= 9
    assert regressor.sum(1).min() >= 0.9996 and regressor.sum(1).max() <= 1.0
    joints = regressor @ family.models["smpl", "neutral"]["v_template"]
    np.testing.assert_allclose(joints[[3, 6, 13, 16]], BODY_JOINTS[[8, 7, 20, 21]], atol=2e-3)


def test_hierarchy_selects_vertices(family: BodyFamily) -> None:
    hierarchy = family.hierarchy
    assert [a.shape[0] for a in hierarchy.adjacency] == [6890, 1723, 431]
    assert [a.nnz for a in hierarchy.adjacency] == [41328, 10326, 2574]
    assert [len(f) for f in hierarchy.faces] == [13776, 3442, 858]
    for down in hierarchy.downsample:
        assert (down.data == 1).all() and (down.sum(1) == 1).all() and (down.sum(0) <= 1).all()
    for up in hierarchy.upsample:
        assert (np.diff(up.tocsr().indptr) == 3).all()
    template = family.models["smpl", "neutral"]["v_template"]
    coarse = hierarchy.downsample[1] @ (hierarchy.downsample[0] @ template)
    np.testing.assert_array_equal(coarse, template[hierarchy.coarse()])


def test_parts_exist_at_every_level(family: BodyFamily, root: Path) -> None:
    table = np.load(root / "seg_part_info.npy", allow_pickle=True).item()
    assert table["verts6890_pids"].dtype == np.float64
    assert len(table["predefined_segparts"]) == 8
    np.testing.assert_array_equal(table["verts431_pids"], table["verts6890_pids"][family.hierarchy.coarse()])
    assert np.bincount(table["verts431_pids"].astype(int), minlength=8).min() >= 3
    left = family.models["smpl", "neutral"]["v_template"][:, 0] > 0
    assert left[np.isin(family.parts, (1, 3))].all() and not left[np.isin(family.parts, (2, 4))].any()


def test_regions_cover_clothes(family: BodyFamily) -> None:
    for kind in ("smpl", "smplx"):
        labels = region_labels(family.models[kind, "neutral"]["v_template"])
        assert np.unique(labels).size == len(REGIONS)


@pytest.mark.parametrize("pose", ["stand", "sit"])
def test_smplx_package_reads_all_kinds_and_transfer_holds(family: BodyFamily, root: Path, pose: str) -> None:
    sample = sample_pose(pose, np.random.default_rng(1))
    body_pose = torch.tensor(sample.body_pose[None], dtype=torch.float32)
    betas = torch.tensor(np.random.default_rng(2).normal(size=(1, 10)), dtype=torch.float32)
    models = {
        "smplx": _create(root, "smplx", use_pca=False, flat_hand_mean=True),
        "smplh": _create(root, "smplh", use_pca=False, flat_hand_mean=True),
        "smpl": _create(root, "smpl"),
    }
    vertices = {}
    for kind, model in models.items():
        whole = torch.cat([body_pose, torch.zeros(1, 6)], 1) if kind == "smpl" else body_pose
        with torch.no_grad():
            vertices[kind] = model(body_pose=whole, betas=betas).vertices[0].double().numpy()
    assert family.transfer.shape == (6890, 20950)
    moved = family.transfer[:, :10475] @ vertices["smplx"]
    away_mm = 1000 * np.linalg.norm(moved - vertices["smplh"], axis=1)
    assert away_mm.mean() < 1.0 and np.percentile(away_mm, 99) < 3.0
    np.testing.assert_allclose(vertices["smpl"], vertices["smplh"], atol=1e-4)


def test_smplx_landmark_vertices_are_where_their_names_say(root: Path) -> None:
    model = _create(root, "smplx", use_pca=True, num_pca_comps=12, flat_hand_mean=False)
    with torch.no_grad():
        joints = model().joints[0].numpy()
    nose, right_eye, left_eye, left_toe, head = joints[[55, 56, 57, 60, 15]]
    assert nose[2] > head[2] + 0.08
    assert left_eye[0] > 0 > right_eye[0]
    assert left_toe[0] > 0 and left_toe[1] < -1.0


def test_transfer_rows_are_barycentric(root: Path) -> None:
    content = pickle.loads((root / "models/model_transfer/smplx2smplh_deftrafo_setup.pkl").read_bytes())
    matrix = content["mtx"].tocsr()
    assert (np.diff(matrix.indptr) == 3).all() and matrix.data.min() >= 0
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    assert matrix[:, 10475:].nnz == 0


def test_old_pickle_needs_chumpy(root: Path) -> None:
    raw = (root / OLD_PICKLE_NAME).read_bytes()
    assert raw[:2] == b"\x80\x02" and b"cchumpy.ch\nCh\n" in raw
    assert "chumpy" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match="chumpy"):
        pickle.loads(raw, encoding="latin1")


def test_stored_mesh_objects_cannot_be_read_elsewhere(root: Path) -> None:
    code = (
        "import numpy as np, sys\n"
        "stored = np.load(sys.argv[1], allow_pickle=True, encoding='latin1')\n"
        "assert stored['D'][0].shape == (1723, 6890)\n"
        "try:\n    stored['M']\nexcept AttributeError as error:\n    print(error)\n"
    )
    path = str(root / "mesh_downsampling.npz")
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert "MyMesh" in result.stdout


def _assert_same_bytes(folder: Path, root: Path) -> None:
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    assert written
    for path in written:
        twin = root / path.relative_to(folder)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(twin.read_bytes()).digest(), path.name


def test_same_family_same_bytes(family: BodyFamily, root: Path, tmp_path: Path) -> None:
    chosen = {key: family.models[key] for key in (("smpl", "neutral"), ("smplx", "male"))}
    write_body_models(tmp_path, replace(family, models=chosen))
    _assert_same_bytes(tmp_path, root)


@pytest.mark.slow
def test_same_seed_same_bytes(root: Path, tmp_path: Path) -> None:
    write_body_models(tmp_path, build_body_models(7))
    _assert_same_bytes(tmp_path, root)


@pytest.mark.parametrize("kind", POSE_KINDS)
def test_poses_repeat_and_are_finite(kind: str) -> None:
    first, second = (sample_pose(kind, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.body_pose, second.body_pose)
    assert first.body_pose.shape == (63,) and first.left_hand_pose.shape == (12,)
    assert np.isfinite(first.body_pose).all() and np.linalg.norm(first.body_pose.reshape(21, 3), axis=1).max() < 3
    np.testing.assert_allclose(first.root_rotation @ first.root_rotation.T, np.eye(3), atol=1e-9)


def test_body_faces_the_world_x_axis() -> None:
    np.testing.assert_array_equal(WORLD_FROM_BODY @ [0, 0, 1], [1, 0, 0])
    np.testing.assert_array_equal(WORLD_FROM_BODY @ [0, 1, 0], [0, 0, 1])
    np.testing.assert_allclose(yaw_rotation(np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_unknown_pose_is_refused() -> None:
    with pytest.raises(ValueError, match="use one of"):
        sample_pose("fly", np.random.default_rng(0))
