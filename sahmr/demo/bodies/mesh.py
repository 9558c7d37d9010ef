"""The two meshes of the made-up person: 6890 vertices (SMPL, SMPL-H) and 10475 vertices (SMPL-X).

Body frame, metres. Both are cut from one polygonised surface; official landmark vertex numbers (nose, toes, finger
tips, ...) land on the right places because ``smplx`` reads those vertices as extra joints.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sahmr.demo.bodies.remesh import Collapser, Mesh, check_closed, relax, surface_nets
from sahmr.demo.bodies.surface import body_distance, project

Array = NDArray[np.float64]
Index = NDArray[np.int64]

SMPL_VERTICES, SMPLX_VERTICES, SMPLX_FACES = 6890, 10475, 20908

# Left or middle landmarks, body frame. Right ones are mirrored.
_LANDMARKS = {
    "nose": (0.0, 0.414, 0.135), "leye": (0.031, 0.443, 0.100), "lear": (0.088, 0.432, -0.004),
    "lthumb": (0.765, 0.198, 0.059), "lindex": (0.872, 0.212, 0.006), "lmiddle": (0.882, 0.212, -0.019),
    "lring": (0.874, 0.212, -0.044), "lpinky": (0.852, 0.212, -0.070), "LBigToe": (0.090, -1.152, 0.142),
    "LSmallToe": (0.145, -1.155, 0.105), "LHeel": (0.090, -1.145, -0.086),
}  # fmt: skip
# Vertex numbers that the smplx package reads (smplx/vertex_ids.py), for the 6890- and the 10475-vertex mesh.
_LANDMARK_IDS = {
    SMPL_VERTICES: {
        "nose": 332, "leye": 2800, "reye": 6260, "lear": 583, "rear": 4071, "lthumb": 2746, "rthumb": 6191,
        "lindex": 2319, "rindex": 5782, "lmiddle": 2445, "rmiddle": 5905, "lring": 2556, "rring": 6016,
        "lpinky": 2673, "rpinky": 6133, "LBigToe": 3216, "RBigToe": 6617, "LSmallToe": 3226, "RSmallToe": 6624,
        "LHeel": 3387, "RHeel": 6787,
    },
    SMPLX_VERTICES: {
        "nose": 9120, "leye": 9448, "reye": 9929, "lear": 6, "rear": 616, "lthumb": 5361, "rthumb": 8079,
        "lindex": 4933, "rindex": 7669, "lmiddle": 5058, "rmiddle": 7794, "lring": 5169, "rring": 7905,
        "lpinky": 5286, "rpinky": 8022, "LBigToe": 5770, "RBigToe": 8463, "LSmallToe": 5780, "RSmallToe": 8474,
        "LHeel": 8846, "RHeel": 8635,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMeshes:
    """``smpl``: closed, 6890 vertices, 13776 faces. ``smplx``: 10475 vertices, 20908 faces, 38 tiny holes."""

    smpl: Mesh
    smplx: Mesh
    smplx_closed: Mesh


def wanted_size(points: Array) -> Array:
    """Relative wanted edge length [n] at points [n, 3]: finer on hands, face and feet."""

    def ramp(value: Array, low: float, high: float) -> Array:
        return np.clip((value - low) / (high - low), 0.0, 1.0)

    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    hand = ramp(x, 0.58, 0.74)
    head = ramp(y, 0.28, 0.37) * (x < 0.2)
    face = head * ramp(z, 0.02, 0.08)
    foot = ramp(-y, 1.04, 1.12)
    return np.asarray((1 - 0.56 * hand) * (1 - 0.45 * head) * (1 - 0.35 * face) * (1 - 0.3 * foot))


def _mirrored(half: Array) -> Array:
    return np.concatenate([-half[:0:-1], half])


def _polygonise() -> Mesh:
    """About 20000 vertices on the skin."""
    axes = (
        np.concatenate([np.linspace(0.0, 0.70, 50, endpoint=False), np.arange(0.70, 0.90, 0.009)]),
        np.concatenate([np.linspace(-1.20, 0.17, 98, endpoint=False), np.arange(0.17, 0.58, 0.0095)]),
        np.concatenate([np.arange(-0.18, -0.08, 0.014), np.arange(-0.08, 0.07, 0.0066), np.arange(0.07, 0.2, 0.0095)]),
    )
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    half = body_distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    mesh = surface_nets(np.concatenate([half[:0:-1], half]), (_mirrored(axes[0]), axes[1], axes[2]))
    check_closed(mesh.faces)
    return Mesh(vertices=project(mesh.vertices, 2), faces=mesh.faces)


def build_meshes() -> BodyMeshes:
    """Both meshes of the neutral mean person in T-pose; no randomness."""
    fine = _polygonise()
    collapser = Collapser(fine, wanted_size(fine.vertices))
    closed = {}
    for count in (SMPLX_VERTICES, SMPL_VERTICES):
        collapser.reduce(count)
        mesh = relax(collapser.mesh(), lambda points: project(points, 1), wanted_size, [0.7] * 3)
        closed[count] = _number_landmarks(mesh)
        check_closed(closed[count].faces)
    smplx = closed[SMPLX_VERTICES]
    holed = Mesh(vertices=smplx.vertices, faces=_prick(smplx))
    return BodyMeshes(smpl=closed[SMPL_VERTICES], smplx=holed, smplx_closed=smplx)


def _number_landmarks(mesh: Mesh) -> Mesh:
    """Swap vertex numbers so that the official landmark numbers sit at the landmarks."""
    ids = _LANDMARK_IDS[len(mesh.vertices)]
    order = np.arange(len(mesh.vertices))
    tree = cKDTree(mesh.vertices)
    for name, wanted in ids.items():
        mirror = name not in _LANDMARKS
        left = name.replace("r", "l", 1) if name[0] == "r" else "L" + name[1:]
        place = np.array(_LANDMARKS[left if mirror else name]) * [-1.0 if mirror else 1.0, 1.0, 1.0]
        here = int(np.flatnonzero(order == tree.query(place)[1])[0])
        order[[here, wanted]] = order[[wanted, here]]
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    faces = number[mesh.faces]
    return Mesh(vertices=mesh.vertices[order], faces=faces[np.lexsort(faces.T[::-1])])


def _prick(mesh: Mesh) -> Index:
    """Drop the 38 smallest faces, none touching another, so that the count is SMPL-X's and nobody sees it.

    The real SMPL-X is open at eyes and mouth; without eyeballs and an inner mouth that would look odd.
    """
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    keep = np.ones(len(mesh.faces), dtype=bool)
    touched = np.zeros(len(mesh.vertices), dtype=bool)
    for face in np.argsort(area, kind="stable"):
        if keep.sum() > SMPLX_FACES and not touched[mesh.faces[face]].any():
            keep[face] = False
            touched[mesh.faces[face]] = True
    return mesh.faces[keep]


# What a person wears, by position on the rest surface: the labels of ``region_labels``.
REGIONS = ("skin", "hair", "shirt", "trousers", "shoes", "eyes", "lips")


def region_labels(points: Array) -> Index:
    """Index into ``REGIONS`` [n] for rest points [n, 3] of the neutral T-pose, for painting."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    label = np.zeros(len(points), dtype=np.int64)
    scalp = (y > 0.485 - 0.2 * (z + 0.0) * (z < 0.05)) & (y > 0.44 + 0.9 * (z - 0.035))
    label[scalp & (y > 0.39 - 0.2 * (z + 0.1)) & (x < 0.2)] = 1
    label[(x < 0.2) & (y > 0.375) & (z < -0.03 + 0.35 * (y - 0.42))] = 1
    neck = (np.hypot(x, z + 0.03) < 0.086) & (y > 0.245 - 0.5 * z)
    label[(y < 0.31) & ~neck & (y > -0.20) & (x < 0.33)] = 2
    label[(y <= -0.20) & (y > -1.07)] = 3
    label[y <= -1.07] = 4
    eyes = ((x - 0.031) / 0.013) ** 2 + ((y - 0.443) / 0.007) ** 2 < 1
    lips = (x / 0.024) ** 2 + ((y - 0.379) / 0.009) ** 2 < 1
    label[eyes & (z > 0.06)] = 5
    label[lips & (z > 0.06)] = 6
    return label
