"""Small raw trees in the publishers' layouts: one box of points as a body, noise as images."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sahmr.body.transfer import write_transfer
from sahmr.readers.rich_listing import RichRules
from tests.worlds.bodies import transfer_matrix

SIZE = (64, 48)
K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
RULES = RichRules()
SEQUENCE = "CapA_005_jump"
FRAME = "s001_frame_00001__00.00.00.023"
SHIFT = np.array([0.1, 0.2, 0.5])  # PROX: scan frame minus color-camera frame


def body_points(center: tuple[float, float, float] = (0.0, 0.0, 4.0)) -> np.ndarray:
    """10475 float32-exact points within 0.3 m of a place."""
    rng = np.random.default_rng(5)
    return (np.array(center) + rng.uniform(-0.3, 0.3, (10475, 3))).astype(np.float32).astype(np.float64)


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ply(vertices: np.ndarray) -> bytes:
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") + "element face 0\nend_header\n"
    return head.encode() + vertices.astype("<f4").tobytes()


def image(path: Path, size: tuple[int, int] = SIZE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2] = 200  # bright left half
    Image.fromarray(pixels).save(path, **options)
    return path


def xml(k: np.ndarray = K, extrinsics: np.ndarray | None = None) -> str:
    rt = np.eye(4)[:3] if extrinsics is None else extrinsics

    def node(name: str, m: np.ndarray) -> str:
        data = " ".join(repr(float(v)) for v in m.ravel())
        return (
            f'<{name} type_id="opencv-matrix"><rows>{m.shape[0]}</rows><cols>{m.shape[1]}</cols>'
            f"<dt>d</dt><data>{data}</data></{name}>"
        )

    return f'<?xml version="1.0"?><opencv_storage>{node("CameraMatrix", rt)}{node("Intrinsics", k)}</opencv_storage>'


def smplx_params(**changes: Any) -> bytes:
    sizes = {
        "betas": 10, "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12,
        "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10, "pose_embedding": 32,
    }  # fmt: skip
    content: dict[str, Any] = {key: np.zeros((1, size), np.float32) for key, size in sizes.items()}
    content["transl"] = np.array([[0, 0, 4]], np.float32)
    content |= changes
    return pickle.dumps({k: v for k, v in content.items() if v is not None}, protocol=2)


def contact(labels: np.ndarray) -> bytes:
    return pickle.dumps({"contact": labels, "s2m_dist_id": np.zeros((2, 3))}, protocol=2)


def write_rich(root: Path) -> Path:
    """Capture CapA, train sequence of subject 5, cameras 0 and 1 (and 10, uncalibrated), frames 30, 60, 61, 74, 75."""
    header = "sequence_name\tcapture_name\tscan_name\tid\tmoving_cam\tgender\tview_id"
    row = f"{SEQUENCE}\tCapA\tscan_camcoord\t5\tX\tmale\t0,1"
    put(root / "resource/meta/train.txt", f"{header}\n{row}")
    put(root / "resource/gender.json", json.dumps({"5": "male", "9": "female"}))
    put(root / "scan_calibration/CapA/scan_camcoord.ply", ply(body_points()))
    side = np.eye(4)[:3]
    side[0, 3] = 0.25
    put(root / "scan_calibration/CapA/calibration/000.xml", xml())
    put(root / "scan_calibration/CapA/calibration/001.xml", xml(extrinsics=side))
    for camera in (0, 1, 10):
        for frame in (30, 60, 61, 74, 75):
            image(root / f"images/train/{SEQUENCE}/cam_{camera:02d}/{frame:05d}_{camera:02d}.jpeg")
    labels = np.zeros(6890, np.int64)
    labels[::7] = 1
    for frame in (30, 60, 61, 74):  # none for 75
        put(root / f"bodies/train/{SEQUENCE}/{frame:05d}/005.ply", ply(body_points()))
        put(root / f"human_scene_contact/train/{SEQUENCE}/{frame:05d}/005.pkl", contact(labels))
        put(root / f"human_scene_contact/train/{SEQUENCE}/{frame:05d}/005.obj", "v 0 0 0 0.4 0.4 0.4\n")
    return root


def write_prox(root: Path) -> Path:
    """One quantitative recording with a MoSH mesh, one qualitative with PROXD fits."""
    for part, recording in (("quantitative", "vicon_03301_01"), ("qualitative", "N0Sofa_00162_02")):
        scene = recording.split("_")[0]
        base = root / part
        put(base / "calibration/Color.json", json.dumps({"f": [60.0, 60.5], "c": [32.0, 24.0], "k": [0] * 5}))
        transform = np.eye(4)
        transform[:3, 3] = SHIFT
        put(base / f"cam2world/{scene}.json", json.dumps(transform.tolist()))
        put(base / f"scenes/{scene}.ply", ply(body_points()))
        image(base / f"recordings/{recording}/Color/{FRAME}.jpg")
    put(root / "quantitative/vicon2scene.json", json.dumps(np.diag([1.0, -1, -1, 1]).tolist()))
    put(root / f"quantitative/fittings/mosh/vicon_03301_01/meshes/{FRAME}/000.ply", ply(body_points()))
    put(root / f"PROXD/N0Sofa_00162_02/results/{FRAME}/000.pkl", smplx_params(camera_rotation=np.eye(3)[None]))
    put(root / "quantitative/sdf/vicon.json", "{}")
    put(root / "quantitative/sdf/vicon_sdf.npy", b"")
    return root


def write_bodies(folder: Path) -> Path:
    """What the readers need of the stage ``bodies``: the transfer matrix only."""
    write_transfer(folder / "transfer.npz", transfer_matrix()[:, :10475].tocsr())
    return folder
