"""Train the demo's networks on crops of people who are in no demo split: what METRO's weights are to the paper."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from pipelines.conversion.pieces import Conversion, Made, Planned
from pipelines.stage import stage
from sahmr.demo.bodies.family import build_body_models
from sahmr.demo.bodies.files import write_body_models
from sahmr.demo.pictures.figures import vertex_normals
from sahmr.demo.pictures.render import set_stage
from sahmr.demo.places.room import scan_surface
from sahmr.demo.pretraining.crops import MARGIN, Crop, make_crops
from sahmr.demo.pretraining.rooms import random_room
from sahmr.demo.publishers import containers
from sahmr.files import publish_folder
from sahmr.scenes.build import Scenes, create_store, write_scene
from sahmr.settings import Paths, settings
from sahmr.shards.encode import Shards, encode_sample
from sahmr.shards.left_out import write_left_out
from sahmr.shards.write import write_index, write_shard
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord
from schemas.shard import ShardEntry

VERSION = 1
DATASET = "rich"
HOME = Path("data/pretrain")
SEED = 1009  # of rooms, people, poses and cameras; the demo's is another
SCENES = Scenes(voxel_pitch_m=0.02, sdf_spacing_m=0.5, sdf_margin_m=0.5, sdf_max_samples=10**6)
SHARDS = Shards(samples_per_shard=10**6, max_side_px=320, margin=MARGIN, jpeg_quality=92)
_SCAN_SPACING_M = 0.07
log = logging.getLogger("sahmr")


@settings
class Crops:
    """How many crops, and of what.

    Attributes:
        seed: of everything.
        max_quarantined: nothing is damaged.
    """

    seed: int = SEED
    max_quarantined: int = 0


def make_room(job: tuple[int, str, int], folder: Path, *, models: Path, settings: Crops) -> Made:
    """Photograph people in one room: a shard and a scene; one task.

    Args:
        job: number of the room, split, how many crops.
        folder: of the piece.
        models: the demo's body models.
        settings: seed.
    """
    number, split, count = job
    name = f"Room{number:05d}"
    room = random_room(name, np.random.default_rng([settings.seed, number]))
    scan = scan_surface(room, _SCAN_SPACING_M)
    containers.put(folder / "raw/scan.ply", containers.ply(scan.vertices, scan.faces, _grey(len(scan.vertices))))
    scene = SceneRecord(
        scene_key=f"{name}_scan",
        dataset=DATASET,
        scan_file="raw/scan.ply",
        scan_sha256="0" * 64,
        sdf_file=None,
        sdf_info_file=None,
        sdf_sha256=None,
        sdf_info_sha256=None,
    )
    create_store(folder / "store", DATASET)
    write_scene(scene, store=folder / "store", raw_root=folder, settings=SCENES)
    crops = make_crops(set_stage(room), models, count, (settings.seed, number))
    samples = []
    for place, crop in enumerate(crops):
        row = _record(crop, f"{name}_{place:04d}", name, split)
        samples.append((row, encode_sample(row, crop.image, crop.vertices, crop.contact, SHARDS)))
    entries = write_shard(folder, f"{DATASET}-{split}-{name}-000000.tar", samples)
    return Made(facts={"entries": [asdict(entry) for entry in entries]})


def _grey(count: int) -> np.ndarray:
    return np.full((count, 3), 128, dtype=np.uint8)


def _record(crop: Crop, key: str, sequence: str, split: str) -> FrameRecord:
    """A row of a frame table, of files that there are not."""
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
        camera_from_world=tuple(crop.view.matrix.ravel().tolist()),
        image_width=crop.view.width,
        image_height=crop.view.height,
        person_box=tuple(crop.person_box.tolist()),
        scene_key=f"{sequence}_scan",
        image_file=f"{key}.png",
        image_sha256="0" * 64,
        mirrored=False,
        body_file=f"{key}.npy",
        body_sha256="0" * 64,
        contact_file=f"{key}.npy",
        contact_sha256="0" * 64,
    )


def write_crops(paths: Paths, models: Path, rooms: int, crops: int, workers: int) -> None:
    """Shards and scenes of all rooms, every fortieth for validation."""
    section = Crops()
    work = Conversion("pretrain", VERSION, DATASET, section, paths, reads=(models,), workers=workers)
    jobs = [(number, "val" if number % 40 == 0 else "train", crops) for number in range(rooms)]
    planned = [Planned(item=job, inputs=list(job)) for job in jobs]
    receipts = work.run(planned, partial(make_room, models=models, settings=section), unit="room")
    with publish_folder(paths.scenes / f"{DATASET}.zarr") as store, publish_folder(paths.shards / DATASET) as shards:
        create_store(store, DATASET)
        entries = []
        for (number, split, _), receipt in zip(jobs, receipts, strict=True):
            assert receipt is not None
            key = f"Room{number:05d}_scan"
            piece = work.store.folder("pretrain", receipt.key)
            shutil.copytree(piece / "store" / key, store / key, copy_function=os.link)
            name = f"{DATASET}-{split}-Room{number:05d}-000000.tar"
            (shards / name).hardlink_to(piece / name)
            entries += [ShardEntry(**row) for row in receipt.facts["entries"]]
        write_index(shards, entries)
        write_left_out(shards, [])


def paths_below(home: Path) -> Paths:
    """Every output in a folder of its own name."""
    return Paths(**{name: home / name for name in Paths.__dataclass_fields__})


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Make the crops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=300)
    parser.add_argument("--crops", type=int, default=60, help="of each room")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(argv)
    models = HOME / "body_models"
    if not models.is_dir():
        with publish_folder(models) as folder:
            write_body_models(folder, build_body_models(7))
    write_crops(paths_below(HOME), (models / "models").resolve(), options.rooms, options.crops, options.workers)


if __name__ == "__main__":
    main()
