"""The demo trees: layout, planted traps, geometry that agrees with the pictures, determinism."""

import json
import pickle
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image

from sahmr.body.skinning import rotation_matrix
from sahmr.demo.people.models import rotation_vector
from sahmr.demo.people.touching import nearest_surface
from sahmr.demo.pictures.figures import figure, paint_people
from sahmr.demo.pictures.render import paint_background, set_stage
from sahmr.demo.places.captures import camera_view, prox_rooms, rich_captures
from sahmr.demo.places.room import Box, Room, scan_surface
from sahmr.demo.publishers.containers import pickle2
from sahmr.demo.publishers.rich import RichJob, write_rich_view
from sahmr.demo.publishers.rich_plan import INTERVAL, SEQUENCES, TINY, WARMUP_FRAMES, DemoSize, plan_rich
from sahmr.geometry.rays import Caster

Array = NDArray[np.float64]


def load(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return dict(pickle.load(file, encoding="latin1"))


def load_mesh(path: Path) -> trimesh.Trimesh:
    mesh = trimesh.load(path, process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


def matrix(path: Path, name: str) -> Array:
    node = ElementTree.parse(path).getroot().find(name)
    assert node is not None
    rows, columns = int(node.findtext("rows", "")), int(node.findtext("cols", ""))
    return np.array([float(v) for v in node.findtext("data", "").split()]).reshape(rows, columns)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def project(intrinsics: Array, extrinsics: Array, points: Array) -> Array:
    camera = points @ extrinsics[:3, :3].T + extrinsics[:3, 3]
    return np.asarray(camera[:, :2] / camera[:, 2:] @ intrinsics[:2, :2].T + intrinsics[:2, 2])


def rich_images(root: Path) -> list[Path]:
    return sorted((root / "RICH" / "images").glob("*/*/cam_*/*.jpeg"))


def calibration(root: Path, image: Path) -> Path:
    capture = image.parts[-3].split("_")[0]
    camera = int(image.parent.name[4:])
    return root / "RICH" / "scan_calibration" / capture / "calibration" / f"{camera:03d}.xml"


def bodies(root: Path, image: Path) -> list[Path]:
    split, sequence, frame = image.parts[-4], image.parts[-3], image.name[:5]
    return sorted((root / "RICH" / "bodies" / split / sequence / frame).glob("*.ply"))


def test_tables_name_what_is_there(demo_root: Path) -> None:
    for split in ("train", "val", "test"):
        text = (demo_root / "RICH" / "resource" / "meta" / f"{split}.txt").read_text()
        assert not text.endswith("\n")
        header, *rows = [line.split("\t") for line in text.split("\n")]
        assert header[:6] == ["sequence_name", "capture_name", "scan_name", "id", "moving_cam", "gender"]
        assert header[-1] == "view_id" and all(len(row) == len(header) for row in rows)
        for row in rows:
            place = demo_root / "RICH" / "scan_calibration" / row[1]
            assert (place / f"{row[2]}.ply").is_file()
            assert all((place / "calibration" / f"{int(v):03d}.xml").is_file() for v in row[-1].split(","))


def test_train_and_test_share_neither_subjects_nor_scans() -> None:
    train = [s for s in SEQUENCES if s.split == "train"]
    test = [s for s in SEQUENCES if s.split == "test"]
    assert not {p for s in train for p in s.subjects} & {p for s in test for p in s.subjects}
    assert not {(s.capture, s.scan) for s in train} & {(s.capture, s.scan) for s in test}


def test_nearly_all_planned_frames_survive_the_selection_rules() -> None:
    kept = {"train": 0, "val": 0, "test": 0}
    dropped = 0
    for plan in plan_rich(DemoSize()):
        for moment in plan.moments:
            split = moment.sequence.split
            good = moment.frame > WARMUP_FRAMES and (moment.frame + plan.camera) % INTERVAL[split] == 0
            if good and not moment.body_hidden:
                kept[split] += len(moment.sequence.subjects)
            else:
                dropped += 1
    assert kept["train"] >= 400 and kept["val"] >= 60 and kept["test"] >= 90 and 4 <= dropped <= 8


def test_camera_0_is_the_world_frame(demo_root: Path) -> None:
    for path in sorted((demo_root / "RICH" / "scan_calibration").glob("*/calibration/*.xml")):
        extrinsics = matrix(path, "CameraMatrix")
        assert np.allclose(extrinsics[:, :3] @ extrinsics[:, :3].T, np.eye(3), atol=1e-12)
        assert (path.stem != "000") or np.array_equal(extrinsics, np.eye(4)[:3])


def test_pictures_fit_their_cameras(demo_root: Path) -> None:
    portrait = 0
    for path in rich_images(demo_root):
        if path.parent.name == "cam_10":
            assert not calibration(demo_root, path).exists()
            continue
        width, height = size(path)
        k = matrix(calibration(demo_root, path), "Intrinsics")
        shift = np.abs(k[:2, 2] - [width / 2, height / 2])
        assert k[0, 0] == k[1, 1] and (shift < 0.06 * max(width, height)).all()
        assert (width, height) in ((257, 188), (188, 257))
        portrait += height > width
    assert portrait > 0


def test_people_are_drawn_where_their_meshes_project(demo_root: Path) -> None:
    """The picture differs from the empty room exactly on the silhouette, within a pixel."""
    capture = rich_captures()[0]
    view = camera_view(capture.cameras[0], 8)
    room = replace(capture.room, boxes=())
    stage = set_stage(room)
    background = paint_background(stage, view)
    body = bodies(demo_root, next(p for p in rich_images(demo_root) if p.parts[-3].startswith("ParkingLot1_002")))[0]
    mesh = load_mesh(body)
    lifted = np.asarray(mesh.vertices) - mesh.vertices.mean(0)
    lifted = lifted @ view.rotation + [0.0, 0.0, 1.6]
    white = figure(lifted, np.asarray(mesh.faces), np.full((len(lifted), 3), 40.0))
    picture = paint_people(stage, view, background, [white])
    rows, columns = np.nonzero(picture.max(2) > 2.0)
    pixels = view.project(lifted)
    assert np.abs(np.array([columns.min(), rows.min()]) - pixels.min(0)).max() < 1.0
    assert np.abs(np.array([columns.max(), rows.max()]) - pixels.max(0)).max() < 1.0


def test_written_bodies_lie_inside_their_pictures(demo_root: Path) -> None:
    outside = 0
    for path in rich_images(demo_root):
        if path.parent.name == "cam_10":
            continue
        k, extrinsics = (matrix(calibration(demo_root, path), name) for name in ("Intrinsics", "CameraMatrix"))
        for body in bodies(demo_root, path):
            pixels = project(k, extrinsics, np.asarray(load_mesh(body).vertices))
            middle = (pixels.min(0) + pixels.max(0)) / 2
            outside += not ((middle >= 0) & (middle < size(path))).all()
    assert outside == 1  # the one planted


def test_parameters_give_the_mesh(demo_root: Path) -> None:
    """The publisher's own library bends the written parameters to the written mesh."""
    body = sorted((demo_root / "RICH" / "bodies" / "train").glob("*/*/*.pkl"))[0]
    values = load(body)
    assert values["pose_embedding"].shape == (1, 32) and values["left_hand_pose"].shape == (1, 12)
    assert all(v.dtype == np.float32 and v.shape[0] == 1 for v in values.values())
    del values["pose_embedding"]
    gender = {1: "male"}[int(body.stem)]
    model = smplx.create(
        str(demo_root / "body_models" / "models"), "smplx", gender=gender, ext="npz", num_betas=10,
        num_expression_coeffs=10, use_pca=True, num_pca_comps=12, flat_hand_mean=False,
    )  # fmt: skip
    made = model(**{name: torch.from_numpy(np.array(v)) for name, v in values.items()}).vertices[0].detach().numpy()
    mesh = load_mesh(body.with_suffix(".ply"))
    assert np.abs(made - mesh.vertices).max() < 1e-4


def test_contact_labels(demo_root: Path) -> None:
    found = {"full": 0, "uncolored": 0}
    rates: list[float] = []
    for path in sorted((demo_root / "RICH" / "human_scene_contact").glob("*/*/*/*.pkl")):
        values = load(path)
        assert values["contact"].shape == (6890,) and set(np.unique(values["contact"])) <= {0.0, 1.0}
        assert values["s2m_dist_id"].shape == (10475, 3) and values["closest_triangles_id"].shape == (10475, 3, 3)
        first = path.with_suffix(".obj").read_text().split("\n", 1)[0].split()
        found["full" if len(first) == 7 else "uncolored"] += 1
        rates.append(values["contact"].mean())
    total = len(list((demo_root / "RICH" / "bodies").glob("*/*/*/*.pkl")))
    assert found["uncolored"] == 1 and sum(found.values()) == total - 1
    assert 0.01 < np.mean(rates) < 0.15 and min(rates) > 0


def test_contact_vectors_end_on_the_scan(demo_root: Path) -> None:
    contact, plain = (demo_root / "RICH" / name for name in ("human_scene_contact", "bodies"))
    path = sorted((contact / "train").glob("BBQ*/*/*.pkl"))[0]
    body = load_mesh(plain / path.relative_to(contact).with_suffix(".ply"))
    values = load(path)
    near = np.linalg.norm(values["s2m_dist_id"], axis=1) < 0.02
    assert near.any()
    ends = (np.asarray(body.vertices) + values["s2m_dist_id"])[near]
    corners = values["closest_triangles_id"][near].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    off_plane = np.abs(((ends - corners[:, 0]) * normal).sum(1))
    assert np.quantile(off_plane, 0.9) < 1e-4
    assert np.linalg.norm(ends - corners.mean(1), axis=1).max() < TINY.scan_spacing_m


def test_prox_pictures_are_mirrored_and_fits_have_gaps(demo_root: Path) -> None:
    root = demo_root / "PROX"
    fits = sorted((root / "qualitative" / "PROXD").glob("*/results/*/000.pkl"))
    images = sorted((root / "qualitative" / "recordings").glob("*/Color/*.jpg"))
    assert len(images) == len(fits) + 1
    assert sum(bool(np.isnan(load(path)["body_pose"]).any()) for path in fits) == 1


def test_vicon_parameters_agree_with_camera_meshes(demo_root: Path) -> None:
    root = demo_root / "PROX" / "quantitative"
    world_from_vicon = np.array(json.loads((root / "vicon2scene.json").read_text()))
    world_from_camera = np.array(json.loads((root / "cam2world" / "vicon.json").read_text()))
    mesh_file = sorted(root.glob("fittings/mosh/*/meshes/*/000.ply"))[0]
    mesh = load_mesh(mesh_file)
    values = load(mesh_file.parents[2] / "results" / mesh_file.parent.name / "000.pkl")
    model = smplx.create(
        str(demo_root / "body_models" / "models"), "smplx", gender="male", ext="npz", num_betas=10,
        num_expression_coeffs=10, use_pca=True, num_pca_comps=12, flat_hand_mean=False,
    )  # fmt: skip
    vicon = model(**{name: torch.from_numpy(np.array(v)) for name, v in values.items()}).vertices[0].detach().numpy()
    there = vicon @ world_from_vicon[:3, :3].T + world_from_vicon[:3, 3]
    here = np.asarray(mesh.vertices) @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]
    assert np.abs(there - here).max() < 1e-4


def test_distance_field_is_negative_under_the_floor_and_positive_at_the_camera(demo_root: Path) -> None:
    root = demo_root / "PROX" / "quantitative"
    info = json.loads((root / "sdf" / "vicon.json").read_text())
    field = np.load(root / "sdf" / "vicon_sdf.npy")
    assert field.shape == (info["dim"] ** 3,)
    grid = field.reshape((info["dim"],) * 3)
    assert grid[:, :, 0].max() < 0 < grid[:, :, -1].min()


def test_nearest_surface_by_hand() -> None:
    room = Room(name="r", boxes=(Box(center=(1.0, 0.0, 0.5), half=(0.5, 0.5, 0.5)),), spots=())
    found = nearest_surface(room, np.array([[0.0, 0.0, 0.6], [1.0, 0.0, 1.3], [1.0, 0.1, 0.95], [-2.0, 0.0, 0.2]]))
    assert np.allclose(found.offset, [[0.5, 0, 0], [0, 0, -0.3], [0, 0, 0.05], [0, 0, -0.2]])
    assert np.allclose(found.normal, [[-1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize("room", [*(c.room for c in rich_captures()), *(room for room, _ in prox_rooms().values())])
def test_scans_are_open_and_agree_with_the_room(room: Room) -> None:
    scan = scan_surface(room, 0.1)
    corners = scan.vertices[scan.faces]
    assert np.abs(room.distance(corners.mean(1))).max() < 1e-9
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1) < 0.15).all()
    assert not (normal[:, 2] < -1e-9).any()  # no undersides


def test_python_2_pickles_are_what_numpy_reads() -> None:
    given: dict[str, NDArray[Any]] = {
        "a": np.arange(3, dtype=np.float32)[None],
        "b": np.ones((2, 3, 3)),
        "c": np.arange(4, dtype=np.uint8),
    }
    back = pickle.loads(pickle2(given), encoding="latin1")
    assert list(back) == list(given)
    for name, value in given.items():
        assert back[name].dtype == value.dtype and np.array_equal(back[name], value)


def test_rotation_vectors_round_trip() -> None:
    rng = np.random.default_rng(0)
    vectors: Sequence[Array] = [*rng.normal(0, 1, (20, 3)), np.zeros(3), np.array([0.0, 3.1415, 0.0])]
    for vector in vectors:
        turn = rotation_matrix(vector)
        assert np.allclose(rotation_matrix(rotation_vector(turn)), turn, atol=1e-9)


def test_caster_counts_faces_as_given() -> None:
    box = trimesh.creation.box()
    length, face, uv = Caster(np.asarray(box.vertices), np.asarray(box.faces)).first(
        np.array([0.1, 0.2, 5.0]), np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    )
    assert np.isclose(length[0], 4.5) and np.isinf(length[1]) and face[1] == -1
    assert np.allclose(box.face_normals[face[0]], [0, 0, 1]) and (uv[0] >= 0).all()


def test_same_bytes_again_in_another_process_or_order(demo_root: Path, tmp_path: Path) -> None:
    """One camera again, in threads beside others: not a byte moves."""
    plan = next(p for p in plan_rich(TINY) if p.capture.name == "Gym" and p.camera == 1)
    models = demo_root / "body_models" / "models"
    jobs = [
        RichJob(root=tmp_path / str(k), models=models, plan=plan, divisor=16, seed=7, size=TINY, with_scan=False)
        for k in range(2)
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_rich_view, jobs))
    for job in jobs:
        for path in sorted(p for p in job.root.rglob("*") if p.is_file()):
            first = demo_root / "RICH" / path.relative_to(job.root)
            assert sha256(path.read_bytes()).digest() == sha256(first.read_bytes()).digest(), path
