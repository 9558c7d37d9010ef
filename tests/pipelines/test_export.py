"""Exported files hold what was predicted, read by the programs they are for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from pipelines import export
from sahmr.body.fit import fit_smpl
from sahmr.body.model import SMPL_FILE, BodyModel, load_clean, read_official, write_clean
from sahmr.body.posed import smpl_tables
from sahmr.body.skinning import BodyParams, pose_body
from sahmr.body.stored import body_columns, camera_to_world
from sahmr.errors import ExportError
from sahmr.export.meshes import gltf_from_frame
from sahmr.files import folder_digest
from sahmr.inference import smpl_columns
from schemas.fields import SchemaError
from schemas.prediction import prediction_table
from schemas.tables_write import write_table
from tests.worlds import small
from tests.worlds.bodies import smplx_package
from tests.worlds.networks import make_topology, write_topology

CAMERAS = np.tile(small.CAMERA_FROM_WORLD, (3, 1, 1))
KEYS = [f"Room_test_{number:05d}" for number in range(6, 9)]


def camera_bodies(model: BodyModel) -> np.ndarray:
    """Three people upright in a camera, float32 as they are stored."""
    draw = np.random.default_rng(0)
    bodies = [
        BodyParams(
            betas=draw.normal(size=10),
            global_orient=np.array([np.pi, 0, 0.1 * number]),
            body_pose=draw.normal(0, 0.2, 69),
            transl=np.array([0.3, 0.2, 3 + number]),
        )
        for number in range(3)
    ]
    return np.stack([pose_body(model, body) for body in bodies]).astype(np.float32)


def write_predictions(path: Path, vertices: np.ndarray, **known: np.ndarray) -> None:
    zeros = {"initial_root": np.zeros((3, 3)), "root": np.zeros((3, 3)), "contact_points": np.zeros((0, 3))}
    counts = {"contact_count": np.zeros(3, dtype=int), "contact_parts": np.zeros(0, dtype=int)}
    table = prediction_table(KEYS, crop_box=np.ones((3, 4)), vertices=vertices, **zeros, **counts, known=known)
    write_table(path, table)


@pytest.fixture(scope="module")
def world(small_world: Path, demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, bodies and three tables: with a fit, without, and without cameras."""
    folder = tmp_path_factory.mktemp("export") / "world"
    for name in ("shards", "scenes"):
        shutil.copytree(small_world / name, folder / name)
    write_topology(folder / "bodies")
    official = demo_root / "body_models" / "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
    write_clean(folder / "bodies" / SMPL_FILE, "smpl", read_official(official, "smpl", num_betas=10), 10)
    model = load_clean(folder / "bodies" / SMPL_FILE)
    vertices = camera_bodies(model)
    fit = smpl_columns(fit_smpl(smpl_tables(model), torch.from_numpy(vertices)))
    tables = folder / "predictions/rich"
    write_predictions(tables / "sahmr.parquet", vertices, camera_from_world=CAMERAS, **fit)
    write_predictions(tables / "unfitted.parquet", vertices, camera_from_world=CAMERAS)
    write_predictions(tables / "old.parquet", vertices)
    return folder


def exported(world: Path, output: Path, **changes: Any) -> Path:
    request = export.Request(
        dataset="rich", predictor="sahmr", key=None, sequence="Room_test", formats=export.FORMATS, frame="world",
        output=output,
    )  # fmt: skip
    export.run(replace(request, **changes), small.paths_of(world))
    return output


def expected(world: Path, frame: str) -> np.ndarray:
    vertices = camera_bodies(load_clean(world / "bodies" / SMPL_FILE))
    if frame == "camera":
        return vertices
    return camera_to_world(CAMERAS, vertices)


def test_what_follows_from_a_body_and_its_camera() -> None:
    """A camera 2 m in front of the world's origin, looking at it, its x the world's -x."""
    camera = np.array([[[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]]])
    vertices, regressor = np.zeros((1, 6890, 3)), np.zeros((17, 6890))
    vertices[0, 7], regressor[3, 7] = (1, 2, 3), 1
    found = body_columns(camera, np.array([[0.5, 0, 1]]), vertices, regressor)
    assert found["root_world"].tolist() == [[[-0.5, 0, 1]]]
    assert found["vertices_world"][0, [0, 7]].tolist() == [[0, 0, 2], [-1, 2, -1]]
    assert found["joints"][0, 3].tolist() == [1, 2, 3]
    assert found["joints_world"][0, 3].tolist() == [-1, 2, -1]
    assert camera_to_world(camera[:0], vertices[:0]).shape == (0, 6890, 3)
    there = camera_to_world(CAMERAS[:1], np.ones((1, 1, 3)))
    back = CAMERAS[0, :3, :3] @ there[0, 0] + CAMERAS[0, :3, 3]
    np.testing.assert_allclose(back, 1, atol=1e-12)


