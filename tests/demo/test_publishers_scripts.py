"""The demo in the hands of the publishers' own scripts: what those open, call and draw, from the fact sheets."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import smplx
import torch
from numpy.typing import NDArray

from sahmr.body.files import find_body_files
from sahmr.body.model import clean_path, read_official, write_clean
from sahmr.body.transfer import TRANSFER_FILE, read_transfer, write_transfer
from sahmr.readers.prox import ProxReader
from sahmr.readers.registry import open_reader
from sahmr.untrusted.meshes import read_ply
from schemas.frame import FrameRecord

SMPLX_KEYS = {
    "betas": 10, "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12,
    "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10,
}  # fmt: skip
EXTRA = {"pose_embedding", "camera_rotation", "camera_translation"}  # the scripts drop them
# Written by Python 3 and opened without an encoding; a reader that gives latin1 sees the same.
PLAIN = ("RICH/bodies/*/*/*/*.pkl", "RICH/human_scene_contact/*/*/*/*.pkl", "PROX/qualitative/PROXD/*/results/*/*.pkl")
# Written by Python 2: latin1 or nothing.
OLD = ("PROX/quantitative/fittings/mosh/*/results/*/*.pkl", "body_models/basicModel*.pkl")


def files(root: Path, pattern: str) -> list[Path]:
    found = sorted(root.glob(pattern))
    assert found, pattern
    return found


def plain_load(path: Path, **how: Any) -> dict[str, Any]:
    with path.open("rb") as file:
        return dict(pickle.load(file, **how))


@pytest.mark.parametrize("pattern", PLAIN)
def test_pickles_of_python_3_open_with_and_without_an_encoding(demo_root: Path, pattern: str) -> None:
    for path in files(demo_root, pattern):
        values, again = plain_load(path), plain_load(path, encoding="latin1")
        assert list(values) == list(again) and all(type(key) is str for key in values), path
        for key, value in values.items():
            assert value.dtype == again[key].dtype and value.tobytes() == again[key].tobytes(), (path, key)


@pytest.mark.parametrize("pattern", OLD)
def test_pickles_of_python_2_keep_their_trap(demo_root: Path, pattern: str) -> None:
    for path in files(demo_root, pattern):
        with pytest.raises((UnicodeDecodeError, ModuleNotFoundError)):
            plain_load(path)
        if "mosh" in pattern:
            assert set(plain_load(path, encoding="latin1")) == set(SMPLX_KEYS)


def test_bodies_hold_what_the_scripts_hand_on(demo_root: Path) -> None:
    for pattern in (PLAIN[0], PLAIN[2]):
        for path in files(demo_root, pattern):
            values = plain_load(path)
            assert set(values) - EXTRA == set(SMPLX_KEYS)
            assert {key: values[key].shape for key in SMPLX_KEYS} == {key: (1, n) for key, n in SMPLX_KEYS.items()}
            assert all(value.dtype == np.float32 for value in values.values())


def test_contact_holds_what_the_toolkit_reads(demo_root: Path) -> None:
    for path in files(demo_root, PLAIN[1]):
        values = plain_load(path)
        assert set(values) == {"contact", "s2m_dist_id", "closest_triangles_id"}
        assert values["contact"].shape == (6890,) and set(np.unique(values["contact"])) <= {0, 1}
        assert values["s2m_dist_id"].shape == (10475, 3) and values["s2m_dist_id"].dtype == np.float64
        assert values["closest_triangles_id"].shape == (10475, 3, 3)


def opencv_camera(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """K and [R t] as OpenCV reads its own format."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    assert storage.isOpened()
    try:
        matrices = {name: storage.getNode(name).mat() for name in ("Intrinsics", "CameraMatrix", "Distortion")}
    finally:
        storage.release()
    assert [matrices[name].shape for name in matrices] == [(3, 3), (3, 4), (2, 1)]
    assert not matrices["Distortion"].any()
    return matrices["Intrinsics"], matrices["CameraMatrix"]


