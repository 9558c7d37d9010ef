"""Crops of made-up people: each with its own person, pose, spot and camera; only the crop is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.people.clothes import dress
from sahmr.demo.people.models import load_body_model, rest_joints
from sahmr.demo.people.placement import Actor, Placed, actor, choose_target, place
from sahmr.demo.people.touching import in_contact, nearest_surface
from sahmr.demo.pictures.figures import figure, paint_people, vertex_normals
from sahmr.demo.pictures.render import Stage, paint_background, to_bytes
from sahmr.demo.pictures.shoot import KIND_WEIGHTS, Person
from sahmr.demo.places.captures import FULL_HEIGHT, FULL_WIDTH
from sahmr.demo.places.view import RoomCamera, look_at
from sahmr.demo.publishers.prox import FOCAL, FULL_SIZE
from sahmr.demo.publishers.rich import load_transfer
from sahmr.shards.crop import stored_region

Array = NDArray[np.float64]

MARGIN = 1.4  # stored square / person box; training crops reach 1.25 of it, and some jitter
_BOX_PX = 176.0  # larger side of the person box: stored squares have some 256 px
_KINDS = tuple(KIND_WEIGHTS)
_WEIGHTS = np.array([0.13, 0.13, 0.26, 0.16, 0.10, 0.11, 0.11])  # more who lie than the demo has: they are the hardest
_TRIES = 12
_SHARE_RICH = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """One person seen by one camera.

    Attributes:
        view: the camera of the whole picture, whose pixels are such that the person is about 176 of them tall.
        person_box: (left, top, right, bottom), pixels.
        region: stored part of the picture, whole pixels.
        image: RGB of that region.
        vertices: of SMPL's topology [6890, 3], room frame, metres.
        contact: of these vertices [6890].
        gender: of the body model.
        kind: of the pose.
    """

    view: RoomCamera
    person_box: Array
    region: tuple[int, int, int, int]
    image: NDArray[np.uint8]
    vertices: Array
    contact: NDArray[np.bool_]
    gender: str
    kind: str


def make_crops(stage: Stage, models: Path, count: int, seed: tuple[int, ...]) -> Iterator[Crop]:
    """Photograph ``count`` people in a room.

    Args:
        stage: the room.
        models: folder of the demo's body models.
        count: of crops.
        seed: of everything.
    """
    made = number = 0
    while made < count:
        crop = _try_crop(stage, models, np.random.default_rng([*seed, number]))
        number += 1
        if number > 50 * count:
            raise ValueError(f"{stage.room.name}: no camera sees anybody in {number} tries")
        if crop is not None:
            made += 1
            yield crop


def _try_crop(stage: Stage, models: Path, rng: np.random.Generator) -> Crop | None:
    person, gender = _random_person(models, rng)
    placed = _random_place(stage, person, rng)
    if placed is None:
        return None
    transfer = load_transfer(models)
    small = np.asarray(transfer @ placed.vertices)
    for _ in range(4):
        view = _random_view(stage, small, rng)
        if view is None:
            continue
        image, region, box = _shoot(stage, view, person, placed, small, float(rng.uniform(0.8, 1.15)))
        nearest = nearest_surface(stage.room, small)
        normals = np.asarray(transfer @ vertex_normals(placed.vertices, person.actor.model.faces))
        return Crop(
            view=view,
            person_box=box,
            region=region,
            image=image,
            vertices=small,
            contact=in_contact(nearest, normals),
            gender=gender,
            kind=placed.kind,
        )
    return None


def _random_person(models: Path, rng: np.random.Generator) -> tuple[Person, str]:
    gender = str(rng.choice(("male", "female")))
    betas = np.clip(rng.normal(0, 1.0, 10), -2.3, 2.3)
    color = dress(load_body_model(models, "neutral").v_template, rng)
    mean = _mean_actor(models, gender)
    shaped = replace(mean, betas=betas, rest_joints=rest_joints(mean.model, betas, np.zeros(10)))
    return Person(actor=shaped, color=color), gender


@lru_cache(maxsize=2)
def _mean_actor(models: Path, gender: str) -> Actor:
    """What all people of a gender share takes long to find."""
    return actor(load_body_model(models, gender), np.zeros(10))


def _random_place(stage: Stage, person: Person, rng: np.random.Generator) -> Placed | None:
    room = stage.room
    for _ in range(_TRIES):
        kind = str(rng.choice(_KINDS, p=_WEIGHTS / _WEIGHTS.sum()))
        spots = [spot for spot in room.spots if kind in spot.kinds]
        if not spots:
            continue
        target = choose_target(room, spots[int(rng.integers(len(spots)))], kind, rng)
        placed = None if target is None else place(room, target, kind, person.actor, rng)
        if placed is not None:
            return placed
    return None


def _random_view(stage: Stage, vertices: Array, rng: np.random.Generator) -> RoomCamera | None:
    """A camera of RICH or PROX somewhere round the person; None if furniture or the picture's border hides them."""
    is_rich = bool(rng.random() < _SHARE_RICH)
    size, focal, principal = _lens(is_rich, rng)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    low, high = (2.6, 7.0) if is_rich else (2.0, 4.6)
    distance, angle = rng.uniform(low, high), rng.uniform(-np.pi, np.pi)
    height = rng.uniform(1.1, 2.8)
    eye = np.array([middle[0] + distance * np.cos(angle), middle[1] + distance * np.sin(angle), height])
    if stage.room.clearance(eye[None])[0] < 0.1:
        return None
    depth = float(np.sqrt(((eye - middle) ** 2).sum()))
    # Cameras do not look at the person but past: anywhere that keeps the person in the picture.
    reach = 0.3 * depth * np.array(size) / focal
    side = np.array([-np.sin(angle), np.cos(angle), 0.0])
    target = middle + rng.uniform(-1, 1) * reach[0] * side + np.array([0.0, 0.0, rng.uniform(-1, 1) * reach[1]])
    intrinsics = np.array([[focal, 0.0, principal[0]], [0.0, focal, principal[1]], [0.0, 0.0, 1.0]])
    view = look_at(eye, target, intrinsics, size, roll=float(np.radians(rng.uniform(-3, 3))))
    view = _scaled(view, vertices)
    return view if view is not None and _sees(stage, view, vertices[::7]) else None


