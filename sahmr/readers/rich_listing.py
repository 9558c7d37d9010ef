"""Which images of raw RICH show a body worth measuring: the rules that need no file opened (formats a.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Literal

from sahmr.readers.base import SPLITS, BodyTask, Selection, View
from sahmr.readers.calibration import Calibration
from sahmr.readers.rich_layout import SequenceFiles
from sahmr.readers.rich_tables import Track
from sahmr.settings import Between, Keyed, Listed, Text, settings


@settings
class RichRules(Selection):
    """Group ``frames.rich`` of params.yaml: which raw frames are used (formats a.6).

    Attributes:
        warmup_frames: a frame is kept if its number is larger.
        interval: per split: kept if ``(frame + camera) mod interval == 0``.
        multi_person: sequences dropped because two people share them.
        splits: that are read.
        images: full, ds4 (quarter-size copies in ``images_ds4``), or auto: per sequence full ones where their folder
            is there, else ds4.
    """

    warmup_frames: Annotated[int, Between(0, 100_000)] = 45  # five digits number the frames
    interval: Annotated[dict[str, Annotated[int, Between(1, 10_000)]], Keyed(SPLITS)] = field(
        default_factory=lambda: {"train": 15, "val": 30, "test": 30}
    )
    multi_person: Annotated[tuple[Text, ...], Listed()] = ("LectureHall_009_021_reparingprojector1",)
    splits: Annotated[tuple[Literal["train", "val", "test"], ...], Listed(least=1)] = ("train", "val", "test")
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
    """Calibrated cameras of one capture, those the tables name and the numbers of others, and the scans it has."""

    calibrations: Mapping[int, Calibration]
    others: frozenset[int]
    scans: frozenset[str]


def list_track(
    track: Track, files: SequenceFiles, rules: RichRules, cameras: Cameras
) -> tuple[list[BodyTask], Counter[str]]:
    """The bodies of one person in one sequence, and how many images each rule dropped.

    Args:
        track: the person and sequence.
        files: of the sequence.
        rules: which frames are used.
        cameras: of the track's capture.
    """
    counts: Counter[str] = Counter()
    whole = "multi_person" if track.sequence in rules.multi_person else None
    whole = whole or (None if track.scan in cameras.scans else "no_scene")
    if whole is not None:
        counts[whole] = sum(map(len, files.images.values()))
        return [], counts
    listed = [camera for camera in track.cameras if camera in cameras.calibrations]
    for camera in set(files.images) - set(listed):
        counts["unlisted_camera" if camera in cameras.others else "uncalibrated_camera"] += len(files.images[camera])
    views: dict[int, list[View]] = {}
    for camera in listed:
        images = files.images.get(camera, {})
        for frame in _kept_frames(track, rules, camera, images, files.bodies, counts):
            view = View(
                key=f"{track.sequence}_{camera}_{frame:05d}_{track.subject}",
                camera=camera,
                image_file=images[frame],
                image_divisor=files.image_divisor,
                calibration=cameras.calibrations[camera],
            )
            views.setdefault(frame, []).append(view)
    return [_task(track, frame, files, made) for frame, made in sorted(views.items())], counts


def _kept_frames(
    track: Track,
    rules: RichRules,
    camera: int,
    images: Mapping[int, str],
    bodies: Mapping[int, Mapping[int, str]],
    counts: Counter[str],
) -> list[int]:
    """Frames of one camera that no rule drops; each dropped image is counted under the first rule that drops it."""
    kept = []
    interval = rules.interval[track.split]
    for frame in sorted({*images, *bodies}):
        has_image = frame in images
        if frame <= rules.warmup_frames:
            counts["warmup"] += has_image
        elif (frame + camera) % interval != 0:
            counts["interval"] += has_image
        elif track.subject not in bodies.get(frame, ()):
            counts["no_body"] += has_image
        elif not has_image:
            counts["no_image"] += 1
        else:
            kept.append(frame)
    return kept


def _task(track: Track, frame: int, files: SequenceFiles, views: list[View]) -> BodyTask:
    return BodyTask(
        split=track.split,
        sequence=track.sequence,
        frame=frame,
        subject=f"{track.subject:03d}",
        gender=track.gender,
        scene_key=track.scene_key,
        body_file=files.bodies[frame][track.subject],
        contact_file=files.contacts.get(frame, {}).get(track.subject),
        views=tuple(views),
    )