@pytest.fixture(scope="module")
def clean(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of the stage ``bodies`` the readers need."""
    folder, found = tmp_path_factory.mktemp("bodies"), find_body_files(demo_root / "body_models")
    write_transfer(folder / TRANSFER_FILE, read_transfer(found.transfer))
    for gender, path in found.smplx.items():
        write_clean(clean_path(folder, "smplx", gender), "smplx", read_official(path, "smplx", num_betas=10), 10)
    return folder


def frames(demo_root: Path, clean: Path, name: str) -> Iterator[FrameRecord]:
    """Ours; of RICH every third is enough."""
    reader = open_reader(name, demo_root / name.upper(), bodies=clean)
    for task in reader.list_bodies().tasks[:: 3 if name == "rich" else 1]:
        yield from reader.measure(task).records


MODELS: dict[tuple[Path, str], Any] = {}


def package_vertices(demo_root: Path, path: Path, gender: str, **how: Any) -> NDArray[np.float64]:
    """The smplx package's mesh of a file's parameters."""
    key = (demo_root, gender)
    if key not in MODELS:
        MODELS[key] = smplx.create(
            str(demo_root / "body_models" / "models"), "smplx", gender=gender, ext="npz", num_betas=10,
            num_expression_coeffs=10, use_pca=True, num_pca_comps=12, flat_hand_mean=False,
        )  # fmt: skip
    values = {name: torch.from_numpy(np.array(v)) for name, v in plain_load(path, **how).items() if name not in EXTRA}
    return MODELS[key](**values).vertices[0].detach().numpy().astype(np.float64)


def box_of(points: NDArray[np.float64], intrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
    pixels = points @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return np.concatenate([pixels.min(0), pixels.max(0)])


def test_rich_fits_project_into_our_boxes(demo_root: Path, clean: Path) -> None:
    """Body pickle, smplx and OpenCV's camera, as the toolkit draws them, against the boxes of the stage ``frames``."""
    root, worst, count = demo_root / "RICH", 0.0, 0
    for row in frames(demo_root, clean, "rich"):
        capture = row.sequence.split("_")[0]
        path = root / "scan_calibration" / capture / "calibration" / f"{row.camera:03d}.xml"
        intrinsics, extrinsics = opencv_camera(path)
        np.testing.assert_array_equal(intrinsics, np.reshape(row.intrinsics, (3, 3)))
        np.testing.assert_array_equal(extrinsics, np.reshape(row.camera_from_world, (4, 4))[:3])
        body = (root / str(row.body_file)).with_suffix(".pkl")
        vertices = package_vertices(demo_root, body, row.gender)
        camera = vertices @ extrinsics[:, :3].T + extrinsics[:, 3]
        worst, count = max(worst, np.abs(box_of(camera, intrinsics) - row.person_box).max()), count + 1
    assert count >= 10 and worst < 0.6, (count, worst)


def test_prox_fits_project_into_our_boxes(demo_root: Path, clean: Path) -> None:
    """PROXD lies in the mirrored-back color camera, MoSH parameters in the frame of the motion capture."""
    root, counts = demo_root / "PROX", {"train": 0, "test": 0}
    reader = ProxReader(root=root, bodies=clean)
    vicon = np.array(json.loads((root / "quantitative/vicon2scene.json").read_text()))
    pose = np.array(json.loads((root / "quantitative/cam2world/vicon.json").read_text()))
    camera_from_vicon = np.linalg.inv(pose) @ vicon
    for row in frames(demo_root, clean, reader.dataset):
        body = root / str(row.body_file)
        if row.split == "test":
            stem = body.parent.name
            fit = body.parents[2] / "results" / stem / "000.pkl"
            points = package_vertices(demo_root, fit, "male", encoding="latin1")
            points = points @ camera_from_vicon[:3, :3].T + camera_from_vicon[:3, 3]
            assert np.abs(points - read_ply(body).vertices).max() < 1e-4
        else:
            points = package_vertices(demo_root, body, row.gender)
        part = "quantitative" if row.split == "test" else "qualitative"
        color = json.loads((root / part / "calibration/Color.json").read_text())
        intrinsics = np.array([[color["f"][0], 0, color["c"][0]], [0, color["f"][1], color["c"][1]], [0, 0, 1.0]])
        assert np.abs(box_of(points, intrinsics) - row.person_box).max() < 0.6, row.key
        counts[row.split] += 1
    assert min(counts.values()) >= 2
