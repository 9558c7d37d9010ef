"""A tiny world for tests: an empty room, a cloud of vertices for a body, textured images, and their records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import trimesh

from pipelines.conversion.parallel import Parallel
from sahmr.files import write_manifest
from sahmr.placement import PlacementLimits
from sahmr.scenes.build import Scenes, create_store, write_scene
from sahmr.settings import Paths
from sahmr.shards.encode import Shards, encode_sample, plan_crop
from sahmr.shards.left_out import write_left_out
from sahmr.shards.write import plan_shards, write_index, write_shard
from sahmr.verify import Verify
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.scene import SCENE_SCHEMA, SceneRecord
from schemas.tables_write import to_table, write_table

PARALLEL = Parallel(workers=0, loaders=0, threads=1)
# Bodies and labels are random: labelled vertices are no nearer to a wall than the others.
VERIFY = Verify(box_tolerance=0.02, placement=PlacementLimits(contact_m=5.0, contact_ratio=9.0))
WIDTH, HEIGHT = 320, 240
SCENES = Scenes(voxel_pitch_m=0.05, sdf_spacing_m=0.1, sdf_margin_m=0.3, sdf_max_samples=10**6)
SHARDS = Shards(samples_per_shard=4, max_side_px=160, margin=1.6, jpeg_quality=92)
INTRINSICS = np.array([[250.0, 0, 160], [0, 250, 120], [0, 0, 1]])
CAMERA_FROM_WORLD = np.array([[1.0, 0, 0, 0.1], [0, 1, 0, 0.05], [0, 0, 1, 1.2], [0, 0, 0, 1]])


def room() -> trimesh.Trimesh:
    """A box seen from inside: normals point to the middle."""
    mesh = trimesh.creation.box((4.0, 2.5, 4.0))
    mesh.invert()
    return mesh


def scene_record(scan_file: str = "room.ply") -> SceneRecord:
    return SceneRecord(
        scene_key="Room_scan",
        dataset="rich",
        scan_file=scan_file,
        scan_sha256="0" * 64,
        sdf_file=None,
        sdf_info_file=None,
        sdf_sha256=None,
        sdf_info_sha256=None,
    )


def raw_files(number: int) -> dict[str, bytes]:
    """Stand-ins for the raw files of a record, by name; ``SmallReader`` never looks inside."""
    return {f"{number}.{kind}": f"{kind} of {number}".encode() for kind in ("png", "pkl", "npy")}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def image(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def vertices(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([-0.3, -0.8, 0.8], [0.3, 0.8, 1.2], (6890, 3))


def contact(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(6890) < 0.1


def record(
    number: int, *, split: str = "train", dataset: str = "rich", has_contact: bool = True, has_body: bool = True
) -> FrameRecord:
    """A frame; without a body its box comes from a detector, and it has no contact either."""
    points = vertices(number) @ CAMERA_FROM_WORLD[:3, :3].T + CAMERA_FROM_WORLD[:3, 3]
    pixels = points @ INTRINSICS.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return FrameRecord(
        key=f"Room_{split}_{number:05d}",
        dataset=dataset,
        split=split,
        sequence=f"Room_{split}",
        camera=0,
        frame=number,
        subject="001",
        gender="male",
        intrinsics=tuple(INTRINSICS.ravel().tolist()),
        camera_from_world=tuple(CAMERA_FROM_WORLD.ravel().tolist()),
        image_width=WIDTH,
        image_height=HEIGHT,
        person_box=tuple(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]).tolist()),
        box_source="body" if has_body else "detector",
        scene_key="Room_scan",
        image_file=f"{number}.png",
        image_sha256=sha256(raw_files(number)[f"{number}.png"]),
        mirrored=False,
        **hashed("body", f"{number}.pkl" if has_body else None),
        **hashed("contact", f"{number}.npy" if has_body and has_contact else None),
    )


def hashed(what: str, name: str | None) -> dict[str, str | None]:
    """Columns of one raw file."""
    content = None if name is None else sha256(raw_files(int(Path(name).stem))[name])
    return {f"{what}_file": name, f"{what}_sha256": content}


def records() -> list[FrameRecord]:
    """Nine samples: six to train with, one of them without contact labels, and three to test with."""
    train = [record(number) for number in range(5)] + [record(5, has_contact=False)]
    return train + [record(number, split="test") for number in range(6, 9)]


def own_records() -> list[FrameRecord]:
    """Two samples of a user's own pictures: nobody knows the bodies."""
    return [record(number, split="val", has_body=False) for number in (9, 10)]