def _lens(is_rich: bool, rng: np.random.Generator) -> tuple[tuple[int, int], float, Array]:
    """Size, focal length and principal point of a camera, pixels as published."""
    if is_rich:
        size = (FULL_WIDTH, FULL_HEIGHT) if rng.random() < 0.8 else (FULL_HEIGHT, FULL_WIDTH)
        focal = float(rng.choice([3575.0, 3575.0, 3575.0, 4648.0]) * rng.uniform(0.98, 1.02))
        shift = rng.uniform(-110, 110, 2)
    else:
        size, focal, shift = FULL_SIZE, float(FOCAL[0] * rng.uniform(0.98, 1.02)), rng.uniform(-12, 12, 2)
    return size, focal, (np.array(size) - 1) / 2 + shift


def _scaled(view: RoomCamera, vertices: Array) -> RoomCamera | None:
    """The same camera with pixels of another size: the person is as large as wanted."""
    pixels = view.project(vertices)
    if np.isnan(pixels).any():
        return None
    scale = _BOX_PX / float((pixels.max(0) - pixels.min(0)).max())
    k = view.intrinsics * scale
    k[:2, 2] = (view.intrinsics[:2, 2] + 0.5) * scale - 0.5
    k[2, 2] = 1.0
    k[0, 1] = k[1, 0] = 0.0
    return replace(view, intrinsics=k, width=round(view.width * scale / 4) * 4, height=round(view.height * scale / 4) * 4)


def _sees(stage: Stage, view: RoomCamera, some: Array) -> bool:
    """At least 97 % of the body inside the picture, and not much of it hidden by furniture."""
    pixels = view.project(some)
    inside = ((pixels >= 0) & (pixels <= [view.width - 1, view.height - 1])).all(1)
    if inside.mean() < 0.97:
        return False
    rays = some - view.center
    length, _, _ = stage.caster.first(view.center, rays)  # 1 is the vertex itself
    return bool((length < 0.97).mean() < 0.25)


def _shoot(
    stage: Stage, view: RoomCamera, person: Person, placed: Placed, vertices: Array, exposure: float
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int], Array]:
    """The stored region's pixels, that region, and the person box."""
    pixels = view.project(vertices)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    region = stored_region(box, view.width, view.height, MARGIN)
    left, top, right, bottom = region
    k = view.intrinsics.copy()
    k[:2, 2] -= (left, top)
    window = replace(view, intrinsics=k, width=right - left, height=bottom - top)
    background = paint_background(stage, window)
    body = figure(placed.vertices, person.actor.model.faces, person.color)
    return to_bytes(paint_people(stage, window, background, [body]), exposure), region, box
