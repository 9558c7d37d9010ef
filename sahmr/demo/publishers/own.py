"""Writes a capture as a phone makes it: a scan with holes and noise, transforms.json, photographs, boxes; and a camera
on a tripod, whose frames are a video.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sahmr.demo.pictures.figures import vertex_normals
from sahmr.demo.pictures.paint import paint
from sahmr.demo.pictures.render import to_bytes
from sahmr.demo.pictures.shoot import Person, cast_person, find_body, open_studio, take_picture
from sahmr.demo.places.captures import prox_rooms
from sahmr.demo.places.room import Room, scan_surface
from sahmr.demo.places.view import RoomCamera, look_at
from sahmr.demo.publishers import containers as files
from sahmr.geometry.rigid_numpy import apply_rigid, transpose_rigid

Array = NDArray[np.float64]
_SIZE, _FOCAL = (720, 540), 600.0  # of a phone's 26 mm lens
_PHOTO_AZIMUTHS = (-24.0, -8.0, 10.0, 26.0)
_KINDS = ("stand", "walk", "sit", "lean", "reach")
_NOISE_M, _HOLES, _HOLE_M = 0.004, 14, (0.06, 0.22)
_APPLIED = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]])  # as nerfstudio exchanges axes
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_MARGIN = 0.03  # of a detector's box round the body's


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSize:
    """How much to make: photographs of the phone, frames of the video, and the scan's spacing."""

    photographs: int = 4
    frames: int = 4
    scan_spacing_m: float = 0.05


def write_capture(root: Path, models: Path, *, seed: int, size: CaptureSize | None = None) -> int:
    """Write the folder; gives the number of pictures.

    Args:
        root: to be filled.
        models: the demo's body models.
        seed: people, poses, noise and holes.
        size: how much.
    """
    size = size or CaptureSize()
    return _write_phone(root / "living", models, seed, size) + _write_tripod(root / "library", models, seed, size)


def _write_phone(scene: Path, models: Path, seed: int, size: CaptureSize) -> int:
    """Photographs from several places, cameras in nerfstudio's file, boxes in a table. The scan is y up."""
    room, world = prox_rooms()["N0Sofa"][0], _y_up(0.4)
    files.put(scene / "scan.ply", _scan(room, world, seed, size.scan_spacing_m))
    person = cast_person(models, "female", "00777", 5, seed)
    frames, rows = [], []
    for number in range(size.photographs):
        view = _standing(_PHOTO_AZIMUTHS[number % len(_PHOTO_AZIMUTHS)], 3.3 + 0.15 * number, 1.5)
        name = f"images/IMG_{4031 + number}.jpg"
        picture, vertices, view = _shoot(room, view, person, [seed, 31, number], is_aimed=True)
        files.put(scene / name, files.jpeg(picture))
        rows.append((name.rpartition("/")[2], *_box(view, vertices), 0.97))
        stored = _APPLIED @ transpose_rigid(_camera_from_world(view, world)) @ _OPENGL
        frames.append({"file_path": name, "transform_matrix": stored.tolist()})
    lens = {
        "camera_model": "OPENCV", "w": _SIZE[0], "h": _SIZE[1], "fl_x": _FOCAL, "fl_y": _FOCAL,
        "cx": _SIZE[0] / 2, "cy": _SIZE[1] / 2, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0,
    }  # fmt: skip
    transforms = {**lens, "applied_transform": _APPLIED[:3].tolist(), "frames": frames}
    files.put(scene / "transforms.json", files.dump_json(transforms))
    files.put(scene / "scene.json", files.dump_json({"camera_unit": "m"}))
    files.put(scene / "boxes.csv", _table(rows))
    return len(frames)


def _write_tripod(scene: Path, models: Path, seed: int, size: CaptureSize) -> int:
    """A video of a fixed camera: one explicit camera, boxes as COCO. The scan is in millimetres, z up."""
    room, world = prox_rooms()["MPH1Library"][0], _z_up(-0.9)
    files.put(scene / "scan.mm.ply", _scan(room, world, seed + 1, size.scan_spacing_m, scale=1000.0))
    person, view = cast_person(models, "male", "00778", 6, seed), _standing(0.0, 3.5, 1.9)
    pictures, boxes = [], []
    for number in range(size.frames):
        picture, vertices, _ = _shoot(room, view, person, [seed, 32, number])
        pictures.append(picture)
        boxes.append(_box(view, vertices))
    _write_video(scene / "images/cam0.avi", pictures)
    camera = {
        "width": _SIZE[0], "height": _SIZE[1], "K": view.intrinsics.tolist(), "convention": "opencv",
        "world_from_camera": transpose_rigid(_camera_from_world(view, world)).tolist(), "units": "metres",
    }  # fmt: skip
    files.put(scene / "cameras.json", files.dump_json({"cameras": {"cam0": camera}}))
    files.put(scene / "boxes.json", files.dump_json(_coco(boxes)))
    return len(pictures)


