"""Draws people into a background: their shading, what hides them, and the shadows they cast."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.pictures.render import (
    SUBPIXELS,
    SUN_SPREAD,
    Background,
    Mask,
    Stage,
    dome_light,
    light_strength,
    steps,
    sunlit,
)
from sahmr.demo.places.view import RoomCamera
from sahmr.geometry.rays import Caster

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A dressed body: vertices [v, 3] (room frame), faces [f, 3], linear RGB [v, 3] and smooth normals [v, 3]."""

    vertices: Array
    faces: NDArray[np.int64]
    color: Array
    normals: Array


def figure(vertices: Array, faces: NDArray[np.int64], color: Array) -> Figure:
    """A figure with area-weighted vertex normals."""
    return Figure(vertices=vertices, faces=faces, color=color, normals=vertex_normals(vertices, faces))


def vertex_normals(vertices: Array, faces: NDArray[np.int64]) -> Array:
    """Area-weighted unit normals [v, 3]."""
    corners = vertices[faces]
    face_normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face_normal[:, k], 3), minlength=len(vertices)) for k in range(3)],
        1,
    )
    return np.asarray(total / np.maximum(np.sqrt((total**2).sum(1)), 1e-12)[:, None])


def paint_people(stage: Stage, view: RoomCamera, background: Background, figures: Sequence[Figure]) -> Array:
    """The background with people in it: linear RGB [h, w, 3]."""
    picture = background.color.copy()
    if not figures:
        return picture
    vertices = np.concatenate([f.vertices for f in figures])
    starts = np.cumsum([0, *(len(f.vertices) for f in figures)])
    faces = np.concatenate([f.faces + start for f, start in zip(figures, starts[:-1], strict=True)])
    people = Figure(
        vertices=vertices,
        faces=faces,
        color=np.concatenate([f.color for f in figures]),
        normals=np.concatenate([f.normals for f in figures]),
    )
    caster = Caster(vertices, faces)
    _cast_shadows(stage, view, background, people, caster, picture)
    _draw(stage, view, background, people, caster, picture)
    return picture


def _window(view: RoomCamera, points: Array, margin: int) -> tuple[int, int, int, int] | None:
    """Pixel window (left, top, right, bottom), right and bottom exclusive, round projected points."""
    pixels = view.project(points)
    if np.isnan(pixels).any():
        return 0, 0, view.width, view.height
    low, high = np.floor(pixels.min(0)).astype(int) - margin, np.ceil(pixels.max(0)).astype(int) + margin + 1
    left, top, right, bottom = max(low[0], 0), max(low[1], 0), min(high[0], view.width), min(high[1], view.height)
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def _pixels(window: tuple[int, int, int, int], stride: int = 1) -> Array:
    left, top, right, bottom = window
    rows, columns = np.mgrid[top:bottom:stride, left:right:stride]
    return np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64)


