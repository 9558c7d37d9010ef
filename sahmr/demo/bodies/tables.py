"""Side tables of the made-up body models: mesh transfer, 17-joint regressor, mesh hierarchy, contact parts.

Body frame, metres; numbers of vertices and orders as in formats (e): 6890 / 1723 / 431 vertices, 17 H36M joints,
parts 0..7 (none, left sole, right sole, left hand, right hand, back, gluteus, thighs).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sahmr.demo.bodies.mesh import SMPL_VERTICES, SMPLX_VERTICES, wanted_size
from sahmr.demo.bodies.remesh import Collapser, Mesh, face_edges
from sahmr.demo.bodies.rig import BODY_JOINTS
from sahmr.demo.bodies.surface import SOLE_Y, body_normals

Array = NDArray[np.float64]
Index = NDArray[np.int64]

COARSE_VERTICES, MIDDLE_VERTICES = 431, 1723
PART_NAMES = ("default", "L_Leg", "R_Leg", "L_Hand", "R_Hand", "back", "gluteus", "thighs")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshHierarchy:
    """6890 -> 1723 -> 431 vertices: adjacency (3), upsamplers (2), selecting downsamplers (2), faces (3)."""

    adjacency: tuple[sp.csc_matrix, ...]
    upsample: tuple[sp.csc_matrix, ...]
    downsample: tuple[sp.csc_matrix, ...]
    faces: tuple[NDArray[np.uint32], ...]
    vertices: tuple[Array, ...]

    def coarse(self) -> Index:
        """Numbers [431] of the SMPL vertices that make up the coarse mesh."""
        return np.asarray(self.downsample[0].tocsr().indices[self.downsample[1].tocsr().indices], dtype=np.int64)


def nearest_barycentric(points: Array, mesh: Mesh, candidates: int = 16) -> tuple[Index, Array]:
    """For points [n, 3] the nearest triangle of a mesh: its vertices [n, 3] and weights [n, 3] >= 0, sum 1."""
    corners = mesh.vertices[mesh.faces]
    _, near = cKDTree(corners.mean(1)).query(points, k=candidates)
    triangle = corners[near]
    weights = _closest_weights(points[:, None], triangle)
    away = np.linalg.norm((weights[..., None] * triangle).sum(2) - points[:, None], axis=2)
    best = away.argmin(1)
    rows = np.arange(len(points))
    return mesh.faces[near[rows, best]], weights[rows, best]


def _closest_weights(points: Array, triangle: Array) -> Array:
    """Barycentric weights [..., 3] of the point of each triangle [..., 3, 3] closest to points [..., 3]."""
    a, b, c = triangle[..., 0, :], triangle[..., 1, :], triangle[..., 2, :]
    normal = np.cross(b - a, c - a)
    area = (normal**2).sum(-1)
    one = (np.cross(c - b, points - b) * normal).sum(-1) / area
    two = (np.cross(a - c, points - c) * normal).sum(-1) / area
    best = np.stack([one, two, 1 - one - two], -1)
    distance = np.where((best >= 0).all(-1), 0.0, np.inf)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        p, q = triangle[..., first, :], triangle[..., second, :]
        t = np.clip(((points - p) * (q - p)).sum(-1) / ((q - p) ** 2).sum(-1), 0.0, 1.0)
        away = ((p + t[..., None] * (q - p) - points) ** 2).sum(-1)
        on_edge = np.zeros_like(best)
        on_edge[..., first], on_edge[..., second] = 1 - t, t
        better = away < distance
        best = np.where(better[..., None], on_edge, best)
        distance = np.where(better, away, distance)
    return np.asarray(best)


def _interpolation(points: Array, mesh: Mesh, columns: int) -> sp.csc_matrix:
    """Sparse [n, columns] matrix that reads mesh vertices at points; exactly three entries a row."""
    index, weight = nearest_barycentric(points, mesh)
    weight = np.maximum(weight, 1e-9)
    weight /= weight.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), 3)
    return sp.csc_matrix((weight.ravel(), (rows, index.ravel())), shape=(len(points), columns))


def transfer_matrix(smpl: Mesh, smplx_closed: Mesh) -> sp.csc_matrix:
    """SMPL-X to SMPL vertices, [6890, 20950]; the second half of the columns (normals) stays zero."""
    return _interpolation(smpl.vertices, smplx_closed, 2 * SMPLX_VERTICES)


def h36m_regressor(vertices: Array, rng: np.random.Generator) -> Array:
    """Regressor [17, 6890] in the H36M order of formats (e.2); 8 entries a row, row sums 0.9996 to 1."""
    joints = BODY_JOINTS[[0, 2, 5, 8, 1, 4, 7, 3, 12, 15, 15, 16, 18, 20, 17, 19, 21]].copy()
    joints[7] = [0.0, 0.02, -0.010]
    joints[8] = [0.0, 0.295, -0.010]
    joints[9] = [0.0, 0.420, 0.105]
    joints[10] = [0.0, 0.500, 0.010]
    regressor = np.zeros((17, SMPL_VERTICES))
    scale = 1.0 - rng.permutation(17) * 2.4e-5
    for row, joint in enumerate(joints):
        chosen = _surrounding(vertices, joint, 8)
        local = np.concatenate([(vertices[chosen] - joint).T, np.ones((1, 8))])
        weight = np.full(8, 1 / 8)
        weight += np.linalg.pinv(local) @ (np.array([0, 0, 0, 1.0]) - local @ weight)
        regressor[row, chosen] = weight * scale[row]
    return regressor


def _surrounding(vertices: Array, joint: Array, count: int) -> Index:
    """Near vertices that look at the joint from all sides: farthest-point sampling over 60 neighbours' directions."""
    _, near = cKDTree(vertices).query(joint, k=60)
    direction = vertices[near] - joint
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int((direction @ direction[chosen].T).max(1).argmin()))
    return np.asarray(near[chosen], dtype=np.int64)


