"""What every raw dataset offers: a check of its files, its scenes, its frames, and the heavy data of one frame.

Listing is light (folder names and calibrations); measuring one body opens its files and may run anywhere in
parallel. All cameras of a body are measured together, so its mesh is read once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.readers.calibration import Calibration, apply_rigid
from sahmr.readers.images import check_fits_camera, decode_image, image_size
from sahmr.settings import settings
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp")  # in order of preference where a frame has several
SPLITS = ("train", "val", "test")
# Nearer vertices cannot be projected sensibly; such a body surrounds the camera.
MIN_DEPTH_M = 0.1


@settings
class Frames:
    """Section ``frames`` of params.yaml: which raw frames are used (formats a.6).

    Attributes:
        warmup_frames: RICH: a frame is kept if its number is larger.
        interval: RICH, per split: kept if ``(frame + camera) mod interval == 0``.
        multi_person: RICH: sequences dropped because two people share them.
        prox_parts: parts of PROX to read; quantitative -> test, qualitative -> train.
        prox_interval: per part: kept if ``frame mod interval == 0``.
    """

    warmup_frames: int
    interval: dict[str, int]
    multi_person: tuple[str, ...]
    prox_parts: tuple[str, ...]
    prox_interval: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One image of a body: its key, file relative to the raw root, and calibrated camera."""

    key: str
    camera: int
    image_file: str
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTask:
    """One body at one moment and every image that shows it; files are relative to the raw root."""

    split: str
    sequence: str
    frame: int
    subject: str
    gender: str
    scene_key: str
    body_file: str
    contact_file: str | None
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A rule that dropped (or, for notes, marked) ``count`` frames of a split."""

    split: str
    rule: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All bodies worth measuring, sorted by their first key, and what the light rules dropped."""

    tasks: tuple[BodyTask, ...]
    dropped: tuple[Tally, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The usable frames of one body, what was dropped, and what is worth telling about kept ones."""

    records: tuple[FrameRecord, ...] = ()
    dropped: tuple[Tally, ...] = ()
    notes: tuple[Tally, ...] = ()


class Reader(Protocol):
    """A raw dataset. Picklable; opening files happens in the methods."""

    @property
    def dataset(self) -> str:
        """Rich | prox, in lower case."""

    @property
    def root(self) -> Path:
        """The raw root all stored paths are relative to."""

    def check(self) -> list[str]:
        """Every missing or misplaced raw file: where it was expected, what it is, where to get it."""

    def scenes(self) -> list[SceneRecord]:
        """Scans the frames refer to, sorted by scene key."""

    def list_bodies(self, rules: Frames) -> Listing:
        """Walk the folders and apply the rules that need no file opened."""

    def measure(self, task: BodyTask) -> Measured:
        """Open one body's files and make a record of every view that passes the remaining rules."""

    def frames(self, rules: Frames) -> Iterator[FrameRecord]:
        """All usable frames, one body after another."""

    def read_image(self, record: FrameRecord) -> NDArray[np.uint8]:
        """RGB [H, W, 3], flipped back where the file is the mirror image."""

    def load_body_world(self, record: FrameRecord) -> Array:
        """SMPL-topology vertices [6890, 3], float64, world frame, metres."""

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """Contact label of the 6890 vertices; None where the raw data know none."""


class BodyUnusableError(RawDataError):
    """A body the publisher is known to ship damaged; ``rule`` names the drop rule that counts it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule

    def __reduce__(self) -> tuple[type[BodyUnusableError], tuple[str, str]]:
        """Cross processes with the rule."""
        return type(self), (self.rule, str(self))


def raise_problems(dataset: str, problems: list[str]) -> None:
    """Turn a non-empty list of problems into one RawDataError that tells all of them."""
    if problems:
        raise RawDataError("\n".join([f"{dataset}: {len(problems)} problems with the raw files:", *problems]))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def project(points: Array, intrinsics: Array) -> Array:
    """Pixels [n, 2] of camera-frame points [n, 3] in front of the camera (float64)."""
    scaled = points[:, :2] / points[:, 2:]
    return scaled * intrinsics.diagonal()[:2] + intrinsics[:2, 2]


def person_box(vertices_world: Array, calibration: Calibration) -> tuple[float, float, float, float] | None:
    """Tight (left, top, right, bottom) of the projected vertices, full-image pixels, not clipped.

    None if a vertex lies behind the camera or nearer than ``MIN_DEPTH_M``.
    """
    transform = np.array(calibration.camera_from_world).reshape(4, 4)
    points = apply_rigid(transform, vertices_world)
    if points[:, 2].min() < MIN_DEPTH_M:
        return None
    pixels = project(points, np.array(calibration.intrinsics).reshape(3, 3))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def measure_views(
    task: BodyTask, vertices_world: Array, *, dataset: str, root: Path, mirrored: bool, contact_known: bool
) -> Measured:
    """Project one body into all its views and apply ``behind_camera`` and ``visibility``.

    ``visibility`` drops a view if the centre of the person box lies outside the image (formats a.6).

    Raises:
        RawDataError: if an image does not fit its calibration.
    """
    contact_file = task.contact_file if contact_known else None
    body_sha256 = file_sha256(root / task.body_file)
    contact_sha256 = file_sha256(root / contact_file) if contact_file is not None else None
    records, dropped, notes = [], [], []
    for view in task.views:
        path, calibration = root / view.image_file, view.calibration
        size = image_size(path)
        check_fits_camera(path, size, np.array(calibration.intrinsics).reshape(3, 3))
        box = person_box(vertices_world, calibration)
        rule = "behind_camera" if box is None else None if _center_inside(box, size) else "visibility"
        if box is None or rule is not None:
            dropped.append(Tally(split=task.split, rule=str(rule), count=1))
            continue
        if contact_file is None:
            notes.append(Tally(split=task.split, rule="contact_unknown", count=1))
        records.append(
            FrameRecord(
                key=view.key,
                dataset=dataset,
                split=task.split,
                sequence=task.sequence,
                camera=view.camera,
                frame=task.frame,
                subject=task.subject,
                gender=task.gender,
                intrinsics=calibration.intrinsics,
                camera_from_world=calibration.camera_from_world,
                image_width=size[0],
                image_height=size[1],
                person_box=box,
                scene_key=task.scene_key,
                image_file=view.image_file,
                image_sha256=file_sha256(path),
                mirrored=mirrored,
                body_file=task.body_file,
                body_sha256=body_sha256,
                contact_file=contact_file,
                contact_sha256=contact_sha256,
            )
        )
    return Measured(records=tuple(records), dropped=tuple(dropped), notes=tuple(notes))


def _center_inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return 0 <= x <= size[0] - 1 and 0 <= y <= size[1] - 1


def measure_body(
    task: BodyTask, load: Callable[[], Array], *, dataset: str, root: Path, mirrored: bool, contact_known: bool
) -> Measured:
    """:func:`measure_views` of a body still to be loaded; known publisher defects drop all its views, counted."""
    try:
        vertices = load()
    except BodyUnusableError as defect:
        return Measured(dropped=(Tally(split=task.split, rule=defect.rule, count=len(task.views)),))
    return measure_views(task, vertices, dataset=dataset, root=root, mirrored=mirrored, contact_known=contact_known)


def read_record_image(root: Path, record: FrameRecord) -> NDArray[np.uint8]:
    """Decode a record's image, undo the mirroring, and compare its size with the record and K.

    Raises:
        RawDataError: if the image is damaged or not the one the record was made from.
    """
    path = root / record.image_file
    pixels = decode_image(path)
    size = (pixels.shape[1], pixels.shape[0])
    if size != (record.image_width, record.image_height):
        raise RawDataError(
            f"{path}: image is {size[0]}x{size[1]}, frame '{record.key}' was recorded with "
            f"{record.image_width}x{record.image_height}; run: dvc repro frames"
        )
    check_fits_camera(path, size, np.array(record.intrinsics).reshape(3, 3))
    return np.ascontiguousarray(pixels[:, ::-1]) if record.mirrored else pixels


def sorted_listing(tasks: list[BodyTask], dropped: list[Tally]) -> Listing:
    """Sort tasks by first key, add tallies up, and insist that keys are unique.

    Raises:
        RawDataError: if two frames would share a key.
    """
    seen: dict[str, str] = {}
    for view in (view for task in tasks for view in task.views):
        if view.key in seen:
            raise RawDataError(f"{seen[view.key]} and {view.image_file} would both be '{view.key}'; remove one of them")
        seen[view.key] = view.image_file
    return Listing(tasks=tuple(sorted(tasks, key=lambda task: task.views[0].key)), dropped=add_tallies(dropped))


def add_tallies(tallies: list[Tally]) -> tuple[Tally, ...]:
    """One tally per rule and split, sorted."""
    total: dict[tuple[str, str], int] = {}
    for tally in tallies:
        total[tally.rule, tally.split] = total.get((tally.rule, tally.split), 0) + tally.count
    return tuple(Tally(rule=rule, split=split, count=n) for (rule, split), n in sorted(total.items()) if n)
