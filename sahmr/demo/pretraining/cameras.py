"""Cameras of the pre-training: lenses of RICH and PROX, anywhere round a person whom they see well."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.pictures.render import Stage
from sahmr.demo.places.captures import FULL_HEIGHT, FULL_WIDTH
from sahmr.demo.places.view import RoomCamera, look_at
from sahmr.demo.publishers.prox import FOCAL, FULL_SIZE

Array = NDArray[np.float64]

_SHARE_RICH = 0.75
_BOX_PX = 176.0  # larger side of the person box: stored squares have some 256 px
_RICH_M, _PROX_M = (2.6, 7.0), (2.0, 4.6)  # horizontal distance from the person; the demo's: 3 to 7, 3 to 5.5
_HEIGHT_M = (1.1, 2.8)
_CLEAR_M = 0.1  # from furniture and walls


def draw_view(stage: Stage, vertices: Array, rng: np.random.Generator) -> RoomCamera | None:
    """A camera whose pixels are such that the person is about 176 of them tall.

    Args:
        stage: the room.
        vertices: of the person [n, 3], room frame, metres.
        rng: decides everything.

    Returns:
        None if furniture or the picture's border hides too much of the person.
    """
    is_rich = bool(rng.random() < _SHARE_RICH)
    lens = _draw_lens(is_rich, rng)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    low, high = _RICH_M if is_rich else _PROX_M
    distance, angle = rng.uniform(low, high), rng.uniform(-np.pi, np.pi)
    height = rng.uniform(*_HEIGHT_M)
    eye = np.array([middle[0] + distance * np.cos(angle), middle[1] + distance * np.sin(angle), height])
    if stage.room.clearance(eye[None])[0] < _CLEAR_M:
        return None
    depth = float(np.sqrt(((eye - middle) ** 2).sum()))
    # Cameras do not look at the person but past: anywhere that keeps the person in the picture.
    reach = 0.3 * depth * np.array(lens.size) / lens.focal
    side = np.array([-np.sin(angle), np.cos(angle), 0.0])
    target = middle + rng.uniform(-1, 1) * reach[0] * side + np.array([0.0, 0.0, rng.uniform(-1, 1) * reach[1]])
    view = look_at(eye, target, lens.intrinsics, lens.size, roll=float(np.radians(rng.uniform(-3, 3))))
    scaled = _rescale(view, vertices)
    return scaled if scaled is not None and _sees(stage, scaled, vertices[::7]) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lens:
    """Size, focal length and principal point, pixels as published."""

    size: tuple[int, int]
    focal: float
    principal: Array

    @property
    def intrinsics(self) -> Array:
        """K [3, 3]."""
        return np.array([[self.focal, 0.0, self.principal[0]], [0.0, self.focal, self.principal[1]], [0.0, 0.0, 1.0]])


def _draw_lens(is_rich: bool, rng: np.random.Generator) -> _Lens:
    """Near the published ones: three RICH cameras of four have the wider lens, one of five stands upright."""
    if is_rich:
        size = (FULL_WIDTH, FULL_HEIGHT) if rng.random() < 0.8 else (FULL_HEIGHT, FULL_WIDTH)
        focal = float(rng.choice([3575.0, 3575.0, 3575.0, 4648.0]) * rng.uniform(0.98, 1.02))
        shift = rng.uniform(-110, 110, 2)
    else:
        size, focal, shift = FULL_SIZE, float(FOCAL[0] * rng.uniform(0.98, 1.02)), rng.uniform(-12, 12, 2)
    return _Lens(size=size, focal=focal, principal=(np.array(size) - 1) / 2 + shift)


def _rescale(view: RoomCamera, vertices: Array) -> RoomCamera | None:
    """The same camera with pixels of another size: the person is as large as wanted; None if partly behind it."""
    pixels = view.project(vertices)
    if np.isnan(pixels).any():
        return None
    scale = _BOX_PX / float((pixels.max(0) - pixels.min(0)).max())
    k = view.intrinsics * scale
    k[:2, 2] = (view.intrinsics[:2, 2] + 0.5) * scale - 0.5
    k[2, 2] = 1.0
    k[0, 1] = k[1, 0] = 0.0
    width, height = (round(side * scale / 4) * 4 for side in (view.width, view.height))
    return replace(view, intrinsics=k, width=width, height=height)


def _sees(stage: Stage, view: RoomCamera, some: Array) -> bool:
    """At least 97 % of the body's points [n, 3] inside the picture, and less than 25 % hidden by furniture."""
    pixels = view.project(some)
    inside = ((pixels >= 0) & (pixels <= [view.width - 1, view.height - 1])).all(1)
    if inside.mean() < 0.97:
        return False
    length, _, _ = stage.caster.first(view.center, some - view.center)  # 1 is the vertex itself
    return bool((length < 0.97).mean() < 0.25)
