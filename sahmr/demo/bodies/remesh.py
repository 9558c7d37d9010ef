"""From a distance field to a closed triangle mesh with an exact number of vertices: surface nets, collapse, relax."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Vertices [v, 3] and triangles [f, 3], counter-clockwise seen from outside."""

    vertices: Array
    faces: Index


def surface_nets(values: Array, axes: tuple[Array, Array, Array]) -> Mesh:
    """One vertex per grid cell that the zero level crosses, one quad per crossing grid edge.

    Args:
        values: signed distance on a tensor grid [x, y, z], negative inside, positive on the whole border.
        axes: grid coordinates along x, y and z; they may be unevenly spaced.
    """
    # Gibson, Constrained Elastic Surface Nets, 1998, without the elastic: relax() does that later.
    inside = values < 0
    shape = np.array(values.shape)
    weight = np.zeros(tuple(shape - 1))
    position = np.zeros((*(shape - 1), 3))  # [cells x, y, z, 3]; sum of the crossings round each cell
    quads = []
    for axis in range(3):
        low = np.moveaxis(inside, axis, 0)[:-1]
        high = np.moveaxis(inside, axis, 0)[1:]
        # Lower ends [n, 3] of the grid edges whose ends lie on different sides.
        cells = np.stack(np.nonzero(np.moveaxis(low != high, 0, axis)), 1)
        crossing = _crossings(values, axes, cells, axis)  # [n, 3]
        around = _cells_around(cells, axis)  # [n, 4, 3]
        for corner in range(4):
            np.add.at(weight, tuple(around[:, corner].T), 1.0)
            np.add.at(position, tuple(around[:, corner].T), crossing)
        flat = np.ravel_multi_index(tuple(np.moveaxis(around, 2, 0)), tuple(shape - 1))  # [n, 4]
        starts_inside = inside[tuple(cells.T)]
        quads.append(np.where(starts_inside[:, None], flat, flat[:, ::-1]))  # turned so that outside is in front
    quad = np.concatenate(quads)
    used = np.flatnonzero(weight.ravel())
    number = np.full(weight.size, -1, dtype=np.int64)
    number[used] = np.arange(len(used))
    vertices = position.reshape(-1, 3)[used] / weight.ravel()[used, None]  # [v, 3]; mean crossing, as in surface nets
    return Mesh(vertices=vertices, faces=_quads_to_triangles(vertices, number[quad]))


def _crossings(values: Array, axes: tuple[Array, Array, Array], cells: Index, axis: int) -> Array:
    """Where the zero level cuts the grid edges that start at ``cells`` and run along ``axis``."""
    step = np.eye(3, dtype=np.int64)[axis]
    first, second = values[tuple(cells.T)], values[tuple((cells + step).T)]
    fraction = first / (first - second)  # [n]; linear interpolation
    points = np.stack([axes[k][cells[:, k]] for k in range(3)], 1)
    points[:, axis] += fraction * (axes[axis][cells[:, axis] + 1] - axes[axis][cells[:, axis]])
    return points


def _cells_around(cells: Index, axis: int) -> Index:
    """The four cells [n, 4, 3] that share a grid edge, in turning order."""
    one, two = np.eye(3, dtype=np.int64)[[(axis + 1) % 3, (axis + 2) % 3]]
    offsets = np.stack([-one - two, -two, 0 * one, -one])
    return np.asarray(cells[:, None] + offsets)


