"""One camera in every format that people have, by writers that share no code with the readers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from tests.worlds.raw_trees import put

SIZE = (640, 480)
K = np.array([[520.25, 0, 318.5], [0, 515.75, 241.25], [0, 0, 1]])  # first pixel's centre at 0, 0
TERMS = (-0.11, 0.03, 0.0007, -0.0004)  # k1, k2, p1, p2


def pose(
    turn: tuple[float, float, float] = (0.3, -1.1, 0.2), center: tuple[float, float, float] = (1, 2, 3)
) -> np.ndarray:
    """camera_from_world of a camera with this rotation vector and centre."""
    made = np.eye(4)
    made[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    made[:3, 3] = -made[:3, :3] @ center
    return made


def quaternion(matrix: np.ndarray) -> list[float]:
    """w, x, y, z."""
    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat()
    return [w, x, y, z]


def pixels(points: np.ndarray, camera_from_world: np.ndarray, k: np.ndarray = K) -> np.ndarray:
    """Pinhole by the formula, axis by axis."""
    found = []
    for point in points:
        x, y, z = (
            sum(camera_from_world[r, c] * point[c] for c in range(3)) + camera_from_world[r, 3] for r in range(3)
        )
        found.append((k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]))
    return np.array(found)


def opengl(matrix: np.ndarray) -> np.ndarray:
    """world_from_camera of a camera that looks along -z with y up."""
    made = np.linalg.inv(matrix)
    made[:, 1] *= -1
    made[:, 2] *= -1
    return made


def explicit(matrix: np.ndarray, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "width": SIZE[0], "height": SIZE[1], "K": K.tolist(), "camera_from_world": matrix.tolist(),
        "convention": "opencv", "units": "metres", "distortion": {"model": "opencv", "coefficients": list(TERMS)},
    }  # fmt: skip
    content |= changes
    return {key: value for key, value in content.items() if value is not ...}


def transforms(
    matrix: np.ndarray, applied: np.ndarray | None = None, scale: float = 1.0, **changes: Any
) -> dict[str, Any]:
    """nerfstudio's, stored in axes of its own."""
    stored = opengl(matrix)
    content: dict[str, Any] = {
        "camera_model": "OPENCV", "w": SIZE[0], "h": SIZE[1], "fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2] + 0.5,
        "cy": K[1, 2] + 0.5, "k1": TERMS[0], "k2": TERMS[1], "p1": TERMS[2], "p2": TERMS[3],
    }  # fmt: skip
    if applied is not None:
        stored = applied @ stored
        content["applied_transform"] = applied[:3].tolist()
    if scale != 1.0:
        stored[:3, 3] *= scale
        content["applied_scale"] = scale
    frame = {"file_path": "./images/a 1.jpg", "transform_matrix": stored.tolist()}
    content |= changes
    return {key: value for key, value in content.items() if value is not ...} | {"frames": [frame]}


NUMBERS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "RADIAL": 3, "OPENCV": 4, "OPENCV_FISHEYE": 5,
           "FULL_OPENCV": 6, "FOV": 7}  # fmt: skip
PARAMS = [K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5, *TERMS]


def colmap_text(folder: Path, matrix: np.ndarray, model: str = "OPENCV", params: list[float] = PARAMS) -> Path:
    numbers = " ".join(repr(float(v)) for v in [*quaternion(matrix), *matrix[:3, 3]])
    put(folder / "cameras.txt", f"# note\n7 {model} 640 480 {' '.join(repr(float(p)) for p in params)}\n")
    put(folder / "images.txt", f"# note\n3 {numbers} 7 images/a 1.jpg\n12.5 13.5 -1 5 6 2\n4 {numbers} 7 b.jpg\n\n")
    return folder


def colmap_binary(folder: Path, matrix: np.ndarray, model: str = "OPENCV", params: list[float] = PARAMS) -> Path:
    lens = struct.pack("<QIiQQ", 1, 7, NUMBERS[model], 640, 480) + struct.pack(f"<{len(params)}d", *params)
    seven = [*quaternion(matrix), *matrix[:3, 3]]
    images = struct.pack("<Q", 2)
    for number, name, points in ((3, b"images/a 1.jpg", [(12.5, 13.5, 2**64 - 1), (5.0, 6.0, 2)]), (4, b"b.jpg", [])):
        images += struct.pack("<I7dI", number, *seven, 7) + name + b"\0" + struct.pack("<Q", len(points))
        images += b"".join(struct.pack("<ddQ", *point) for point in points)
    put(folder / "cameras.bin", lens)
    put(folder / "images.bin", images)
    return folder


def rig(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sensor_from_rig and rig_from_world whose product is the matrix."""
    sensor = pose((0.1, 0.2, -0.4), (0.3, 0, 0.1))
    return sensor, np.linalg.inv(sensor) @ matrix


def rigs_text(folder: Path, matrix: np.ndarray) -> None:
    """A rig of cameras 9 (its reference) and 7; image 3 is camera 7's, 4 as well."""
    sensor, frame = rig(matrix)
    seven = [" ".join(repr(float(v)) for v in [*quaternion(m), *m[:3, 3]]) for m in (sensor, frame)]
    put(folder / "rigs.txt", f"# note\n1 2 CAMERA 9 CAMERA 7 1 {seven[0]}\n")
    put(folder / "frames.txt", f"1 1 {seven[1]} 1 CAMERA 7 3\n2 1 {seven[1]} 2 CAMERA 7 4 CAMERA 9 88\n")


def rigs_binary(folder: Path, matrix: np.ndarray) -> None:
    """The same."""
    sensor, frame = ([*quaternion(m), *m[:3, 3]] for m in rig(matrix))
    put(folder / "rigs.bin", struct.pack("<QIIiIiIB7d", 1, 1, 2, 0, 9, 0, 7, 1, *sensor))
    frames = struct.pack("<QII7dIiIQ", 2, 1, 1, *frame, 1, 0, 7, 3)
    put(folder / "frames.bin", frames + struct.pack("<II7dIiIQiIQ", 2, 1, *frame, 2, 0, 7, 4, 0, 9, 88))


def opencv_yaml(tagged: bool = True) -> str:
    tag = "!!opencv-matrix" if tagged else ""

    def node(name: str, values: np.ndarray) -> str:
        data = ", ".join(repr(float(v)) for v in values.ravel())
        half = len(data) // 2 + data[len(data) // 2 :].index(",") + 1
        lines = f"{name}: {tag}\n   rows: {values.shape[0]}\n   cols: {values.shape[1]}\n"
        return f"{lines}{'   dt: d' + chr(10) if tagged else ''}   data: [ {data[:half]}\n       {data[half:]} ]\n"

    head = '%YAML:1.0\n---\ncalibration_time: "now"\n' if tagged else "camera_name: left\ndistortion_model: plumb_bob\n"
    head += f"image_width: {SIZE[0]}\nimage_height: {SIZE[1]}\n"
    return head + node("camera_matrix", K) + node("distortion_coefficients", np.array([[*TERMS, 0.0]]).T)


def write(path: Path, content: Any) -> Path:
    return put(path, json.dumps(content))
