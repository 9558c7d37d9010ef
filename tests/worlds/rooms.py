"""A furnished room seen by a camera, for checks of a photograph against a scan: floor at z = 0, z up, metres."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh

from sahmr.scenes.own_scan import OwnScan, open_scan
from sahmr.scenes.voxels import occupied_voxels
from sahmr.sight.figures import View
from tests.worlds.raw_trees import put

PITCH_M = 0.05
SIZE = (320, 240)
K = np.array([[260.0, 0, 159.5], [0, 260, 119.5], [0, 0, 1]])
CENTER = np.array([0.6, 0.5, 1.5])
BOX = (120.0, 60.0, 200.0, 220.0)


def room() -> trimesh.Trimesh:
    """5 x 4 x 2.5 m without a ceiling, normals inwards, a table and a cupboard; not symmetric."""
    walls = trimesh.creation.box(bounds=((0, 0, 0), (5, 4, 2.5)))
    walls.update_faces(walls.face_normals[:, 2] < 0.5)
    walls.invert()
    table = trimesh.creation.box(bounds=((3.2, 0.8, 0), (4.4, 1.6, 0.75)))
    cupboard = trimesh.creation.box(bounds=((3.9, 3.2, 0), (5, 4, 1.9)))
    return trimesh.util.concatenate([walls, table, cupboard])


def pose(center: np.ndarray = CENTER, target: tuple[float, float, float] = (3.4, 2.2, 0.8)) -> np.ndarray:
    """camera_from_world of an upright camera that looks at a place."""
    ahead = np.array(target) - center
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    made = np.eye(4)
    made[:3, :3] = [right, np.cross(ahead, right), ahead]
    made[:3, 3] = -made[:3, :3] @ center
    return made


def write_scan(folder: Path, mesh: trimesh.Trimesh | None = None, factor: float = 1.0, name: str = "room.ply") -> Path:
    made = (mesh or room()).copy()
    made.apply_scale(factor)
    return put(folder / name, made.export(file_type=name.rpartition(".")[2]))


def read_scan(folder: Path, **changes: Any) -> tuple[OwnScan, np.ndarray]:
    """A scan and its voxels."""
    scan = open_scan(write_scan(folder, **changes))
    return scan, occupied_voxels(scan.vertices[scan.faces], PITCH_M)


def view(camera_from_world: np.ndarray, **changes: Any) -> View:
    return View(**{"intrinsics": K, "camera_from_world": camera_from_world, "size": SIZE, "box": BOX, **changes})


def photograph(camera_from_world: np.ndarray | None = None) -> np.ndarray:
    """The room in flat colors, painted from far to near."""
    matrix = pose() if camera_from_world is None else camera_from_world
    mesh = room().subdivide_to_size(0.3)
    seen = mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    canvas = np.full((SIZE[1], SIZE[0], 3), 250, dtype=np.uint8)
    facing = np.einsum("nk,nk->n", mesh.face_normals, -np.linalg.inv(matrix)[:3, 3] + mesh.triangles_center) < 0
    depth = seen[mesh.faces][:, :, 2]
    for face in np.argsort(-depth.mean(axis=1)):
        if facing[face] and depth[face].min() > 0.1:
            corners = seen[mesh.faces[face]]
            uv = corners[:, :2] / corners[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
            shade = 120 + 80 * mesh.face_normals[face] @ (0.5, 0.2, 0.9)
            cv2.fillConvexPoly(canvas, np.round(uv).astype(np.int32), [float(shade)] * 3)
    return canvas


def camera_json(folder: Path, camera_from_world: np.ndarray | None = None, **changes: Any) -> Path:
    matrix = pose() if camera_from_world is None else camera_from_world
    content = {
        "width": SIZE[0], "height": SIZE[1], "K": K.tolist(), "camera_from_world": matrix.tolist(),
        "convention": "opencv", "units": "metres", **changes,
    }  # fmt: skip
    return put(folder / "camera.json", json.dumps(content))