def _adjacency(faces: Index, count: int) -> sp.csc_matrix:
    edges = face_edges(faces)
    both = np.concatenate([edges, edges[:, ::-1]])
    return sp.csc_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))


def mesh_hierarchy(mesh: Mesh) -> MeshHierarchy:
    """Thin the 6890-vertex mesh out to 1723 and 431 of its own vertices, closed at every level."""
    size = wanted_size(mesh.vertices) ** 0.5
    collapser = Collapser(mesh, size, keep_vertices=True)
    levels, kept = [mesh], [np.arange(len(mesh.vertices))]
    for count in (MIDDLE_VERTICES, COARSE_VERTICES):
        collapser.reduce(count)
        levels.append(collapser.mesh())
        kept.append(collapser.survivors())
    down = []
    for fine, coarse in pairwise(kept):
        columns = np.searchsorted(fine, coarse)
        entries = (np.ones(len(coarse)), (np.arange(len(coarse)), columns))
        down.append(sp.csc_matrix(entries, shape=(len(coarse), len(fine))))
    up = [_interpolation(fine.vertices, coarse, len(coarse.vertices)) for fine, coarse in pairwise(levels)]
    return MeshHierarchy(
        adjacency=tuple(_adjacency(level.faces, len(level.vertices)) for level in levels),
        upsample=tuple(up),
        downsample=tuple(down),
        faces=tuple(level.faces.astype(np.uint32) for level in levels),
        vertices=tuple(level.vertices for level in levels),
    )


def part_labels(vertices: Array) -> Array:
    """Contact part 0..7 of each rest vertex [n, 3], float64 like the published table."""
    normal = body_normals(vertices)
    x, y, _ = vertices.T
    side = np.abs(x)
    part = np.zeros(len(vertices))
    sole = (y < SOLE_Y + 0.014) & (normal[:, 1] < -0.5)
    palm = (side > 0.700) & (normal[:, 1] < 0.35)
    back = (normal[:, 2] < -0.6) & (y > 0.02) & (y < 0.235) & (side < 0.145)
    gluteus = (normal[:, 2] < -0.45) & (y > -0.415) & (y < -0.245) & (side < 0.15)
    thighs = (normal[:, 2] < -0.75) & (y > -0.58) & (y <= -0.415)
    for number, chosen in ((5, back), (6, gluteus), (7, thighs)):
        part[chosen] = number
    for number, sign in ((1, 1), (2, -1)):
        part[sole & (x * sign > 0)] = number
        part[palm & (x * sign > 0)] = number + 2
    return part
