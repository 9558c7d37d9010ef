"""The door to trimesh: one body to a PLY, OBJ or glTF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.files import publish_file

MESH_FORMATS = ("ply", "obj", "glb")


def write_mesh(
    path: Path,
    vertices: Float[ndarray, "vertices 3"],
    faces: Int[ndarray, "faces 3"],
    *,
    up: tuple[float, float, float],
    about: dict[str, Any],
) -> None:
    """Write a mesh in the format that the file's name says; equal input gives equal bytes.

    PLY and OBJ have the frame's own axes: neither format says which way is up. glTF does, it is +y: there too the
    vertices keep the frame's axes, and the matrix of their node turns them (:func:`gltf_from_frame`).

    Args:
        path: ending in .ply, .obj or .glb.
        vertices: metres, which are glTF's unit too; float32 in PLY and glTF, 8 decimals in OBJ.
        faces: triangles.
        up: in the frame of the vertices; length 1.
        about: stored as ``extras`` of the glTF scene, with the matrix; numbers, texts and lists.
    """
    mesh: Any = trimesh.Trimesh(vertices=vertices, faces=faces, process=False)
    if path.suffix == ".glb":
        turn = gltf_from_frame(up)
        scene: Any = trimesh.Scene()
        scene.metadata.update({**about, "unit": "m", "gltf_from_frame": turn.tolist()})
        scene.add_geometry(mesh, node_name="body", geom_name="body", transform=turn)
        mesh = scene
    content = mesh.export(file_type=path.suffix[1:])
    with publish_file(path) as partial:
        partial.write_bytes(content if isinstance(content, bytes) else content.encode())


def gltf_from_frame(up: tuple[float, float, float]) -> Float[ndarray, "4 4"]:
    """The least rotation that makes an axis +y; of one that points down, as a camera's, after half a turn about x."""
    half = np.diag([1.0, -1.0, -1.0]) if up[1] < 0 else np.eye(3)
    axis, goal = half @ np.asarray(up, dtype=np.float64), np.array([0.0, 1.0, 0.0])
    x, y, z = np.cross(axis, goal)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix = np.eye(4)
    matrix[:3, :3] += cross + cross @ cross / (1 + axis[1])  # Rodrigues, without an angle; 1 + cosine is 1 or more
    matrix[:3, :3] = matrix[:3, :3] @ half
    return matrix
