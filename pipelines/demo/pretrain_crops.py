"""Crops and scenes of the pre-training, as a conversion: one room is one piece, found again after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import pipelines.environment  # noqa: F401  # before numpy loads

# isort: split
import numpy as np
from numpy.typing import NDArray

from pipelines.conversion.piece_receipt import Receipt
from pipelines.conversion.pieces import Conversion, Made, Planned
from pipelines.conversion.work_store import WorkStore, piece_key
from pipelines.manifests import manifest_beside
from sahmr.demo.bodies.family import build_body_models
from sahmr.demo.bodies.files import write_body_models
from sahmr.demo.pictures.render import set_stage
from sahmr.demo.places.room import Room, scan_surface
from sahmr.demo.pretraining.crops import MARGIN, Crop, make_crops
from sahmr.demo.pretraining.rooms import random_room
from sahmr.demo.pretraining.world import world_from_room
from sahmr.demo.publishers import containers
from sahmr.files import MANIFEST_NAME, publish_folder, remove_manifest, write_manifest
from sahmr.geometry.rigid_numpy import apply_rigid, transpose_rigid
from sahmr.scenes.build import Scenes, create_store, write_scene
from sahmr.settings import Between, Paths, Quarantine, Seed, settings
from sahmr.shards.crop import SIDE
from sahmr.shards.encode import Shards, encode_sample
from sahmr.shards.left_out import write_left_out
from sahmr.shards.write import write_index, write_shard
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord
from schemas.shard import ShardEntry

Array = NDArray[np.float64]

VERSION = 3  # of a piece's bytes; 2: whatever the machine, the body models are those of the demo;
# 3: every room has a world frame of its own
STAGE = "pretrain"
# A stand-in: crops have RICH's labels (contact of all vertices, no part ignored) and lie in folders of their own, so
# that trainings, predictions and scores take them as they take RICH. A card of their own would make them a dataset that
# has a raw tree, a reader and a group in params.yaml. What a stored sample says of a licence is therefore RICH's, and
# does not apply: nothing licensed goes in.
DATASET = "rich"
SEED = 1009  # of rooms, people, poses and cameras; tests/demo/test_pretraining_apart.py: no stream is the demo's
BODY_SEED = 7  # params.yaml's; body models of another seed look the same
VAL_EVERY = 40  # rooms; number 0, 40, 80, ... are held out
MOST_ROOMS, MOST_CROPS = 99_999, 9_999  # tests/demo/test_pretraining_apart.py builds on the first
_SCAN_SPACING_M = 0.07  # the demo's
_NOT_A_FILE = "0" * 64  # SHA-256 of raw files that there are not
_WORLD = 2**31  # in the place of a try's number, of which there are fewer
_SCENE, _TAR = "scene", "tar"  # folders of a piece


@settings
class Crops:
    """What decides a room beside its number.

    Attributes:
        seed: of everything.
        max_quarantined: no raw file is read, so none is damaged.
    """

    seed: Seed = SEED
    max_quarantined: Quarantine = 0


@settings
class CropShards(Shards):
    """As section shards of params.yaml, but narrower: ``zoom_range`` of a training is at most :data:`ZOOM_MOST`."""

    margin: Annotated[float, Between(SIDE, 4)] = MARGIN


SCENES = Scenes(voxel_pitch_m=0.02, sdf_spacing_m=0.5, sdf_margin_m=0.5, sdf_max_samples=10**6)  # coarse: only scores
SHARDS = CropShards(samples_per_shard=MOST_CROPS, max_side_px=320, margin=MARGIN, jpeg_quality=92)
ZOOM_MOST = MARGIN - SIDE


def split_of(room: int) -> str:
    """``train``, or ``val`` for rooms that are held out."""
    return "val" if room % VAL_EVERY == 0 else "train"


def find_body_models(paths: Paths) -> Path:
    """Folder of the demo's body models in the work store, made now if they are not there (10 s)."""
    store, stage = WorkStore(root=paths.work.resolve()), f"{STAGE}_bodies"
    key = piece_key(stage, VERSION, {}, [BODY_SEED])
    if store.find(stage, key) is None:
        with store.make(stage, key) as draft:
            write_body_models(draft.folder, build_body_models(BODY_SEED))
    store.require(stage, key)
    return store.folder(stage, key)


def make_room(job: tuple[int, str, int], folder: Path, *, models: Path, settings: Crops) -> Made:
    """Photograph people in one room: a shard and a scene; one task.

    Args:
        job: number of the room, split, how many crops.
        folder: of the piece.
        models: folder of the demo's body models.
        settings: seed.
    """
    number, split, count = job
    room = random_room(_name(number), np.random.default_rng([settings.seed, number]))
    world = world_from_room(np.random.default_rng([settings.seed, number, _WORLD]))
    _write_scene(room, world, folder)
    samples = []
    for place, crop in enumerate(make_crops(set_stage(room), models, count, (settings.seed, number))):
        row = _record(crop, world, f"{room.name}_{place:04d}", room.name, split)
        vertices = apply_rigid(world, crop.vertices)
        samples.append((row, encode_sample(row, crop.image, vertices, crop.contact, SHARDS)))
    (folder / _TAR).mkdir()
    entries = write_shard(folder / _TAR, f"{DATASET}-{split}-{room.name}-000000.tar", samples)
    return Made(facts={"entries": [asdict(entry) for entry in entries]})


