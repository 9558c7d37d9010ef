"""Which images of raw RICH show a body worth measuring: the rules that need no file opened (formats a.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from sahmr.readers import rich_layout as layout
from sahmr.readers.base import SPLITS, BodyTask, Selection, View
from sahmr.readers.calibration import Calibration
from sahmr.readers.rich_layout import SequenceImages, Track
from sahmr.settings import Between, Keyed, Listed, Text, settings


@settings
class RichRules(Selection):
    """Group ``frames.rich`` of params.yaml: which raw frames are used (formats a.6).

    Attributes:
        warmup_frames: a frame is kept if its number is larger.
        interval: per split: kept if ``(frame + camera) mod interval == 0``.
        multi_person: sequences dropped because two people share them.
        images: full, ds4 (quarter-size copies in ``images_ds4``), or auto: per sequence full ones where their folder
            is there, else ds4.
    """

    warmup_frames: Annotated[int, Between(0, 100_000)] = 45  # five digits number the frames
    interval: Annotated[dict[str, Annotated[int, Between(1, 10_000)]], Keyed(SPLITS)] = field(
        default_factory=lambda: {"train": 15, "val": 30, "test": 30}
    )
    multi_person: Annotated[tuple[Text, ...], Listed()] = ("LectureHall_009_021_reparingprojector1",)
    images: Literal["auto", "full", "ds4"] = "auto"


def check_names(rules: RichRules, sequences: Iterable[str]) -> list[str]:
    """A line for every name among the rules that selects nothing; the published ones may be of an absent split.

    Args:
        rules: which raw frames are used.
        sequences: that the split tables name.
    """
    known = set(sequences)
    return [
        f"params.yaml: frames.rich.multi_person: found {name!r}, allowed a sequence that the split tables name"
        f"{_meant(name, known)}; correct or remove it"
        for name in rules.multi_person
        if name not in known | set(RichRules().multi_person)
    ]


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1)
    return f", as {near[0]}" if near else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cameras:
    """Calibrated cameras of one capture: those the split tables name, and the numbers of others."""

    calibrations: Mapping[int, Calibration]
    others: frozenset[int]


@dataclass(slots=True, kw_only=True)
class _Bodies:
    """Body files of one person in one sequence, looked for only where a frame asks."""

    sequence: Path | None
    subject: int
    folders: dict[int, str]
    found: dict[int, Path | None] = field(default_factory=dict)

    def find(self, frame: int) -> Path | None:
        if frame not in self.found and self.sequence is not None and frame in self.folders:
            self.found[frame] = layout.find_body(self.sequence / self.folders[frame], self.subject)
        return self.found.get(frame)


def list_track(root: Path, track: Track, rules: RichRules, cameras: Cameras) -> tuple[list[BodyTask], Counter[str]]:
    """The bodies of one person in one sequence, and how many images each rule dropped.

    Args:
        root: of the tree.
        track: the person and sequence.
        rules: which frames are used.
        cameras: of the track's capture.
    """
    images = layout.list_images(root, track.split, track.sequence, rules.images)
    counts: Counter[str] = Counter()
    if track.sequence in rules.multi_person:
        counts["multi_person"] = sum(map(len, images.files.values()))
        return [], counts
    for camera in set(images.files) - set(track.cameras):
        counts["unlisted_camera" if camera in cameras.others else "uncalibrated_camera"] += len(images.files[camera])
    place = layout.sequence_folder(root, "bodies", track.split, track.sequence)
    bodies = _Bodies(sequence=place, subject=track.subject, folders=layout.list_body_folders(place))
    views: dict[int, list[View]] = {}
    for camera in track.cameras:
        kept = _kept_frames(track, rules, camera, set(images.files.get(camera, ())), bodies, counts)
        for frame in kept:
            views.setdefault(frame, []).append(_view(root, track, camera, frame, images, cameras.calibrations[camera]))
    contacts = layout.sequence_folder(root, "contact", track.split, track.sequence)
    return [_task(root, track, frame, bodies, contacts, made) for frame, made in sorted(views.items())], counts


def _kept_frames(
    track: Track, rules: RichRules, camera: int, with_image: set[int], bodies: _Bodies, counts: Counter[str]
) -> list[int]:
    """Frames of one camera that no rule drops; each dropped image is counted under the first rule that drops it."""
    kept = []
    interval = rules.interval[track.split]
    for frame in sorted(with_image.union(bodies.folders)):
        has_image = frame in with_image
        if frame <= rules.warmup_frames:
            counts["warmup"] += has_image
        elif (frame + camera) % interval != 0:
            counts["interval"] += has_image
        elif bodies.find(frame) is None:
            counts["no_body"] += has_image
        elif not has_image:
            counts["no_image"] += 1
        else:
            kept.append(frame)
    return kept


def _view(root: Path, track: Track, camera: int, frame: int, images: SequenceImages, calibration: Calibration) -> View:
    assert images.folder is not None  # it has files
    return View(
        key=f"{track.sequence}_{camera}_{frame:05d}_{track.subject}",
        camera=camera,
        image_file=f"{images.folder.relative_to(root).as_posix()}/{images.files[camera][frame]}",
        image_divisor=images.divisor,
        calibration=calibration,
    )


def _task(root: Path, track: Track, frame: int, bodies: _Bodies, contacts: Path | None, views: list[View]) -> BodyTask:
    body = bodies.find(frame)
    assert body is not None  # frames without are dropped
    contact = None if contacts is None else contacts / body.parent.name / f"{track.subject:03d}.pkl"
    return BodyTask(
        split=track.split,
        sequence=track.sequence,
        frame=frame,
        subject=f"{track.subject:03d}",
        gender=track.gender,
        scene_key=track.scene_key,
        body_file=body.relative_to(root).as_posix(),
        contact_file=contact.relative_to(root).as_posix() if contact is not None and contact.is_file() else None,
        views=tuple(views),
    )
