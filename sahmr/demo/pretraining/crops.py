"""Crops of made-up people: each with its own person, pose, spot and camera; only the crop is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.people.placement import Placed
from sahmr.demo.people.touching import in_contact, nearest_surface
from sahmr.demo.pictures.figures import figure, paint_people, vertex_normals
from sahmr.demo.pictures.render import Stage, paint_background, to_bytes
from sahmr.demo.places.view import RoomCamera
from sahmr.demo.pretraining.cameras import draw_view
from sahmr.demo.pretraining.people import Somebody, draw_person, draw_place
from sahmr.demo.publishers.rich import load_transfer
from sahmr.shards.region import stored_region

Array = NDArray[np.float64]
Region = tuple[int, int, int, int]

# Side of the stored square / larger side of the person box. Below the demo's 1.6: a training crop may be widened by
# MARGIN - 1.15 at most, and every pixel less is rendered faster.
MARGIN = 1.4
_VIEWS = 4  # cameras tried round a person
_MOST_TRIES = 50  # people tried a crop


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """One person seen by one camera.

    Attributes:
        view: the camera of the whole picture, of which only ``region`` was rendered.
        person_box: (left, top, right, bottom), pixels of the whole picture.
        region: the same four of the rendered part, whole pixels, right and bottom exclusive.
        image: RGB of that region [height, width, 3].
        vertices: of SMPL's topology [6890, 3], room frame, metres.
        contact: True where a vertex touches the room [6890].
        gender: of the body model.
        kind: of the pose: stand, walk, sit, lie, lean, squat or reach.
    """

    view: RoomCamera
    person_box: Array
    region: Region
    image: NDArray[np.uint8]
    vertices: Array
    contact: NDArray[np.bool_]
    gender: str
    kind: str


def make_crops(stage: Stage, models: Path, count: int, seed: tuple[int, int]) -> Iterator[Crop]:
    """Photograph ``count`` people in a room. The first crops are the same whatever ``count`` is.

    Args:
        stage: the room.
        models: folder of the demo's body models.
        count: of crops.
        seed: of everything: that of the pre-training, and the room's number. Try after try has a generator of its own,
            seeded with both and the try's number.

    Raises:
        ValueError: if the room offers nothing that a camera sees; that is a mistake in rooms.py.
    """
    made = number = 0
    while made < count:
        crop = _try_crop(stage, models, np.random.default_rng([*seed, number]))
        number += 1
        if number > _MOST_TRIES * count:
            raise ValueError(f"{stage.room.name}: no camera sees anybody in {number} tries")
        if crop is not None:
            made += 1
            yield crop


def _try_crop(stage: Stage, models: Path, rng: np.random.Generator) -> Crop | None:
    """One person; None if no spot takes them, or no camera of four sees them."""
    person = draw_person(models, rng)
    placed = draw_place(stage.room, person, rng)
    if placed is None:
        return None
    vertices = np.asarray(load_transfer(models) @ placed.vertices)
    for _ in range(_VIEWS):
        view = draw_view(stage, vertices, rng)
        if view is not None:
            return _take(stage, models, person, placed, view, exposure=float(rng.uniform(0.8, 1.15)))
    return None


def _take(stage: Stage, models: Path, person: Somebody, placed: Placed, view: RoomCamera, *, exposure: float) -> Crop:
    """The picture, and the labels of its person."""
    vertices = np.asarray(load_transfer(models) @ placed.vertices)
    pixels = view.project(vertices)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    region = stored_region(box, view.width, view.height, MARGIN)
    faces = person.actor.model.faces
    body = figure(placed.vertices, faces, person.color)
    window = _cut(view, region)
    picture = paint_people(stage, window, paint_background(stage, window), [body])
    normals = np.asarray(load_transfer(models) @ vertex_normals(placed.vertices, faces))
    return Crop(
        view=view,
        person_box=box,
        region=region,
        image=to_bytes(picture, exposure),
        vertices=vertices,
        contact=in_contact(nearest_surface(stage.room, vertices), normals),
        gender=person.gender,
        kind=placed.kind,
    )


def _cut(view: RoomCamera, region: Region) -> RoomCamera:
    """A camera that sees that part of the picture alone."""
    left, top, right, bottom = region
    k = view.intrinsics.copy()
    k[:2, 2] -= (left, top)
    return replace(view, intrinsics=k, width=right - left, height=bottom - top)
