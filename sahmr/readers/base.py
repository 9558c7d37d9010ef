"""What every raw dataset offers: a check of its files, its scenes, its frames, and the heavy data of one frame.

Listing is light (folder names and calibrations); measuring one body opens its files and may run anywhere in
parallel. All cameras of a body are measured together, so its mesh is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.readers.calibration import Calibration
from sahmr.readers.images import Region
from sahmr.settings import Flag, Quarantine, settings
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp")  # in order of preference where a frame has several
SPLITS = ("train", "val", "test")


@settings
class Selection:
    """What every dataset's group of section ``frames`` holds; a reader's ``Rules`` add its own.

    Attributes:
        max_quarantined: at most this many damaged raw files are left out, counted and listed; one more, and the stage
            fails.
        allow_absent: do without raw files that should be there, each absence counted; false: an error names them.
    """

    max_quarantined: Quarantine = 0
    allow_absent: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One image of a body: its key, file relative to the raw root, how far that is reduced, and calibrated camera."""

    key: str
    camera: int
    image_file: str
    image_divisor: int
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTask:
    """One body at one moment and every image that shows it; files are relative to the raw root.

    ``body_file`` is None where nobody knows the body: the reader then gives the person box itself.
    """

    split: str
    sequence: str
    frame: int
    subject: str
    gender: str
    scene_key: str
    body_file: str | None
    contact_file: str | None
    views: tuple[View, ...]

    @property
    def known_body(self) -> str:
        """The body file, of readers that list no task without one."""
        assert self.body_file is not None
        return self.body_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A rule that dropped (or, for notes, marked) ``count`` frames of a split."""

    split: str
    rule: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """``count`` names in a kind of folder, ``what``, are no published ones; ``first`` of them, relative to the root."""

    what: str
    count: int
    first: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Something that should be there and is not: ``name`` of a split, under the name of the ``rule`` that counts it."""

    split: str
    rule: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All bodies worth measuring, sorted by their first key.

    Attributes:
        tasks: the bodies.
        dropped: images that the light rules dropped.
        absent: things (sequences, cameras, ...) that are not there and whose absence was accepted, per rule.
        ignored: names that are no published ones.
    """

    tasks: tuple[BodyTask, ...]
    dropped: tuple[Tally, ...]
    absent: tuple[Tally, ...] = ()
    ignored: tuple[Ignored, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The usable frames of one body, what was dropped, and what is worth telling about kept ones."""

    records: tuple[FrameRecord, ...] = ()
    dropped: tuple[Tally, ...] = ()
    notes: tuple[Tally, ...] = ()


@runtime_checkable
class Reader(Protocol):
    """A raw dataset. Picklable; opening files happens in the methods."""

    @property
    def dataset(self) -> str:
        """Name of its card."""

    @property
    def root(self) -> Path:
        """The raw root all stored paths are relative to."""

    def check(self) -> list[str]:
        """Every missing or misplaced raw file: where it was expected, what it is, where to get it."""

    def scenes(self) -> list[SceneRecord]:
        """Scans the frames refer to, sorted by scene key."""

    def list_bodies(self) -> Listing:
        """Walk the folders and apply the rules that need no file opened."""

    def inputs(self, task: BodyTask) -> list[tuple[str, Path]]:
        """Every file of its own that :meth:`measure` may open for a task, existing or not, after what it is:
        image | body | contact.
        """

    def shared_files(self) -> list[Path]:
        """Existing files, beside images, bodies and contacts, that place bodies: all bodies depend on them."""

    def measure(self, task: BodyTask) -> Measured:
        """Open one body's files and make a record of every view that passes the remaining rules."""

    def frames(self) -> Iterator[FrameRecord]:
        """All usable frames, one body after another."""

    def read_image(self, record: FrameRecord, region: Region, divisor: int) -> NDArray[np.uint8]:
        """RGB of a region of the full image, averaged over squares of ``divisor`` pixels.

        Flipped back where the file is the mirror image; see :func:`sahmr.readers.images.read_record_image`.
        """

    def load_body_world(self, record: FrameRecord) -> Array:
        """SMPL-topology vertices [6890, 3], float64, world frame, metres, of a record with a ``body_file``."""

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
    """Turn a non-empty list of problems into one RawDataError that lists all of them."""
    if problems:
        raise RawDataError("\n".join([f"{dataset}: {len(problems)} problems with the raw files:", *problems]))


def task_inputs(root: Path, task: BodyTask) -> list[tuple[str, Path]]:
    """Files a task names, after what they are; a contact file's mesh, which says whether labels are known, with it."""
    contact = None if task.contact_file is None else root / task.contact_file
    contacts = [] if contact is None else [("contact", contact), ("contact", contact.with_suffix(".obj"))]
    images = [("image", root / view.image_file) for view in task.views]
    bodies = [] if task.body_file is None else [("body", root / task.body_file)]
    return [*bodies, *contacts, *images]


def sorted_listing(
    tasks: list[BodyTask],
    dropped: list[Tally],
    absences: Iterable[Absence] = (),
    ignored: tuple[Ignored, ...] = (),
) -> Listing:
    """Sort tasks by first key, add tallies up, and insist that keys are unique.

    Raises:
        RawDataError: if two frames would share a key.
    """
    seen: dict[str, str] = {}
    for view in (view for task in tasks for view in task.views):
        if view.key in seen:
            raise RawDataError(f"{seen[view.key]} and {view.image_file} would both be '{view.key}'; remove one of them")
        seen[view.key] = view.image_file
    return Listing(
        tasks=tuple(sorted(tasks, key=lambda task: task.views[0].key)),
        dropped=add_tallies(dropped),
        absent=add_tallies([Tally(split=absence.split, rule=absence.rule, count=1) for absence in absences]),
        ignored=ignored,
    )


def add_tallies(tallies: list[Tally]) -> tuple[Tally, ...]:
    """One tally per rule and split, sorted."""
    total: dict[tuple[str, str], int] = {}
    for tally in tallies:
        total[tally.rule, tally.split] = total.get((tally.rule, tally.split), 0) + tally.count
    return tuple(Tally(rule=rule, split=split, count=n) for (rule, split), n in sorted(total.items()) if n)
