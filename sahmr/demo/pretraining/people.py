"""People of the pre-training: one person, one pose and one spot a crop, all drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.people.clothes import dress
from sahmr.demo.people.models import load_body_model, rest_joints
from sahmr.demo.people.placement import Actor, Placed, actor, choose_target, place
from sahmr.demo.pictures.shoot import KIND_WEIGHTS, Person
from sahmr.demo.places.room import Room

Array = NDArray[np.float64]

_KINDS = tuple(KIND_WEIGHTS)
# As KIND_WEIGHTS of the demo, but more who lie: they are the hardest.
_WEIGHTS = np.array([0.13, 0.13, 0.26, 0.16, 0.10, 0.11, 0.11])
_TRIES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody(Person):
    """A person who is photographed once; ``gender`` is that of the body model."""

    gender: str


def draw_shape(rng: np.random.Generator) -> tuple[str, Array]:
    """Gender, and shape coefficients [10] in standard deviations: the first that is drawn of a crop."""
    gender = str(rng.choice(("male", "female")))
    return gender, np.clip(rng.normal(0, 1.0, 10), -2.3, 2.3)


def draw_person(models: Path, rng: np.random.Generator) -> Somebody:
    """Somebody with a shape and clothes of their own.

    Args:
        models: folder of the demo's body models.
        rng: decides everything.
    """
    gender, betas = draw_shape(rng)
    color = dress(load_body_model(models, "neutral").v_template, rng)
    mean = _mean_actor(models, gender)
    shaped = replace(mean, betas=betas, rest_joints=rest_joints(mean.model, betas, np.zeros(10)))
    return Somebody(actor=shaped, color=color, gender=gender)


@lru_cache(maxsize=2)
def _mean_actor(models: Path, gender: str) -> Actor:
    """What all people of a gender share takes long to find."""
    return actor(load_body_model(models, gender), np.zeros(10))


def draw_place(room: Room, person: Person, rng: np.random.Generator) -> Placed | None:
    """A pose on a spot of the room that allows it, room frame; None if nothing fits in a dozen tries."""
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
