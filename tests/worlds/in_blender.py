"""Run by an interpreter that has Blender's ``bpy``: opens meshes as docs/export.md says, and writes what Blender has.

python tests/worlds/in_blender.py OUT.npz PERSON.glb SCAN.ply [MESH ...]
"""

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

bpy: Any = importlib.import_module("bpy")
matrices: Any = importlib.import_module("mathutils")


def open_mesh(path: str) -> Any:
    """The object that Blender's importer makes, with its defaults."""
    before = set(bpy.data.objects)
    load = {".glb": bpy.ops.import_scene.gltf, ".ply": bpy.ops.wm.ply_import, ".obj": bpy.ops.wm.obj_import}
    load[Path(path).suffix](filepath=path)
    (made,) = [each for each in bpy.data.objects if each not in before and each.type == "MESH"]
    return made


def content(made: Any) -> dict[str, np.ndarray]:
    """Vertices in Blender's world, and triangles."""
    bpy.context.view_layer.update()
    vertices = np.array([made.matrix_world @ vertex.co for vertex in made.data.vertices])
    return {"vertices": vertices, "faces": np.array([list(face.vertices) for face in made.data.polygons])}


def main(out: str, person: str, scan: str, *others: str) -> None:
    """Person and scan into one scene, the others after them."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    found = {"person": content(open_mesh(person))}
    laid = open_mesh(scan)
    turn = matrices.Matrix([list(row) for row in bpy.context.scene["gltf_from_frame"]])
    laid.matrix_world = matrices.Matrix.Rotation(math.pi / 2, 4, "X") @ turn
    found["scan"] = content(laid)
    found |= {path: content(open_mesh(path)) for path in others}
    units = bpy.context.scene.unit_settings
    arrays = {f"{name}:{part}": array for name, parts in found.items() for part, array in parts.items()}
    np.savez(out, **arrays, metres=units.scale_length, system=units.system, version=bpy.app.version_string)


if __name__ == "__main__":
    main(*sys.argv[1:])
