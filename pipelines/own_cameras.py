"""Cameras of a folder of one's own against its scans: one that stands behind a wall is refused, or left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.conversion.parallel import map_ordered
from pipelines.stage import log
from sahmr.cameras.photo_camera import PhotoCamera
from sahmr.readers.base import BodyTask, Listing, Tally, add_tallies, raise_problems
from sahmr.readers.names import name_some
from sahmr.readers.own import OwnReader, OwnTask
from sahmr.readers.own_layout import cameras_of, open_scene
from sahmr.sight.standing import Standing, standing_of

RULE = "behind_wall"
_Cameras = tuple[Path, tuple[PhotoCamera, ...]]


def compare_with_scans(reader: OwnReader, listing: Listing, *, workers: int) -> Listing:
    """Look once through every camera that has a picture; what ``frames.own.behind_wall`` says becomes of those outside.

    A scan is read once, and a look takes a millisecond or two, however many pictures a camera took.

    Args:
        reader: of the folder.
        listing: its people.
        workers: processes that scenes are spread over; cannot change the result.

    Raises:
        RawDataError: naming the cameras behind a wall, one line a scene, if they are refused.
    """
    scenes = _cameras_by_scene(reader, listing.tasks)
    items = [(scan, cameras) for _, scan, cameras in scenes]
    spread = workers if len(items) > 1 else 0  # to start a process takes as long as to read a scan
    found = map_ordered(_look, items, workers=spread, label="cameras", unit="scene", readable=(reader.root,))
    outside: dict[str, set[str]] = {}
    problems: list[str] = []
    for (scene, scan, cameras), standing in zip(scenes, found, strict=True):
        if standing.unread is not None:
            log.warning("frames own: no camera of %s was compared with its scan: %s", scene, standing.unread)
        if standing.suspected:
            log.warning("frames own: %s: suspected: %s", scene, _named(standing.suspected, len(cameras)))
        if standing.behind:
            outside[scene] = set(standing.behind)
            problems.append(f"{cameras[0].source}: does not fit {scan}: {_named(standing.behind, len(cameras))}")
    if problems and reader.rules.behind_wall == "refuse":
        raise_problems(
            reader.dataset,
            [f"{problem}; correct the pose or the scan's axes (predict_photo --check-only draws both), or set "
             f"frames.own.{RULE} to leave_out: its pictures are then left out, counted" for problem in problems],
        )  # fmt: skip
    return _without(listing, outside)


def _cameras_by_scene(reader: OwnReader, tasks: Sequence[BodyTask]) -> list[tuple[str, Path, tuple[PhotoCamera, ...]]]:
    """Name, scan and used cameras of every scene, sorted."""
    used: dict[str, set[str]] = {}
    for task in tasks:
        assert isinstance(task, OwnTask)  # listed by this reader
        used.setdefault(task.scene_key, set()).add(task.camera_name)
    made = []
    for key in sorted(used):
        scene = open_scene(reader.root, key)
        cameras = cameras_of(scene)
        made.append((key, scene.path / scene.scan, tuple(cameras[name] for name in sorted(used[key]))))
    return made


def _look(item: _Cameras) -> Standing:
    return standing_of(*item)


def _named(found: dict[str, str], total: int) -> str:
    """The first camera and what is said of it, and which others it is said of."""
    (first, said), *others = found.items()
    more = f" ({len(found)} of {total} cameras: also {name_some([name for name, _ in others])})" if others else ""
    return f"camera {first[:80]!r}: {said}{more}"


def _without(listing: Listing, outside: dict[str, set[str]]) -> Listing:
    """The listing without those cameras' people, counted."""
    kept: list[BodyTask] = []
    dropped: list[Tally] = list(listing.dropped)
    for task in listing.tasks:
        assert isinstance(task, OwnTask)
        if task.camera_name in outside.get(task.scene_key, ()):
            dropped.append(Tally(split=task.split, rule=RULE, count=1))
        else:
            kept.append(task)
    return replace(listing, tasks=tuple(kept), dropped=tuple(add_tallies(dropped)))
