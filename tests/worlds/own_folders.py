"""Folders of one's own: the small world's room and cameras in every format, without pictures' content."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from tests.worlds import photo_cameras, small
from tests.worlds.raw_trees import put

SIZE = (small.WIDTH, small.HEIGHT)
POSE = small.CAMERA_FROM_WORLD
K = small.INTRINSICS
BOX = (100.0, 40.0, 200.0, 220.0)


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = SIZE, **save: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small.image(seed)).resize(size).save(path, **save)
    return path


def cloud() -> trimesh.PointCloud:
    """A scan without faces: points all over a room's middle."""
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 3)) * (2, 1.2, 2)
    return trimesh.PointCloud(points)


def camera(**changes: Any) -> dict[str, Any]:
    """An explicit camera without distortion; ``...`` leaves a key out."""
    content = {"width": SIZE[0], "height": SIZE[1], "K": K.tolist(), "camera_from_world": POSE.tolist(),
               "convention": "opencv", "units": "metres"} | changes  # fmt: skip
    return {key: value for key, value in content.items() if value is not ...}


def table(path: Path, rows: dict[str, tuple[float, ...]]) -> Path:
    lines = ["image,left,top,right,bottom", *(f"{name},{','.join(map(repr, box))}" for name, box in rows.items())]
    return put(path, "\n".join(lines) + "\n")


def folder(root: Path, cameras: dict[str, Any] | None = None, names: tuple[str, ...] = ("cam0/0001.png",)) -> Path:
    """One scene ``room``: a scan, explicit cameras, photographs, and a box in each.

    Returns:
        The scene's folder.
    """
    scene = root / "room"
    scene.mkdir(parents=True)
    small.room().export(scene / "scan.ply")
    put(scene / "cameras.json", json.dumps({"cameras": cameras or {"cam0": camera()}}))
    for number, name in enumerate(names):
        photograph(scene / "images" / name, number)
    table(scene / "boxes.csv", dict.fromkeys(names, BOX))
    return scene


def nerfstudio(scene: Path, name: str) -> None:
    """Cameras as nerfstudio has them, in axes of its own."""
    applied = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]])
    made = photo_cameras.transforms(
        POSE, applied, w=SIZE[0], h=SIZE[1], fl_x=K[0, 0], fl_y=K[1, 1], cx=K[0, 2] + 0.5, cy=K[1, 2] + 0.5,
        k1=0, k2=0, p1=0, p2=0,
    )  # fmt: skip
    made["frames"][0]["file_path"] = f"images/{name}"
    put(scene / "transforms.json", json.dumps(made))


def colmap(scene: Path, name: str, *, binary: bool) -> None:
    """A COLMAP model of one photograph."""
    numbers = [*photo_cameras.quaternion(POSE), *POSE[:3, 3]]
    lens = [float(value) for value in (K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5)]
    if binary:
        cameras = struct.pack("<QIiQQ4d", 1, 7, 1, *SIZE, *lens)
        images = struct.pack("<QI7dI", 1, 3, *numbers, 7) + name.encode() + b"\0" + struct.pack("<Q", 0)
        put(scene / "sparse/0/cameras.bin", cameras)
        put(scene / "sparse/0/images.bin", images)
        return
    put(scene / "sparse/0/cameras.txt", f"7 PINHOLE {SIZE[0]} {SIZE[1]} {' '.join(map(repr, lens))}\n")
    put(scene / "sparse/0/images.txt", f"3 {' '.join(repr(float(v)) for v in numbers)} 7 {name}\n\n")
