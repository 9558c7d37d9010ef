"""How far above people the shipped demo weights predict them, by their height; 3 minutes, after ``make repro``.

In the rooms of the generated capture, with its phone: the people who were cast there, and the woman with her first
shape coefficient set so that she is as tall as asked; then people as in the pre-training, but other ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from sahmr.batches.collate import collate
from sahmr.batches.dataset import camera_of, sample_in
from sahmr.body.topology import load_topology
from sahmr.demo.people.models import rest_joints
from sahmr.demo.pictures.render import set_stage
from sahmr.demo.pictures.shoot import Person, cast_person, find_body, open_studio, take_picture
from sahmr.demo.places.captures import prox_rooms
from sahmr.demo.places.room import Room, scan_surface
from sahmr.demo.places.view import RoomCamera, look_at
from sahmr.demo.pretraining.crops import make_crops
from sahmr.demo.pretraining.rooms import random_room
from sahmr.demo.pretraining.world import world_from_room
from sahmr.demo.publishers.rich import load_transfer
from sahmr.geometry.rigid_numpy import apply_rigid, transpose_rigid
from sahmr.inference import predict_tables
from sahmr.scenes.views import make_view
from sahmr.scenes.visible import BlockedPoints, block_points
from sahmr.scenes.voxels import occupied_voxels
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import StoredSample
from sahmr.shards.encode import Shards
from sahmr.shards.photo import Pixels, stored_photo
from sahmr.structures import Sample
from sahmr.training.checkpoint import read_checkpoint
from sahmr.training.restore import network_of
from tests.imports import ROOT

MODELS, BODIES = ROOT / "data/demo/body_models/models", ROOT / "data/bodies"
WEIGHTS = ROOT / "sahmr/demo/pretraining/start.pt"
SHARDS = Shards(samples_per_shard=1, max_side_px=320, margin=1.6, jpeg_quality=92)
SEEDS, AZIMUTHS = (7, 8, 9, 10), (-24.0, -8.0, 10.0, 26.0)  # the capture's, and three more; its phone's
WOMAN, MAN = ("female", "00777", 5), ("male", "00778", 6)  # of the living room, and of the library
HEIGHTS_M = (1.55, 1.64, 1.72, 1.80)
K, SIZE = np.array([[600.0, 0, 359.5], [0, 600.0, 269.5], [0, 0, 1]]), (720, 540)
OTHER_SEED = 4242  # of no pre-training


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A person in a picture; ``vertices`` [6890, 3] and ``up`` in the camera, metres."""

    sample: Sample
    vertices: np.ndarray
    up: np.ndarray


def stature(person: Person, betas: np.ndarray) -> float:
    """At rest, metres."""
    model = person.actor.model
    return float(np.ptp((model.v_template + model.shape_dirs[..., : len(betas)] @ betas)[:, 1]))


def make_tall(person: Person, height_m: float) -> Person:
    """The same person with another first shape coefficient, which is linear in height but for the last per mille."""
    betas, first = person.actor.betas.copy(), np.eye(len(person.actor.betas))[0]
    betas += first * (height_m - stature(person, betas)) / (stature(person, betas + first) - stature(person, betas))
    return replace(
        person,
        actor=replace(person.actor, betas=betas, rest_joints=rest_joints(person.actor.model, betas, np.zeros(10))),
    )


def scan(room: Room, world: np.ndarray, spacing_m: float) -> BlockedPoints:
    """Voxels without noise or holes."""
    surface = scan_surface(room, spacing_m)
    return block_points(torch.from_numpy(occupied_voxels(apply_rigid(world, surface.vertices)[surface.faces], 0.02)))


def case(stored: StoredSample, points: BlockedPoints, view: RoomCamera, vertices: np.ndarray) -> Case:
    sample = sample_in(stored, crop_box(stored.person_box), make_view(points, *camera_of(stored)))
    return Case(sample=sample, vertices=view.to_camera(vertices), up=view.rotation[:, 2])