@dataclass(frozen=True)
class SmallReader:
    """Stands in for a raw data set; picklable. A file's name is the number of what it holds."""

    root: Path = Path()

    def shared_files(self) -> list[Path]:
        return []

    def read_image(self, row: FrameRecord, region: tuple[int, int, int, int], divisor: int) -> np.ndarray:
        left, top, right, bottom = region
        size = ((right - left) // divisor, (bottom - top) // divisor)
        return cv2.resize(
            image(int(Path(row.image_file).stem))[top:bottom, left:right], size, interpolation=cv2.INTER_AREA
        )

    def load_body_world(self, row: FrameRecord) -> np.ndarray:
        return vertices(int(Path(row.body_file).stem))

    def load_contact(self, row: FrameRecord) -> np.ndarray | None:
        return contact(int(Path(row.contact_file).stem)) if row.contact_file else None


def members(row: FrameRecord, settings: Shards = SHARDS) -> dict[str, bytes]:
    reader, crop = SmallReader(), plan_crop(row, settings)
    pixels = reader.read_image(row, crop.region, crop.divisor)
    body = reader.load_body_world(row) if row.body_file else None
    return encode_sample(row, pixels, body, reader.load_contact(row), settings)


def write_world(folder: Path, rows: Sequence[FrameRecord] | None = None) -> None:
    """Raw scan, scene store, frame tables and shards, laid out as the stages do.

    Args:
        folder: made here.
        rows: default: ``records``.
    """
    rows = records() if rows is None else rows
    (folder / "raw").mkdir(parents=True)
    room().export(folder / "raw/room.ply")
    for row in rows:
        for name, content in raw_files(row.frame).items():
            (folder / "raw" / name).write_bytes(content)
    (folder / "bodies").mkdir()
    create_store(folder / "scenes/rich.zarr", "rich")
    write_scene(scene_record(), store=folder / "scenes/rich.zarr", raw_root=folder / "raw", settings=SCENES)
    write_table(folder / "frames/rich_scenes.parquet", to_table([scene_record()], SCENE_SCHEMA))
    write_table(folder / "frames/rich.parquet", to_table(rows, FRAME_SCHEMA))
    shards = folder / "shards/rich"
    shards.mkdir(parents=True)
    entries = []
    for plan in plan_shards(rows, SHARDS.samples_per_shard):
        entries += write_shard(shards, plan.name, [(row, members(row)) for row in plan.records])
    write_index(shards, entries)
    write_left_out(shards, [])
    write_manifests(folder)


def write_manifests(folder: Path) -> None:
    """What the stages would have written last."""
    write_manifest(folder / "bodies/manifest.json", stage="bodies", dataset=None)
    tables = ["rich.parquet", "rich_scenes.parquet"]
    write_manifest(folder / "frames/rich.manifest.json", tables, stage="frames", dataset="rich")
    write_manifest(folder / "scenes/rich.manifest.json", ["rich.zarr"], stage="scenes", dataset="rich")
    write_manifest(folder / "shards/rich/manifest.json", stage="shards", dataset="rich")


def paths_of(folder: Path) -> Paths:
    """Every output in a folder of its own name."""
    return Paths(**{name: folder / name for name in Paths.__dataclass_fields__})


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