def _quads_to_triangles(vertices: Array, quads: Index) -> Index:
    """Cut every quad along its shorter diagonal."""
    a, b, c, d = quads.T
    straight = np.linalg.norm(vertices[a] - vertices[c], axis=1) <= np.linalg.norm(vertices[b] - vertices[d], axis=1)
    first = np.where(straight[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    second = np.where(straight[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.concatenate([first, second])


def check_closed(faces: Index) -> None:
    """Fail unless every directed edge occurs once and its opposite once."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    code = directed[:, 0] * (faces.max() + 1) + directed[:, 1]
    back = directed[:, 1] * (faces.max() + 1) + directed[:, 0]
    if len(np.unique(code)) != len(code) or not np.isin(code, back).all():
        raise ValueError("the mesh is not a closed oriented surface; change the grid that polygonised it")


class Collapser:
    """Shortens a mesh by collapsing its relatively shortest edges; keeps it closed."""

    def __init__(self, mesh: Mesh, size: Array, *, keep_vertices: bool = False) -> None:
        """``size`` [v] is the wanted edge length at each vertex; edges are ranked by length / size.

        ``keep_vertices`` merges an edge into one of its ends instead of its middle, so the survivors are a subset.
        """
        self.keep_vertices = keep_vertices
        self.position = [tuple(row) for row in mesh.vertices.tolist()]
        self.size: list[float] = size.tolist()
        self.faces: list[tuple[int, int, int] | None] = [(a, b, c) for a, b, c in mesh.faces.tolist()]
        self.around: list[set[int]] = [set() for _ in self.position]
        for index, face in enumerate(mesh.faces.tolist()):
            for vertex in face:
                self.around[vertex].add(index)
        self.stamp = [0] * len(self.position)
        self.alive = len(self.position)
        self.heap: list[tuple[float, int, int, int, int]] = []
        for a, b in face_edges(mesh.faces).tolist():
            self._push(a, b)

    def reduce(self, count: int) -> None:
        """Collapse edges until ``count`` vertices are left."""
        while self.alive > count:
            if not self.heap:
                raise ValueError(f"no edge is left to collapse at {self.alive} vertices, {count} were asked for")
            _, a, b, stamp_a, stamp_b = heapq.heappop(self.heap)
            if self.stamp[a] == stamp_a and self.stamp[b] == stamp_b:
                self._collapse(a, b)

    def survivors(self) -> Index:
        """Numbers of the starting mesh's vertices that are left, ascending."""
        return np.array([vertex for vertex, faces in enumerate(self.around) if faces], dtype=np.int64)

    def mesh(self) -> Mesh:
        """The mesh as it stands, vertices renumbered from 0."""
        faces = np.array([face for face in self.faces if face is not None], dtype=np.int64)
        used = np.unique(faces)
        number = np.full(len(self.position), -1, dtype=np.int64)
        number[used] = np.arange(len(used))
        return Mesh(vertices=np.array(self.position)[used], faces=number[faces])

    def _push(self, a: int, b: int) -> None:
        (ax, ay, az), (bx, by, bz) = self.position[a], self.position[b]
        length = ((ax - bx) ** 2 + (ay - by) ** 2 + (az - bz) ** 2) ** 0.5
        excess = max(0, len(self.around[a]) + len(self.around[b]) - 12)  # over the six faces of each regular vertex
        rank = length / (self.size[a] + self.size[b]) * (1 + 0.02 * excess)
        heapq.heappush(self.heap, (rank, a, b, self.stamp[a], self.stamp[b]))

    def _neighbours(self, vertex: int) -> set[int]:
        found = {v for index in self.around[vertex] for v in self._face(index)}
        found.discard(vertex)
        return found

    def _face(self, index: int) -> tuple[int, int, int]:
        face = self.faces[index]
        assert face is not None
        return face

    def _collapse(self, a: int, b: int) -> None:
        # Link condition: the ends share exactly two neighbours, or the surface would pinch (Dey et al., 1999).
        near_a, near_b = self._neighbours(a), self._neighbours(b)
        if len(near_a & near_b) != 2 or len(near_a) + len(near_b) > 14:
            return
        (ax, ay, az), (bx, by, bz) = self.position[a], self.position[b]
        middle = ((ax + bx) / 2, (ay + by) / 2, (az + bz) / 2)
        if self.keep_vertices:
            middle = (ax, ay, az)
        gone = self.around[a] & self.around[b]
        if any(self._flips(index, a, middle) for index in self.around[a] - gone):
            return
        if any(self._flips(index, b, middle) for index in self.around[b] - gone):
            return
        for index in gone:
            for vertex in self._face(index):
                self.around[vertex].discard(index)
            self.faces[index] = None
        for index in self.around[b]:
            x, y, z = self._face(index)
            self.faces[index] = (a if x == b else x, a if y == b else y, a if z == b else z)
        self.around[a] |= self.around[b]
        self.around[b] = set()
        self.position[a] = middle
        self.size[a] = (self.size[a] + self.size[b]) / 2
        self.stamp[a] += 1
        self.stamp[b] += 1
        self.alive -= 1
        for other in sorted(self._neighbours(a)):
            self._push(a, other)

    def _flips(self, index: int, moved: int, target: tuple[float, float, float]) -> bool:
        """Would this triangle turn over or become a needle when one corner moves?"""
        face = self._face(index)
        turn = face.index(moved)
        p, q, r = self.position[moved], self.position[face[turn - 2]], self.position[face[turn - 1]]
        before, after = _cross(p, q, r), _cross(target, q, r)
        dot = before[0] * after[0] + before[1] * after[1] + before[2] * after[2]
        return bool(dot <= (0.0 if self.keep_vertices else 0.3) * (_dot(before) * _dot(after)) ** 0.5)


def _cross(p: tuple[float, ...], q: tuple[float, ...], r: tuple[float, ...]) -> tuple[float, float, float]:
    ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


def _dot(v: tuple[float, float, float]) -> float:
    return v[0] * v[0] + v[1] * v[1] + v[2] * v[2]


def face_edges(faces: Index) -> Index:
    """Every undirected edge once, sorted, [e, 2]."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.asarray(np.unique(np.sort(directed, 1), axis=0))


def flip_edges(mesh: Mesh) -> Mesh:
    """One pass of edge flips where the two angles facing an edge add up to more than 180 degrees."""
    faces = mesh.faces.copy()
    count = len(mesh.vertices)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    owner = np.tile(np.arange(len(faces)), 3)
    facing = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    code = directed[:, 0] * count + directed[:, 1]
    order = np.argsort(code)
    twin = order[np.searchsorted(code[order], directed[:, 1] * count + directed[:, 0])]
    angle = _angle(mesh.vertices, facing, directed)
    excess = angle + angle[twin] - np.pi  # [3 f]; Delaunay: flip where it is positive
    half = np.flatnonzero((excess > 0.03) & (directed[:, 0] < directed[:, 1]))
    edges = {(min(a, b), max(a, b)) for a, b in directed.tolist()}
    touched = np.zeros(len(faces), dtype=bool)
    for e in half[np.argsort(-excess[half], kind="stable")].tolist():
        one, two = owner[e], owner[twin[e]]
        (a, b), c, d = directed[e], facing[e], facing[twin[e]]
        if touched[one] or touched[two] or (min(c, d), max(c, d)) in edges or _bent(mesh.vertices, a, b, c, d):
            continue
        edges.add((min(c, d), max(c, d)))
        faces[one], faces[two] = (a, d, c), (b, c, d)
        touched[one] = touched[two] = True
    return Mesh(vertices=mesh.vertices, faces=faces)


def _angle(vertices: Array, apex: Index, edge: Index) -> Array:
    u, v = vertices[edge[:, 0]] - vertices[apex], vertices[edge[:, 1]] - vertices[apex]
    return np.asarray(np.arctan2(np.linalg.norm(np.cross(u, v), axis=1), (u * v).sum(1)))


def _bent(vertices: Array, a: np.int64, b: np.int64, c: np.int64, d: np.int64) -> bool:
    """Would flipping edge a-b to c-d fold the surface?"""
    old = np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
    new_one = np.cross(vertices[d] - vertices[a], vertices[c] - vertices[a])
    new_two = np.cross(vertices[c] - vertices[b], vertices[d] - vertices[b])
    lengths = float(np.linalg.norm(new_one) * np.linalg.norm(new_two))
    return bool(new_one @ new_two < 0.5 * lengths or new_one @ old <= 0 or new_two @ old <= 0)


def relax(
    mesh: Mesh, project: Callable[[Array], Array], size: Callable[[Array], Array], rounds: Iterable[float]
) -> Mesh:
    """Even out the triangles: flip edges, drift each vertex to its neighbours' size-weighted mean, project back.

    ``rounds`` gives the step (0..1) of each round.
    """
    for step in rounds:
        mesh = flip_edges(mesh)
        edges = face_edges(mesh.faces)
        pairs = np.concatenate([edges, edges[:, ::-1]])
        length = np.linalg.norm(mesh.vertices[pairs[:, 0]] - mesh.vertices[pairs[:, 1]], axis=1)
        wanted = size(mesh.vertices)
        pull = length / (wanted[pairs[:, 0]] + wanted[pairs[:, 1]])  # [2 e]
        total = np.bincount(pairs[:, 0], pull, len(mesh.vertices))
        mean = np.stack(
            [np.bincount(pairs[:, 0], pull * mesh.vertices[pairs[:, 1], k], len(mesh.vertices)) for k in range(3)], 1
        )
        moved = mesh.vertices + step * (mean / total[:, None] - mesh.vertices)
        mesh = Mesh(vertices=project(moved), faces=mesh.faces)
    return mesh