def _name(room: int) -> str:
    return f"Room{room:05d}"


def _scene_key(room: str) -> str:
    return f"{room}_scan"


def _write_scene(room: Room, world: Array, folder: Path) -> None:
    """The room's scan as a Zarr group; the scan itself is not kept."""
    raw, store = folder / "raw", folder / "store"
    scan = scan_surface(room, _SCAN_SPACING_M)
    grey = np.full((len(scan.vertices), 3), 128, dtype=np.uint8)
    containers.put(raw / "scan.ply", containers.ply(apply_rigid(world, scan.vertices), scan.faces, grey))
    record = SceneRecord(
        scene_key=_scene_key(room.name),
        dataset=DATASET,
        scan_file="scan.ply",
        scan_sha256=_NOT_A_FILE,
        sdf_file=None,
        sdf_info_file=None,
        sdf_sha256=None,
        sdf_info_sha256=None,
    )
    create_store(store, DATASET)
    write_scene(record, store=store, raw_root=raw, settings=SCENES)
    (store / record.scene_key).rename(folder / _SCENE)
    shutil.rmtree(store)
    shutil.rmtree(raw)


def _record(crop: Crop, world: Array, key: str, sequence: str, split: str) -> FrameRecord:
    """A row of a frame table, of files that there are not."""
    camera_from_world = np.einsum("ij,jk->ik", crop.view.matrix, transpose_rigid(world))
    return FrameRecord(
        key=key,
        dataset=DATASET,
        split=split,
        sequence=sequence,
        camera=0,
        frame=0,
        subject="000",
        gender=crop.gender,
        intrinsics=tuple(crop.view.intrinsics.ravel().tolist()),
        camera_from_world=tuple(camera_from_world.ravel().tolist()),
        image_width=crop.view.width,
        image_height=crop.view.height,
        person_box=tuple(crop.person_box.tolist()),
        scene_key=_scene_key(sequence),
        image_file=f"{key}.png",
        image_sha256=_NOT_A_FILE,
        mirrored=False,
        body_file=f"{key}.npy",
        body_sha256=_NOT_A_FILE,
        contact_file=f"{key}.npy",
        contact_sha256=_NOT_A_FILE,
    )


def write_crops(settings: Crops, paths: Paths, *, models: Path, rooms: int, crops: int, workers: int) -> int:
    """Shards and scenes of all rooms, every fortieth for validation; rooms in the work store are not made again.

    Args:
        settings: seed.
        paths: where to.
        models: folder of the demo's body models.
        rooms, crops: how many, and how many of each.
        workers: local processes; 0: none. They cannot change a byte.

    Returns:
        How many crops were made now and not found.
    """
    work = Conversion(STAGE, VERSION, DATASET, settings, paths, reads=(models,), workers=workers)
    jobs = [(number, split_of(number), crops) for number in range(rooms)]
    planned = [Planned(item=job, inputs=list(job)) for job in jobs]
    receipts = work.run(planned, partial(make_room, models=models, settings=settings), unit="room")
    made = [receipt for receipt in receipts if receipt is not None]
    assert len(made) == rooms  # nothing is quarantined
    _publish_scenes(work.store, made, paths.scenes / f"{DATASET}.zarr")
    _publish_shards(work.store, made, paths.shards / DATASET)
    executed: int = json.loads((paths.reports / f"{STAGE}_{DATASET}.json").read_text())["executed"]
    return executed * crops


def _publish_scenes(store: WorkStore, receipts: Sequence[Receipt], final: Path) -> None:
    with publish_folder(final) as folder:
        create_store(folder, DATASET)
        for number, receipt in enumerate(receipts):
            store.link(STAGE, receipt, folder / _scene_key(_name(number)), below=_SCENE)
        remove_manifest(manifest_beside(final))
    write_manifest(manifest_beside(final), [final.name], stage="scenes", dataset=DATASET)


def _publish_shards(store: WorkStore, receipts: Sequence[Receipt], final: Path) -> None:
    with publish_folder(final) as folder:
        for receipt in receipts:
            store.link(STAGE, receipt, folder, below=_TAR)
        write_index(folder, (ShardEntry(**entry) for receipt in receipts for entry in receipt.facts["entries"]))
        write_left_out(folder, [])
        write_manifest(folder / MANIFEST_NAME, stage="shards", dataset=DATASET)
