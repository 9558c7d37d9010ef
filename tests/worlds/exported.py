"""Ground truth of the demo as scenes of one's own, in each format of cameras, by maths the readers do not share."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.frame import FrameRecord
from tests.worlds.photo_cameras import opengl, quaternion
from tests.worlds.raw_trees import put


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One photograph of a person: its file, its camera in OpenCV's axes, and the body if it goes along.

    Attributes:
        key: of the person-image on the road of RICH.
        name: of the photograph, below ``images``.
        vertices: 6890 in the scan's frame; None: the box alone is written.
    """

    key: str
    name: str
    file: Path
    size: tuple[int, int]
    k: np.ndarray
    camera_from_world: np.ndarray
    box: tuple[float, ...]
    vertices: np.ndarray | None


def shot(raw: Path, record: FrameRecord, vertices: np.ndarray | None) -> Shot:
    """A row of the frame table of a data set whose tree is ``raw``."""
    return Shot(
        key=record.key,
        name=record.key + Path(record.image_file).suffix,
        file=raw / record.image_file,
        size=(record.image_width, record.image_height),
        k=np.array(record.intrinsics).reshape(3, 3),
        camera_from_world=np.array(record.camera_from_world).reshape(4, 4),
        box=tuple(record.person_box),
        vertices=vertices,
    )


def lens(each: Shot) -> list[float]:
    """fx, fy, cx, cy of tools whose (0, 0) is the first pixel's corner."""
    return [float(each.k[0, 0]), float(each.k[1, 1]), float(each.k[0, 2]) + 0.5, float(each.k[1, 2]) + 0.5]


def explicit(scene: Path, shots: Sequence[Shot]) -> None:
    """Half of them OpenCV's way, half OpenGL's, in millimetres."""
    cameras = {}
    for number, each in enumerate(shots):
        pose = {"camera_from_world": each.camera_from_world.tolist(), "convention": "opencv", "units": "metres"}
        if number % 2:
            matrix = opengl(each.camera_from_world)
            matrix[:3, 3] *= 1000
            pose = {"world_from_camera": matrix.tolist(), "convention": "opengl", "units": "mm"}
        cameras[f"images/{each.name}"] = {"width": each.size[0], "height": each.size[1], "K": each.k.tolist(), **pose}
    put(scene / "cameras.json", json.dumps({"cameras": cameras}))


def nerfstudio(scene: Path, shots: Sequence[Shot]) -> None:
    """OpenGL's axes, axes of its own, and a lens for each frame."""
    applied = np.array([[0.0, 0, 1, 0.3], [1, 0, 0, -0.2], [0, 1, 0, 0.1], [0, 0, 0, 1]])
    frames = [
        {"file_path": f"images/{each.name}", "transform_matrix": (applied @ opengl(each.camera_from_world)).tolist(),
         "w": each.size[0], "h": each.size[1], **dict(zip(("fl_x", "fl_y", "cx", "cy"), lens(each), strict=True))}
        for each in shots
    ]  # fmt: skip
    content = {"camera_model": "PINHOLE", "applied_transform": applied[:3].tolist(), "frames": frames}
    put(scene / "transforms.json", json.dumps(content))
    put(scene / "scene.json", json.dumps({"camera_unit": "m"}))


def _seven(each: Shot) -> list[float]:
    return [float(value) for value in (*quaternion(each.camera_from_world), *each.camera_from_world[:3, 3])]


def colmap_text(scene: Path, shots: Sequence[Shot]) -> None:
    """A camera for each image."""
    cameras, images = "", ""
    for number, each in enumerate(shots, start=1):
        cameras += f"{number} PINHOLE {each.size[0]} {each.size[1]} {' '.join(map(repr, lens(each)))}\n"
        images += f"{number} {' '.join(map(repr, _seven(each)))} {number} {each.name}\n\n"
    put(scene / "sparse/0/cameras.txt", cameras)
    put(scene / "sparse/0/images.txt", images)
    put(scene / "scene.json", json.dumps({"camera_unit": "m"}))


def colmap_binary(scene: Path, shots: Sequence[Shot]) -> None:
    """The same in binary."""
    cameras, images = struct.pack("<Q", len(shots)), struct.pack("<Q", len(shots))
    for number, each in enumerate(shots, start=1):
        cameras += struct.pack("<IiQQ4d", number, 1, *each.size, *lens(each))
        images += struct.pack("<I7dI", number, *_seven(each), number) + each.name.encode() + b"\0"
        images += struct.pack("<Q", 0)
    put(scene / "sparse/0/cameras.bin", cameras)
    put(scene / "sparse/0/images.bin", images)
    put(scene / "scene.json", json.dumps({"camera_unit": "m"}))


FORMATS: dict[str, Callable[[Path, Sequence[Shot]], None]] = {
    "explicit": explicit, "nerfstudio": nerfstudio, "colmap_text": colmap_text, "colmap_binary": colmap_binary,
}  # fmt: skip


def write_scene(scene: Path, scan: Path, shots: Sequence[Shot], cameras: str) -> Path:
    """A folder as docs/own-scene.md lays it out; who has no body has a box in a table."""
    (scene / "images").mkdir(parents=True)
    shutil.copy(scan, scene / f"scan{scan.suffix}")
    FORMATS[cameras](scene, shots)
    rows = ["image,left,top,right,bottom"]
    for each in shots:
        shutil.copy(each.file, scene / "images" / each.name)
        if each.vertices is None:
            rows.append(f"{each.name},{','.join(map(repr, each.box))}")
        else:
            (scene / "bodies").mkdir(exist_ok=True)
            np.save(scene / "bodies" / f"{Path(each.name).stem}.npy", each.vertices)
    if len(rows) > 1:
        put(scene / "boxes.csv", "\n".join([*rows, ""]))
    return scene
