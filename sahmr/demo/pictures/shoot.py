"""Finds bodies that a camera sees well, and takes the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.people.clothes import dress
from sahmr.demo.people.models import load_body_model
from sahmr.demo.people.placement import Actor, Placed, Target, actor, choose_target, place
from sahmr.demo.pictures.figures import figure, paint_people
from sahmr.demo.pictures.render import Background, Stage, paint_background, set_stage, to_bytes
from sahmr.demo.places.room import Room, Spot
from sahmr.demo.places.view import RoomCamera

Array = NDArray[np.float64]

_TRIES = 60
_NEAREST_M, _FARTHEST_M = 2.2, 7.5
# How often each kind of pose is drawn where a sequence allows all of them.
KIND_WEIGHTS = {"stand": 0.16, "walk": 0.16, "sit": 0.28, "lie": 0.10, "lean": 0.10, "squat": 0.09, "reach": 0.11}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody: number as the dataset counts, gender, shape and clothes."""

    actor: Actor
    color: Array


@lru_cache(maxsize=32)
def cast_person(models: Path, gender: str, subject: str, outfit: int, seed: int) -> Person:
    """The person a subject is: shape depends on seed and subject, clothes also on ``outfit``."""
    letters = [seed, *subject.encode()]
    betas = np.clip(np.random.default_rng([1, *letters]).normal(0, 0.9, 10), -2, 2)
    betas = betas.astype(np.float32).astype(np.float64)
    rest = load_body_model(models, "neutral").v_template
    color = dress(rest, np.random.default_rng([2, outfit, *letters]))
    return Person(actor=actor(load_body_model(models, gender), betas), color=color)


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """A room, a camera in it, and the empty picture."""

    stage: Stage
    view: RoomCamera
    background: Background


def open_studio(room: Room, view: RoomCamera) -> Studio:
    """Set up and paint the empty room."""
    stage = set_stage(room)
    return Studio(stage=stage, view=view, background=paint_background(stage, view))


def find_body(
    studio: Studio, person: Person, kinds: Sequence[str], rng: np.random.Generator, others: Sequence[Placed] = ()
) -> Placed:
    """Draw spots and poses until the camera sees one well.

    Raises:
        ValueError: if the room offers nothing this camera sees; that is a mistake in captures.py.
    """
    room = studio.stage.room
    weights = np.array([KIND_WEIGHTS[kind] for kind in kinds])
    for _ in range(_TRIES):
        kind = str(rng.choice(list(kinds), p=weights / weights.sum()))
        spots = [spot for spot in room.spots if kind in spot.kinds]
        if not spots:
            continue
        target = choose_target(room, spots[int(rng.integers(len(spots)))], kind, rng)
        if target is None or not _might_see(studio, target.place):
            continue
        placed = place(room, target, kind, person.actor, rng)
        if placed is not None and _sees(studio, placed) and all(_apart(placed, other) for other in others):
            return placed
    raise ValueError(f"{room.name}: a camera found no visible pose of {kinds} in {_TRIES} tries; move it or add spots")


def _might_see(studio: Studio, place: Array) -> bool:
    points = np.array([[*place, 0.1], [*place, 1.0]])
    pixels, depth = studio.view.project(points), studio.view.to_camera(points)[:, 2]
    size = np.array([studio.view.width, studio.view.height])
    inside = ((pixels > 0.06 * size) & (pixels < 0.94 * size)).all()
    return bool(inside and depth.min() > _NEAREST_M and depth.max() < _FARTHEST_M)


def _sees(studio: Studio, placed: Placed) -> bool:
    """At least 97 % of the body inside the picture, and at least 70 % of its near side not hidden by furniture."""
    view, some = studio.view, placed.vertices[::7]
    pixels = np.round(view.project(some))
    if np.isnan(pixels).any():
        return False
    inside = ((pixels >= 0) & (pixels < [view.width, view.height])).all(1)
    if inside.mean() < 0.97:
        return False
    column, row = pixels[inside].astype(np.int64).T
    hidden = view.to_camera(some[inside])[:, 2] > studio.background.depth[row, column] + 0.12
    return bool(hidden.mean() < 0.22)


def _apart(one: Placed, other: Placed) -> bool:
    a, b = one.vertices[:, :2], other.vertices[:, :2]
    gap = np.maximum(a.min(0) - b.max(0), b.min(0) - a.max(0)).max()
    return bool(gap > 0.25)


def take_picture(studio: Studio, people: Sequence[tuple[Person, Placed]], exposure: float = 1.0) -> NDArray[np.uint8]:
    """RGB picture [h, w, 3] of the room with people."""
    figures = [figure(placed.vertices, person.actor.model.faces, person.color) for person, placed in people]
    return to_bytes(paint_people(studio.stage, studio.view, studio.background, figures), exposure)


def find_hidden_body(
    studio: Studio, person: Person, kinds: Sequence[str], rng: np.random.Generator, others: Sequence[Placed] = ()
) -> Placed:
    """A standing body in front of the camera but beside its picture."""
    room, view = studio.stage.room, studio.view
    right = view.rotation[0] * [1.0, 1.0, 0.0]
    ahead = view.rotation[2] * [1.0, 1.0, 0.0]
    for _ in range(_TRIES):
        spot = Spot(kinds=("stand",), center=(0.0, 0.0), extent=(0.0, 0.0))
        side = rng.choice([-1.0, 1.0]) * rng.uniform(2.6, 3.0)
        point = (view.center + 3.2 * ahead + side * right)[:2]
        target = Target(spot=spot, place=point, yaw=float(rng.uniform(-np.pi, np.pi)))
        placed = place(room, target, "stand", person.actor, rng)
        if placed is None:
            continue
        pixels = view.project(placed.vertices)
        middle = (pixels.min(0) + pixels.max(0)) / 2
        if not np.isnan(middle).any() and not 0 <= middle[0] <= view.width - 1:
            return placed
    raise ValueError(f"{room.name}: no place beside the picture; move the camera in captures.py")