def phone(room: Room, who: tuple[str, str, int], height_m: float | None, world: np.ndarray) -> Iterator[Case]:
    """Standing and walking people, the phone aimed at them; exact boxes."""
    points, transfer = scan(room, world, 0.05), load_transfer(MODELS)
    for seed in SEEDS:
        person = cast_person(MODELS, *who, seed)
        person = person if height_m is None else make_tall(person, height_m)
        for number, azimuth in enumerate(np.radians(AZIMUTHS)):
            rng, distance = np.random.default_rng([seed, 31, number]), 3.3 + 0.15 * number
            eye = np.array([distance * np.cos(azimuth), distance * np.sin(azimuth), 1.5])
            studio = open_studio(room, look_at(eye, np.array([0.0, 0.0, 0.75]), K, SIZE, roll=0.015))
            placed = find_body(studio, person, ("stand", "walk"), rng)
            middle = (placed.vertices.min(axis=0) + placed.vertices.max(axis=0)) / 2
            studio = open_studio(room, look_at(eye, middle, K, SIZE, roll=0.015))
            vertices, view = np.asarray(transfer @ placed.vertices), studio.view
            pixels = view.project(vertices)
            pose, box = view.matrix @ transpose_rigid(world), np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
            picture = take_picture(studio, [(person, placed)], exposure=float(rng.uniform(0.9, 1.05)))
            stored = stored_photo(f"{seed}_{number}", Pixels(picture), view.intrinsics, pose, box, SHARDS)
            yield case(stored, points, view, vertices)


def as_in_training(rooms: int, crops: int) -> Iterator[Case]:
    """Those who stand and walk."""
    for number in range(rooms):
        room = random_room(f"Room{number}", np.random.default_rng([OTHER_SEED, number]))
        world = world_from_room(np.random.default_rng([OTHER_SEED, number, 1]))
        points = scan(room, world, 0.07)
        for crop in make_crops(set_stage(room), MODELS, crops, (OTHER_SEED, number)):
            if crop.kind in ("stand", "walk"):
                whole = np.zeros((crop.view.height, crop.view.width, 3), np.uint8)
                left, top, right, bottom = crop.region
                whole[top:bottom, left:right] = crop.image
                pose = crop.view.matrix @ transpose_rigid(world)
                settings = replace(SHARDS, margin=1.55)
                stored = stored_photo(room.name, Pixels(whole), crop.view.intrinsics, pose, crop.person_box, settings)
                yield case(stored, points, crop.view, crop.vertices)


def judge(cases: list[Case]) -> np.ndarray:
    """Of each: how much too high, too far and high (all mm), and how tall the true and the predicted body are (m)."""
    topology = load_topology(BODIES)
    network = network_of(read_checkpoint(WEIGHTS), topology, backend="native", source=str(WEIGHTS))
    found = []
    for each in cases:
        (table,) = predict_tables(network, [collate([each.sample])], joint_regressor=topology.joint_regressor)
        vertices = np.array(table.column("vertices")[0].as_py()).reshape(-1, 3)
        off, pelvis = vertices.mean(axis=0) - each.vertices.mean(axis=0), topology.joint_regressor[0].numpy()
        first = np.array(table.column("initial_root")[0].as_py()) - pelvis @ each.vertices
        heights = np.ptp(each.vertices @ each.up), np.ptp(vertices @ each.up)
        found.append((1000 * off @ each.up, 1000 * first[2], 1000 * off[2], *heights))
    return np.array(found)


def tell(name: str, found: np.ndarray) -> None:
    """One line of Markdown."""
    up, first, far, true, predicted = found.mean(axis=0)
    error = found[:, 0].std() / len(found) ** 0.5
    print(
        f"| {name} | {len(found)} | {true:.2f} | {predicted:.2f} | {first:.0f} | {far:.0f} | {up:.0f} +- {error:.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=24, help="of the pre-training's kind, 10 people each")
    args = parser.parse_args()
    torch.set_num_threads(1)
    living, library = prox_rooms()["N0Sofa"][0], prox_rooms()["MPH1Library"][0]
    turned = world_from_room(np.random.default_rng(1))  # floors lie at an angle to the voxels, as in the pre-training
    print("| who, where | people | height, m | predicted, m | first root too far, mm | too far, mm | too high, mm |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for place, room in (("living", living), ("library", library)):
        for name, who in (("woman", WOMAN), ("man", MAN)):
            tell(f"the {name} as cast, {place}", judge(list(phone(room, who, None, turned))))
    for height in HEIGHTS_M:
        tell(f"the woman made {height:.2f} m, living", judge(list(phone(living, WOMAN, height, turned))))
    found = judge(list(as_in_training(args.rooms, 10)))
    for part in np.array_split(found[np.argsort(found[:, 3])], 3):
        tell("as in the pre-training, by height", part)
    slope, at = np.polyfit(found[:, 3], found[:, 0], 1)
    print(f"\nas in the pre-training: {slope / 100:.1f} mm per cm of height, none at {-at / slope:.2f} m")


if __name__ == "__main__":
    main()
