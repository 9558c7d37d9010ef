"""A licence-free family of SMPL, SMPL-H and SMPL-X body models with the publishers' key names and shapes.

Every mesh, weight and shape direction is made by the code in ``sahmr.demo``; nothing licensed goes in. Body frame:
y up, facing +z, +x is the person's left, metres; the mean person stands 1.72 m tall with the pelvis near y = -0.22.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.demo.bodies.mesh import BodyMeshes, build_meshes
from sahmr.demo.bodies.remesh import Mesh
from sahmr.demo.bodies.rig import hand_space, joint_regressor, kintree, pose_directions, skeleton, skin_weights
from sahmr.demo.bodies.shape import expression_fields, sex_offset, shape_fields
from sahmr.demo.bodies.tables import MeshHierarchy, h36m_regressor, mesh_hierarchy, part_labels, transfer_matrix

Array = NDArray[np.float64]
Index = NDArray[np.int64]

GENDERS = ("neutral", "male", "female")
# Which models the publishers ship: SMPL-H has no neutral one.
KINDS = ("smpl", "smplh", "smplx")
VARIANTS = tuple((kind, sex) for kind in KINDS for sex in GENDERS if (kind, sex) != ("smplh", "neutral"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFamily:
    """All made-up body models and their side tables.

    Attributes:
        models: (kind, gender) -> arrays under the publishers' key names; kinds ``smpl``, ``smplh``, ``smplx``.
            ``posedirs`` are float32 to save space; ``J_regressor`` is sparse except for ``smplx``.
        transfer: SMPL-X to SMPL vertices, [6890, 20950]; only the first 10475 columns are used.
        h36m_regressor: [17, 6890].
        hierarchy: 6890 -> 1723 -> 431 vertices.
        parts: contact part 0..7 of the 6890 vertices, float64.
    """

    models: dict[tuple[str, str], dict[str, Any]]
    transfer: sp.csc_matrix
    h36m_regressor: Array
    hierarchy: MeshHierarchy
    parts: Array


def build_body_models(seed: int) -> BodyFamily:
    """Build the whole family, byte for byte the same for the same seed (about 10 seconds).

    The seed only moves what a person is not seen by: the random part of the hand pose space and the row sums of
    the 17-joint regressor. Geometry and shape space do not depend on it.
    """
    meshes = build_meshes()
    models: dict[tuple[str, str], dict[str, Any]] = {}
    for kind in KINDS:
        shared = _shared_arrays(kind, meshes, np.random.default_rng([seed, 1]))
        rest = _mesh_of(kind, meshes).vertices
        for variant, sex in VARIANTS:
            if variant == kind:
                template = rest + sex_offset(rest, shared["shapedirs"][..., :10], sex)
                joints = np.asarray(shared["J_regressor"] @ template)
                models[kind, sex] = {**shared, "v_template": template, "J": joints}
    rest = meshes.smpl.vertices
    return BodyFamily(
        models=models,
        transfer=transfer_matrix(meshes.smpl, meshes.smplx_closed),
        h36m_regressor=h36m_regressor(rest, np.random.default_rng([seed, 2])),
        hierarchy=mesh_hierarchy(meshes.smpl),
        parts=part_labels(rest),
    )


def _mesh_of(kind: str, meshes: BodyMeshes) -> Mesh:
    return meshes.smplx if kind == "smplx" else meshes.smpl


def _shared_arrays(kind: str, meshes: BodyMeshes, rng: np.random.Generator) -> dict[str, Any]:
    """The arrays that the sexes of one kind have in common, under the publishers' names."""
    mesh, bones = _mesh_of(kind, meshes), skeleton(kind)
    weights = skin_weights(mesh.vertices, kind)
    shape = shape_fields(mesh.vertices)
    regressor: Any = joint_regressor(mesh.vertices, bones.joints)
    arrays: dict[str, Any] = {
        "f": mesh.faces.astype(np.uint32),
        "weights": weights,
        "posedirs": pose_directions(mesh.vertices, weights, bones).astype(np.float32),
        "shapedirs": shape,
        "kintree_table": kintree(bones.parents),
        "J_regressor": regressor if kind == "smplx" else sp.csc_matrix(regressor),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    if kind != "smpl":
        components, means = hand_space(rng)
        for side in "lr":
            arrays[f"hands_components{side}"] = components[side]
            arrays[f"hands_mean{side}"] = means[side]
    if kind == "smplx":
        arrays["shapedirs"] = np.concatenate([shape, expression_fields(mesh.vertices)], 2)
        arrays |= _face_landmarks(mesh)
    return arrays


def _face_landmarks(mesh: Mesh) -> dict[str, Any]:
    """Faces and barycentric weights of 51 facial landmarks and of the 17 jaw points for 79 head turns."""
    nearest = partial(_nearest_faces, mesh.vertices[mesh.faces].mean(1))
    inner = nearest(_inner_landmarks())
    turn = np.linspace(-1.2, 1.2, 17)
    jaw = np.stack([0.068 * np.sin(turn), 0.345 + 0.06 * np.abs(np.sin(turn)) ** 2, 0.01 + 0.08 * np.cos(turn)], 1)
    contour = nearest(jaw)
    return {
        "lmk_faces_idx": inner,
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "dynamic_lmk_faces_idx": np.tile(contour, (79, 1)),
        "dynamic_lmk_bary_coords": np.full((79, 17, 3), 1 / 3),
    }


def _nearest_faces(centers: Array, points: Array) -> Index:
    """Number of the face whose centre is nearest to each point."""
    return np.asarray(np.linalg.norm(centers[:, None] - points, axis=2).argmin(0), dtype=np.int64)


def _inner_landmarks() -> Array:
    """Rough places [51, 3] of brows (10), nose (9), eyes (12) and lips (20) in the usual 68-point order."""
    brow = np.stack([np.linspace(-0.05, 0.05, 10), np.full(10, 0.465), np.full(10, 0.10)], 1)
    ridge = np.stack([np.zeros(4), np.linspace(0.445, 0.418, 4), np.linspace(0.11, 0.135, 4)], 1)
    nostrils = np.stack([np.linspace(-0.013, 0.013, 5), np.full(5, 0.405), np.full(5, 0.122)], 1)
    around = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    eyes = [
        np.stack([x - 0.014 * np.cos(around[::2]), 0.443 + 0.008 * np.sin(around[::2]), np.full(6, 0.097)], 1)
        for x in (-0.031, 0.031)
    ]
    outer = np.stack([-0.023 * np.cos(around), 0.379 + 0.010 * np.sin(around), np.full(12, 0.106)], 1)
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    inner = np.stack([-0.015 * np.cos(turn), 0.379 + 0.005 * np.sin(turn), np.full(8, 0.107)], 1)
    return np.concatenate([brow, ridge, nostrils, *eyes, outer, inner])
