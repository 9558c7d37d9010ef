"""Boxes on a floor: furniture, walls and the places where people can use them.

Room frame of everything here: z up, floor at z = 0, metres; "yaw" turns counter-clockwise seen from above, and a
yaw of 0 faces +x.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Color = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box turned about the vertical. Color is linear RGB 0..1; ``material`` names a texture of the painter."""

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float = 0.0
    material: str = "plain"
    color: Color = (0.5, 0.5, 0.5)

    def axes(self) -> Array:
        """Rows are the box's own x, y, z directions in the room."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])

    def local(self, points: Array) -> Array:
        """Room points [n, 3] in the box's own axes, origin at its centre."""
        return np.asarray(np.einsum("ij,nj->ni", self.axes(), points - np.array(self.center)))

    def distance(self, points: Array) -> Array:
        """Exact signed distance [n] to the box, negative inside."""
        q = np.abs(self.local(points)) - np.array(self.half)
        outside = np.sqrt((np.maximum(q, 0.0) ** 2).sum(1))
        return np.asarray(outside + np.minimum(q.max(1), 0.0))

    @property
    def top(self) -> float:
        """Height of its upper face."""
        return self.center[2] + self.half[2]

    @property
    def bottom(self) -> float:
        """Height of its lower face."""
        return self.center[2] - self.half[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place where a person can do some things.

    Attributes:
        kinds: pose kinds (pose.py) that fit here.
        center: middle of the allowed positions, on the support. For seats: a point of the front edge; for walls and
            tables: a point of the face or edge that the hands touch.
        extent: half sizes along and across ``facing`` within which the position is drawn.
        facing: yaw the person looks to (seat: away from the back rest; wall: towards it; lying: head direction);
            None: any.
        support: height of what carries the body (floor, seat, mat).
        touch: height of the table top for hands; None for a wall, or nothing to touch.
    """

    kinds: tuple[str, ...]
    center: tuple[float, float]
    extent: tuple[float, float]
    facing: float | None = None
    support: float = 0.0
    touch: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Everything that does not move.

    Attributes:
        floor: half sizes of the scanned floor, centred on the origin; the painted ground goes on beyond it.
        light: direction towards the sun or lamp.
        sky: colors at the horizon and overhead; indoors the far walls' colors.
        reach: half side of the painted ground, metres; beyond it begins the sky or far wall.
    """

    name: str
    boxes: tuple[Box, ...]
    spots: tuple[Spot, ...]
    floor: tuple[float, float] = (4.0, 4.0)
    floor_material: str = "asphalt"
    floor_color: Color = (0.35, 0.35, 0.35)
    light: tuple[float, float, float] = (0.4, 0.3, 0.85)
    sky: tuple[Color, Color] = ((0.75, 0.8, 0.85), (0.35, 0.5, 0.8))
    indoor: bool = False
    reach: float = 60.0

    def distance(self, points: Array) -> Array:
        """Exact signed distance [n] to floor and boxes; negative inside a box or under the floor."""
        result = points[:, 2].copy()
        for box in self.boxes:
            result = np.minimum(result, box.distance(points))
        return result

    def clearance(self, points: Array) -> Array:
        """Horizontal-ish distance [n] of points to anything higher than 6 cm (mats are walked on)."""
        result = np.full(len(points), np.inf)
        for box in self.boxes:
            if box.top > 0.06:
                result = np.minimum(result, box.distance(points))
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A triangle mesh in the room frame; ``owner`` is the box index of each face, -1 for the floor."""

    vertices: Array
    faces: NDArray[np.int64]
    owner: NDArray[np.int64]


@dataclass(slots=True)
class _Patches:
    """Collects rectangles and turns them into one grid mesh."""

    vertices: list[Array] = field(default_factory=list)
    faces: list[NDArray[np.int64]] = field(default_factory=list)
    owner: list[NDArray[np.int64]] = field(default_factory=list)
    count: int = 0

    def add(self, corner: Array, u: Array, v: Array, spacing: float, owner: int) -> None:
        """A rectangle corner + a u + b v, seen from the side of u x v, cut into squares of about ``spacing``."""
        nu, nv = (max(1, int(np.ceil(np.linalg.norm(edge) / spacing - 1e-9))) for edge in (u, v))
        a, b = np.meshgrid(np.arange(nu + 1) / nu, np.arange(nv + 1) / nv, indexing="ij")
        self.vertices.append(corner + a.reshape(-1, 1) * u + b.reshape(-1, 1) * v)
        index = np.arange((nu + 1) * (nv + 1)).reshape(nu + 1, nv + 1) + self.count
        p, q, r, s = (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:])
        odd = (np.add.outer(np.arange(nu), np.arange(nv)) % 2 == 1).ravel()
        straight = np.stack([np.stack([p, q, r], -1), np.stack([p, r, s], -1)], 2).reshape(-1, 2, 3)
        crossed = np.stack([np.stack([p, q, s], -1), np.stack([q, r, s], -1)], 2).reshape(-1, 2, 3)
        faces = np.where(odd[:, None, None], crossed, straight).reshape(-1, 3)
        self.faces.append(faces)
        self.owner.append(np.full(len(faces), owner))
        self.count += (nu + 1) * (nv + 1)

    def surface(self) -> Surface:
        """All rectangles as one mesh."""
        return Surface(
            vertices=np.concatenate(self.vertices), faces=np.concatenate(self.faces), owner=np.concatenate(self.owner)
        )


def _add_box(patches: _Patches, box: Box, spacing: float, owner: int, with_bottom: bool) -> None:
    center, half, axes = np.array(box.center), np.array(box.half), box.axes()
    for k in range(3):
        for sign in (1.0, -1.0):
            if k == 2 and sign < 0 and not with_bottom:
                continue
            i, j = ((k + 1) % 3, (k + 2) % 3) if sign > 0 else ((k + 2) % 3, (k + 1) % 3)
            u, v = 2 * half[i] * axes[i], 2 * half[j] * axes[j]
            patches.add(center + sign * half[k] * axes[k] - u / 2 - v / 2, u, v, spacing, owner)


def coarse_surface(room: Room) -> Surface:
    """What is painted: whole boxes and a floor that goes on for ``room.reach`` metres."""
    patches, reach = _Patches(), room.reach
    patches.add(np.array([-reach, -reach, 0.0]), np.array([2 * reach, 0, 0]), np.array([0, 2 * reach, 0]), 9e9, -1)
    for owner, box in enumerate(room.boxes):
        _add_box(patches, box, 9e9, owner, box.bottom > 0.02)
    return patches.surface()


def scan_surface(room: Room, spacing: float) -> Surface:
    """What a scanner would have seen: an open mesh, no undersides, no floor below furniture.

    Args:
        room: the room.
        spacing: edge length of the triangles' squares.
    """
    patches = _Patches()
    x, y = room.floor
    patches.add(np.array([-x, -y, 0.0]), np.array([2 * x, 0, 0]), np.array([0, 2 * y, 0]), spacing, -1)
    for owner, box in enumerate(room.boxes):
        _add_box(patches, box, spacing, owner, False)
    surface = patches.surface()
    corners = surface.vertices[surface.faces]
    centers = corners.mean(1)
    outside = (np.abs(centers[:, 0]) <= x + 0.3) & (np.abs(centers[:, 1]) <= y + 0.3)
    for owner, box in enumerate(room.boxes):
        outside &= (surface.owner == owner) | (box.distance(centers) > -1e-3)
        if box.bottom < 0.02:  # the floor under it
            local = np.abs(box.local(centers))
            outside &= ~((surface.owner == -1) & (local[:, :2] < np.array(box.half[:2])).all(1))
    faces, owner_kept = surface.faces[outside], surface.owner[outside]
    used = np.unique(faces)
    number = np.full(len(surface.vertices), -1)
    number[used] = np.arange(len(used))
    return Surface(vertices=surface.vertices[used], faces=number[faces], owner=owner_kept)


def turned(items: Sequence[Box], x: float, y: float, yaw: float) -> tuple[Box, ...]:
    """Furniture built at the origin, turned by ``yaw`` and moved to (x, y)."""
    c, s = math.cos(yaw), math.sin(yaw)
    return tuple(
        replace(
            b,
            center=(x + c * b.center[0] - s * b.center[1], y + s * b.center[0] + c * b.center[1], b.center[2]),
            yaw=b.yaw + yaw,
        )
        for b in items
    )