def _y_up(angle: float) -> Array:
    """World from room of a scan whose y axis is up, turned about it and shifted, [4, 4]."""
    level = np.array([[1.0, 0, 0, 0.7], [0, 0, 1, 0.2], [0, -1, 0, -0.4], [0, 0, 0, 1]])
    return np.asarray(level @ _z_up(angle))


def _z_up(angle: float) -> Array:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0, 0.3], [s, c, 0, -0.2], [0, 0, 1, 0.1], [0, 0, 0, 1]])


def _standing(azimuth: float, distance: float, height: float) -> RoomCamera:
    angle = math.radians(azimuth)
    intrinsics = np.array([[_FOCAL, 0, (_SIZE[0] - 1) / 2], [0, _FOCAL, (_SIZE[1] - 1) / 2], [0, 0, 1]])
    eye = np.array([distance * math.cos(angle), distance * math.sin(angle), height])
    return look_at(eye, np.array([0.0, 0.0, 0.75]), intrinsics, _SIZE, roll=0.015)


def _camera_from_world(view: RoomCamera, world: Array) -> Array:
    return np.asarray(view.matrix @ transpose_rigid(world))


def _shoot(
    room: Room, view: RoomCamera, person: Person, seed: list[int], *, is_aimed: bool = False
) -> tuple[NDArray[np.uint8], Array, RoomCamera]:
    """A picture, the body's vertices in the room, and the camera, turned to the person if it is aimed."""
    rng = np.random.default_rng(seed)
    studio = open_studio(room, view)
    placed = find_body(studio, person, _KINDS, rng)
    if is_aimed:
        middle = (placed.vertices.min(axis=0) + placed.vertices.max(axis=0)) / 2
        studio = open_studio(room, look_at(view.center, middle, view.intrinsics, _SIZE, roll=0.015))
    exposure = float(rng.uniform(0.9, 1.05))
    return take_picture(studio, [(person, placed)], exposure=exposure), placed.vertices, studio.view


def _box(view: RoomCamera, vertices: Array) -> tuple[float, float, float, float]:
    """As a detector draws it: a little wider, within the picture, in tenths of a pixel."""
    pixels = view.project(vertices)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    margin = _MARGIN * (high - low)
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, np.array(_SIZE) - 1)
    left, top, right, bottom = np.round([*low, *high], 1).tolist()
    return left, top, right, bottom


def _table(rows: Sequence[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "left", "top", "right", "bottom", "score"))
    writer.writerows(rows)
    return text.getvalue().encode()


def _coco(boxes: list[tuple[float, float, float, float]]) -> dict[str, object]:
    images = [
        {"id": number, "file_name": f"cam0/{number:06d}.png", "width": _SIZE[0], "height": _SIZE[1]}
        for number in range(len(boxes))
    ]
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [a + 0.5, b + 0.5, round(c - a, 1), round(d - b, 1)]}
        for n, (a, b, c, d) in enumerate(boxes)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


def _scan(room: Room, world: Array, seed: int, spacing: float, scale: float = 1.0) -> bytes:
    """The room's surface with noise along it and holes, as a phone's depth sensor leaves them; colored PLY."""
    rng = np.random.default_rng([seed, 33])
    scan = scan_surface(room, spacing)
    normals = vertex_normals(scan.vertices, scan.faces)
    owner = np.full(len(scan.vertices), -1)
    owner[scan.faces.ravel()] = np.repeat(scan.owner, 3)
    color = to_bytes(paint(room, owner, scan.vertices, normals, fine=False) * 0.9)
    noisy = scan.vertices + normals * np.clip(rng.normal(0, _NOISE_M, len(normals)), -0.01, 0.01)[:, None]
    middles = scan.vertices[scan.faces].mean(axis=1)
    centers = middles[rng.integers(len(middles), size=_HOLES)]
    radii = rng.uniform(*_HOLE_M, size=_HOLES)
    holes = (np.linalg.norm(middles[:, None] - centers, axis=2) < radii).any(axis=1)
    return files.ply(apply_rigid(world, noisy) * scale, scan.faces[~holes], color)


def _write_video(path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 5.0, _SIZE)
    for picture in pictures:
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()