def _cast_shadows(
    stage: Stage, view: RoomCamera, background: Background, people: Figure, caster: Caster, picture: Array
) -> None:
    """Darken the room where bodies block the sun, and a little where they are near (sky light)."""
    ground = people.vertices[::5].copy()
    drop = np.clip(ground[:, 2] / max(stage.sun[2], 0.2), 0.0, 3.0)
    ground -= drop[:, None] * stage.sun
    window = _window(view, np.concatenate([people.vertices[::5], ground]), 12)
    if window is None:
        return
    left, top, right, bottom = window
    area = (slice(top, bottom, 2), slice(left, right, 2))
    depth, normal = background.depth[area].ravel(), background.normal[area].reshape(-1, 3)
    rays = view.rays(_pixels(window, 2))
    solid = np.isfinite(depth)
    points = view.center + depth[solid, None] * rays[solid] + normal[solid] * 4e-3
    low, high = people.vertices.min(0), people.vertices.max(0)
    near = np.flatnonzero(((points > low - 3.0) & (points < high + 0.6)).all(1))
    points, facing = points[near], normal[solid][near]
    sun, dome = np.ones(len(depth)), np.ones(len(depth))
    index = np.flatnonzero(solid)[near]
    side = np.cross(stage.sun, [0.0, 0.0, 1.0])
    for jitter in SUN_SPREAD:
        toward = stage.sun + jitter * side + np.array([0.0, 0.0, jitter])
        sun[index] -= caster.blocked(points, toward) / len(SUN_SPREAD)
    for tilt in ((0.8, 0.2, 0.3), (-0.5, 0.8, 0.35), (-0.3, -0.9, 0.3), (0.1, 0.0, 1.0)):
        toward = facing + np.array(tilt)
        dome[index] -= 0.16 * _blocked_each(caster, points, toward)
    shape = ((bottom - top + 1) // 2, (right - left + 1) // 2)
    full = (slice(top, bottom), slice(left, right))
    up = [_enlarge(v.reshape(shape), bottom - top, right - left)[..., None] for v in (sun, dome)]
    picture[full] = background.dome[full] * up[1] + background.sunny[full] * up[0]


def _blocked_each(caster: Caster, origins: Array, directions: Array) -> Mask:
    length, _, _ = caster.first(origins, directions) if len(origins) else (np.zeros(0), None, None)
    return np.asarray(length < 0.8)


def _enlarge(values: Array, height: int, width: int) -> Array:
    """Double a map, smoothing between its samples."""
    big = np.repeat(np.repeat(values, 2, 0), 2, 1)[:height, :width]
    padded = np.pad(big, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4)


def _draw(
    stage: Stage, view: RoomCamera, background: Background, people: Figure, caster: Caster, picture: Array
) -> None:
    window = _window(view, people.vertices, 2)
    if window is None:
        return
    left, top, right, bottom = window
    shape = (bottom - top, right - left)
    pixels = _pixels(window)
    behind = background.depth[top:bottom, left:right].ravel()
    depth, color = _shade_figure(stage, view, people, caster, pixels)
    shown = depth < behind
    area = picture[top:bottom, left:right].reshape(-1, 3).copy()
    area[shown] = color[shown]
    near = np.where(shown, depth, 1e3).reshape(shape)
    edge = np.flatnonzero(steps(near, 0.04).ravel())
    base = picture[top:bottom, left:right].reshape(-1, 3)[edge]
    total = np.zeros_like(base)
    for sub in SUBPIXELS:
        depth, color = _shade_figure(stage, view, people, caster, pixels[edge] + np.array(sub))
        total += np.where((depth < behind[edge])[:, None], color, base) / len(SUBPIXELS)
    area[edge] = total
    picture[top:bottom, left:right] = area.reshape(*shape, 3)


def _shade_figure(stage: Stage, view: RoomCamera, people: Figure, caster: Caster, pixels: Array) -> tuple[Array, Array]:
    """Depth [n] (infinite beside the body) and linear RGB [n, 3]."""
    rays = view.rays(pixels)
    depth, face, uv = caster.first(view.center, rays)
    hit = np.flatnonzero(face >= 0)
    color = np.zeros((len(pixels), 3))
    if not len(hit):
        return depth, color
    corners = people.faces[face[hit]]
    weight = np.stack([1 - uv[hit].sum(1), uv[hit, 0], uv[hit, 1]], 1)
    albedo = np.einsum("nc,nck->nk", weight, people.color[corners])
    normal = np.einsum("nc,nck->nk", weight, people.normals[corners])
    normal /= np.maximum(np.sqrt((normal**2).sum(1)), 1e-9)[:, None]
    points = view.center + depth[hit, None] * rays[hit]
    sun, ambient = light_strength(stage)
    points = points + normal * 6e-3
    direct = sunlit(stage, points, normal, (caster,))
    near_ground = 0.75 + 0.25 * np.clip(points[:, 2] / 0.5, 0.0, 1.0)
    light = ambient * dome_light(normal) * near_ground + sun * direct
    color[hit] = albedo * light[:, None]
    return depth, color
