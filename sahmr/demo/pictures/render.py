"""Ray-cast pictures of the empty room: one static background per camera, with its depth.

Colors are linear RGB until :func:`to_bytes`. Light is one sun or lamp plus a sky dome.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.pictures.paint import paint, sky
from sahmr.demo.places.room import Room, coarse_surface
from sahmr.demo.places.view import RoomCamera
from sahmr.geometry.rays import Caster

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SUN_SPREAD = (-0.035, 0.035)  # jitter of the sun's direction: soft shadow borders
SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A room ready to be looked at."""

    room: Room
    caster: Caster
    owner: NDArray[np.int64]
    normals: Array

    @property
    def sun(self) -> Array:
        """Unit direction to the light."""
        light = np.array(self.room.light)
        return np.asarray(light / np.sqrt((light**2).sum()))


def set_stage(room: Room) -> Stage:
    """Prepare a room for rays."""
    surface = coarse_surface(room)
    corners = surface.vertices[surface.faces]  # [f, 3, 3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # [f, 3]
    normals /= np.sqrt((normals**2).sum(1))[:, None]
    return Stage(room=room, caster=Caster(surface.vertices, surface.faces), owner=surface.owner, normals=normals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """The empty room as one camera sees it, rows first.

    Attributes:
        color: what the picture shows [h, w, 3].
        dome, sunny: the two parts ``color`` is the sum of: sky light and sunlight.
        depth: camera z [h, w], infinite in the sky.
    """

    color: Array
    dome: Array
    sunny: Array
    depth: Array
    normal: Array


def light_strength(stage: Stage) -> tuple[float, float]:
    """Strength of sun and dome."""
    return (0.55, 0.62) if stage.room.indoor else (0.95, 0.45)


def sunlit(stage: Stage, points: Array, normals: Array, others: Sequence[Caster]) -> Array:
    """Share [n] 0..1 of direct light that reaches surface points, soft at shadow borders."""
    facing = np.clip(np.einsum("nk,k->n", normals, stage.sun), 0.0, 1.0)  # [n]; Lambert
    share = np.zeros(len(points))
    lit = facing > 0
    start = points[lit] + normals[lit] * 4e-3
    side = np.cross(stage.sun, [0.0, 0.0, 1.0])
    for jitter in SUN_SPREAD:
        toward = stage.sun + jitter * side + np.array([0.0, 0.0, jitter])
        free = np.ones(len(start), dtype=bool)
        for caster in (stage.caster, *others):
            free[free] = ~caster.blocked(start[free], toward)
        share[lit] += free / len(SUN_SPREAD)
    return np.asarray(share * facing)


def dome_light(normals: Array) -> Array:
    """Sky light [n] by how much a surface looks up."""
    return np.asarray(0.62 + 0.38 * normals[:, 2])


def paint_background(stage: Stage, view: RoomCamera) -> Background:
    """Render the empty room."""
    rows, columns = np.mgrid[0 : view.height, 0 : view.width]
    pixels = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64)  # [h w, 2]
    dome, sunny, depth, normal = _shade_room(stage, view, pixels)
    shape = (view.height, view.width)
    # Supersampling where it shows: only pixels at a step of depth or normal get four rays.
    near = np.minimum(depth, 30.0)  # smooth the stairs where the surface changes, not the far floor
    step = steps(near.reshape(shape), 0.3) | steps((normal * [1.0, 2.0, 4.0]).sum(1).reshape(shape), 0.01)
    edge = np.flatnonzero(step.ravel())  # [e]
    if len(edge):
        parts = [_shade_room(stage, view, pixels[edge] + np.array(sub)) for sub in SUBPIXELS]
        dome[edge] = np.mean([p[0] for p in parts], axis=0)
        sunny[edge] = np.mean([p[1] for p in parts], axis=0)
    return Background(
        color=(dome + sunny).reshape(*shape, 3),
        dome=dome.reshape(*shape, 3),
        sunny=sunny.reshape(*shape, 3),
        depth=depth.reshape(shape),
        normal=normal.reshape(*shape, 3),
    )


def steps(values: Array, height: float) -> Mask:
    """Pixels [h, w] on either side of a jump by more than ``height``."""
    step = np.zeros(values.shape, dtype=bool)
    across, down = np.abs(np.diff(values, axis=1)) > height, np.abs(np.diff(values, axis=0)) > height
    step[:, 1:] |= across
    step[:, :-1] |= across
    step[1:] |= down
    step[:-1] |= down
    return step


def _shade_room(stage: Stage, view: RoomCamera, pixels: Array) -> tuple[Array, Array, Array, Array]:
    rays = view.rays(pixels)
    depth, face, _ = stage.caster.first(view.center, rays)
    hit = face >= 0
    normal = np.zeros_like(rays)
    normal[hit] = stage.normals[face[hit]]
    points = view.center + np.where(hit, depth, 0.0)[:, None] * rays  # [n, 3]
    dome, sunny = sky(stage.room, rays), np.zeros_like(rays)
    albedo = paint(stage.room, stage.owner[face[hit]], points[hit], normal[hit])  # [hits, 3]
    sun, ambient = light_strength(stage)
    dome[hit] = albedo * (ambient * dome_light(normal[hit]))[:, None]
    sunny[hit] = albedo * (sun * sunlit(stage, points[hit], normal[hit], ()))[:, None]
    return dome, sunny, depth, normal


_LEVELS = 4095
_RAMP = np.sqrt(np.arange(_LEVELS + 1) / _LEVELS)
_TO_BYTE = np.round(255 * (0.85 * _RAMP + 0.15 * np.sqrt(_RAMP))).astype(np.uint8)  # near gamma 2.2, square roots only


def to_bytes(picture: Array, exposure: float = 1.0) -> NDArray[np.uint8]:
    """Linear RGB to 8-bit display values through a table."""
    scaled = np.clip(picture * (exposure * _LEVELS), 0.0, _LEVELS)
    return np.asarray(_TO_BYTE[scaled.astype(np.int16)])