@pytest.mark.parametrize("frame", ["world", "camera"])
def test_trimesh_reads_the_meshes(world: Path, tmp_path: Path, frame: str) -> None:
    folder, faces = exported(world, tmp_path / "out", frame=frame), make_topology().faces.numpy()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{key}.{name}" for key in KEYS for name in ("ply", "obj", "glb")] + ["smpl.npz"]
    )
    for key, vertices in zip(KEYS, expected(world, frame), strict=True):
        for name in ("ply", "obj"):
            mesh = trimesh.load_mesh(folder / f"{key}.{name}", process=False, maintain_order=True)
            np.testing.assert_allclose(mesh.vertices, vertices, atol=2e-7)
            np.testing.assert_array_equal(mesh.faces, faces)
        scene = trimesh.load_scene(folder / f"{key}.glb", process=False)
        np.testing.assert_array_equal(scene.geometry["body"].vertices, vertices.astype(np.float32))
        np.testing.assert_array_equal(scene.geometry["body"].faces, faces)
        turn, _ = scene.graph["body"]
        np.testing.assert_allclose(turn, np.diag([1.0, -1, -1, 1]), atol=1e-3)  # y points down in camera and room
        assert scene.metadata["gltf_from_frame"] == turn.tolist()
        assert (scene.metadata["key"], scene.metadata["frame"]) == (key, frame)


@pytest.mark.parametrize("predictor", ["sahmr", "unfitted"])
@pytest.mark.parametrize("frame", ["world", "camera"])
def test_smplx_poses_the_parameters_again(world: Path, tmp_path: Path, frame: str, predictor: str) -> None:
    folder = exported(world, tmp_path / "out", frame=frame, predictor=predictor, formats=("npz",))
    with np.load(folder / "smpl.npz") as found:
        arrays = dict(found)
    assert arrays["keys"].tolist() == KEYS
    assert [str(arrays[name]) for name in ("model_type", "gender", "frame")] == ["smpl", "neutral", frame]
    assert arrays["residual_mm"].max() < 0.1
    package = smplx_package(load_clean(world / "bodies" / SMPL_FILE), 3)
    names = ("betas", "global_orient", "body_pose", "transl")
    posed = package(**{name: torch.from_numpy(arrays[name]) for name in names})
    np.testing.assert_allclose(posed.vertices.detach(), expected(world, frame), atol=2e-4)
    np.testing.assert_allclose(posed.joints[:, 0].detach(), arrays["root_joint"], atol=1e-5)
    assert np.linalg.norm(arrays["root_joint"] - arrays["transl"], axis=1).min() > 0.1


def turn_of(path: Path) -> np.ndarray:
    scene = trimesh.load_scene(path, process=False)
    return np.array(scene.metadata["gltf_from_frame"])[:3, :3]


def test_the_floor_s_normal_is_up_where_the_scene_is_here(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A floor that leans by 20 degrees, as RICH's do by as much as the first camera; and no scenes at all."""
    lean = np.deg2rad(20)
    up = np.array([0.0, -np.cos(lean), np.sin(lean)])
    monkeypatch.setattr(export, "load_up", lambda store, scene, rough: torch.from_numpy(up))
    folder = exported(world, tmp_path / "leaning", formats=("glb",))
    for key in KEYS:
        np.testing.assert_allclose(turn_of(folder / f"{key}.glb") @ up, [0, 1, 0], atol=1e-12)
    seen = exported(world, tmp_path / "seen", frame="camera", key=KEYS[0], sequence=None, formats=("glb",))
    np.testing.assert_array_equal(turn_of(seen / f"{KEYS[0]}.glb"), np.diag([1, -1, -1]))
    bare = tmp_path / "world"
    shutil.copytree(world, bare, ignore=shutil.ignore_patterns("scenes"))
    kept = exported(bare, tmp_path / "kept", formats=("glb",))
    np.testing.assert_array_equal(turn_of(kept / f"{KEYS[0]}.glb"), np.diag([1, -1, -1]))


def test_one_key_alone_and_equal_bytes(world: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        exported(world, tmp_path / name, key=KEYS[1], sequence=None)
    assert sorted(path.stem for path in (tmp_path / "a").iterdir()) == [*[KEYS[1]] * 3, "smpl"]
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ("ply", "fbx")}, "--format: found 'fbx', allowed ply, obj, glb, npz"),
        (
            {"key": "Room_test_00099"},
            r"--key: found 'Room_test_00099', allowed one of the 3 .*Room_test_.*sahmr\.parquet pr",
        ),
        ({"sequence": "Room_tset"}, r"--sequence: found 'Room_tset', allowed one of the 1 \(such as Room_test\) that"),
        ({"sequence": "Room_train"}, r"found 'Room_train', allowed one of the 1 \(such as Room_test\) that"),
        ({"predictor": "../sahmr"}, r"--predictor: found '\.\./sahmr', allowed a table's name"),
        ({"predictor": "old"}, "the predictions table has no cameras"),
        ({"output": "."}, r"--output: \. is there already"),
    ],
)
def test_what_cannot_be_exported_is_told(world: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    if "output" in changes:
        changes = {"output": Path(changes["output"])}
    with pytest.raises(ExportError, match=message):
        exported(world, **{"output": tmp_path / "out", **changes})
    assert not (tmp_path / "out").exists()


def test_no_predictions_and_a_stage_s_folder(world: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"other\.parquet: no such file; make it with: dvc repro predict"):
        exported(world, tmp_path / "out", predictor="other")
    with pytest.raises(ExportError, match=r"lies in paths\.shards, which is the stages'"):
        exported(world, world / "shards" / "new")


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.6, 0.0, 0.8),
                                (0.028, -0.9996, 0.0)])  # fmt: skip
def test_gltf_s_y_is_up(up: tuple[float, float, float]) -> None:
    up = tuple(np.array(up) / np.linalg.norm(up))
    turn = gltf_from_frame(up)[:3, :3]
    np.testing.assert_allclose(turn @ up, [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(turn) == pytest.approx(1)
