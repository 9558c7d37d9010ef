"""No room, person, pose or camera of the pre-training is one of the demo's, whatever ``demo.seed`` is."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from pipelines.demo.pretrain_crops import MOST_ROOMS, SEED
from pipelines.demo.pretrain_recipe import DEFAULT
from sahmr.demo.places.captures import prox_rooms, rich_captures
from sahmr.demo.places.room import Room
from sahmr.demo.pretraining.people import draw_person, draw_place, draw_shape
from sahmr.demo.pretraining.rooms import random_room
from sahmr.demo.publishers.prox import RECORDINGS
from sahmr.demo.publishers.rich_plan import MOVING_CAMERA, SEQUENCES, DemoSize, plan_rich
from tests import imports

# Every generator of the demo: file, and what it is seeded with. A new one must be weighed below before it stands here.
STREAMS = {
    "bodies/family.py": ["[seed, 1]", "[seed, 2]"],  # what nobody sees of a body
    "people/placement.py": ["[seed, 2]", "task.seed", "task.seed", "task.seed", "[task.seed, k]"],  # 31 drawn bits
    "pictures/paint.py": ["20230618"],  # the grain of all surfaces
    "pictures/shoot.py": ["[1, *letters]", "[2, outfit, *letters]"],  # letters: seed, then a subject's three digits
    "places/captures.py": ["[4112, seed]"],  # cameras: no seed of the demo's
    "publishers/own.py": [
        "seed",
        "[seed, 33]",
    ],  # people of a capture's pictures, and its scan's noise: not the demo's data
    "publishers/prox.py": ["[1920, crc32(scene.encode())]", "[job.seed, crc32(recording.name.encode()), number]"],
    "publishers/rich.py": [
        "[job.seed, crc32(sequence.name.encode()), camera, frame]",
        "[job.seed, subject, moment.frame]",  # numbers of a file that nobody reads
        "[job.seed, MOVING_CAMERA, frame]",  # pictures without calibration: in no split
    ],
}


def seeds_of(path: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if ast.unparse(call.func) == "np.random.default_rng"]
    return [ast.unparse(call.args[0]) for call in sorted(named, key=lambda call: (call.lineno, call.col_offset))]


def test_no_stream_of_the_demo_is_unknown() -> None:
    root = imports.ROOT / "sahmr/demo"
    paths = [path for path in sorted(root.rglob("*.py")) if path.parent.name != "pretraining"]
    found = {path.relative_to(root).as_posix(): seeds for path in paths if (seeds := seeds_of(path))}
    assert found == STREAMS
    assert not [path for path in paths if "random.seed" in path.read_text() or "np.random.rand" in path.read_text()]


def test_streams_with_trailing_zeros_are_one() -> None:
    """Why seeds are compared without them: numpy pads a seed with zeros."""
    one, other = (np.random.default_rng(seed).random(4) for seed in ([SEED, 5], [SEED, 5, 0]))
    assert (one == other).all()


def trim(seed: tuple[int, ...]) -> tuple[int, ...]:
    while seed and seed[-1] == 0:
        seed = seed[:-1]
    return seed


def people_and_pictures(seed: int) -> Iterator[tuple[int, ...]]:
    """Seeds of all that is in a split: shapes, clothes, spots, poses, exposures."""
    for plan in plan_rich(DemoSize()):
        for moment in plan.moments:
            yield (seed, crc32(moment.sequence.name.encode()), plan.camera, moment.frame)
    subjects = {f"{subject:03d}" for sequence in SEQUENCES for subject in sequence.subjects}
    subjects |= {recording.subject for recording in RECORDINGS}
    for subject in sorted(subjects):
        yield (1, seed, *subject.encode())
    outfits = {crc32(each.name.encode()) for each in (*SEQUENCES, *RECORDINGS)}
    yield from ((2, outfit, seed, *subject.encode()) for outfit in outfits for subject in subjects)
    size = DemoSize()
    for recording in RECORDINGS:
        for number in range(1, max(size.quantitative, size.qualitative) + 1):
            yield (seed, crc32(recording.name.encode()), number)


def is_pretraining(seed: tuple[int, ...]) -> bool:
    """Whether a room has this seed (the pre-training's, its number), or a crop or world (and another), for any seed."""
    seed = trim(seed)
    return len(seed) <= 3 and (len(seed) < 2 or seed[1] <= MOST_ROOMS)


@pytest.mark.parametrize("seed", [0, 1, 2, 7, SEED, 1920, 4112, 2**32 - 1])
def test_no_stream_is_shared(seed: int) -> None:
    """That the demo's seed is among them changes nothing: seeds differ in length, or where rooms have their number."""
    seeds = list(people_and_pictures(seed))
    assert len(seeds) > 600
    assert not [each for each in seeds if is_pretraining(each)]
    assert is_pretraining((SEED, 289)) and is_pretraining((SEED, 289, 49)) and is_pretraining((SEED,))
    assert is_pretraining((SEED, MOVING_CAMERA, 50))  # shared if demo.seed is SEED: of pictures that are in no split


def boxes(room: Room) -> np.ndarray:
    """Centre, half size and direction of every box [n, 7]; z up, metres, radians."""
    return np.array([[*box.center, *box.half, box.yaw] for box in room.boxes])


def test_no_room_is_a_place_of_the_demo() -> None:
    places = [capture.room for capture in rich_captures()] + [room for room, _ in prox_rooms().values()]
    known = np.concatenate([boxes(room) for room in places])
    made = [random_room(f"Room{n:05d}", np.random.default_rng([SEED, n])) for n in range(DEFAULT.rooms)]
    gaps = [np.abs(boxes(room)[:, None] - known[None]).max(2).min() for room in made]
    assert min(gaps) > 0.01  # not one box of any room stands where one of the demo's does
    assert len({room.floor_color for room in (*made, *places)}) > len(made)
    assert not {room.name for room in made} & {room.name for room in places}


def load(path: Path) -> dict[str, Any]:
    return pickle.loads(path.read_bytes(), encoding="latin1")


@pytest.fixture(scope="module")
def bodies(demo_root: Path) -> list[dict[str, Any]]:
    """Parameters of everybody whom the demo's raw trees hold."""
    files = [*demo_root.glob("RICH/bodies/**/*.pkl"), *demo_root.glob("PROX/**/results/*/000.pkl")]
    found = [load(path) for path in files]
    assert len(found) > 40
    return found


def test_nobody_has_a_shape_of_the_demo(bodies: list[dict[str, Any]]) -> None:
    """All who are tried, seen or not."""
    known = np.unique(np.concatenate([np.asarray(body["betas"])[:, :10] for body in bodies]).round(5), axis=0)
    assert len(known) > 20
    seeds = ([SEED, room, number] for room in range(DEFAULT.rooms) for number in range(2 * DEFAULT.crops))
    shapes = np.array([draw_shape(np.random.default_rng(seed))[1] for seed in seeds])
    nearest = min(float(np.abs(shapes - one).max(1).min()) for one in known)
    assert nearest > 0.1  # standard deviations
    assert len(np.unique(shapes.round(5), axis=0)) == len(shapes)


def test_nobody_has_a_pose_of_the_demo(demo_root: Path, bodies: list[dict[str, Any]]) -> None:
    poses = np.concatenate([np.asarray(body["body_pose"]).reshape(1, 63) for body in bodies])
    poses = poses[np.isfinite(poses).all(1)]
    models, drawn = demo_root / "body_models/models", []
    for room in range(6):
        place = random_room("", np.random.default_rng([SEED, room]))
        for number in range(3):
            rng = np.random.default_rng([SEED, room, number])
            placed = draw_place(place, draw_person(models, rng), rng)
            drawn += [] if placed is None else [placed.params.body_pose]
    assert len(drawn) > 8
    assert np.abs(np.array(drawn)[:, None] - poses).max(2).min() > 0.05  # radians
