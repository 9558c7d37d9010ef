"""One body projected into all its images: the records of the views that pass the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sahmr.datasets import find_card
from sahmr.files import file_sha256
from sahmr.geometry.rigid_numpy import apply_rigid, project
from sahmr.readers.base import BodyTask, Measured, Tally, View, add_tallies
from sahmr.readers.calibration import Calibration
from sahmr.readers.images import check_fits_camera, image_size
from schemas.frame import FrameRecord

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]
# Nearer vertices cannot be projected sensibly; such a body surrounds the camera.
MIN_DEPTH_M = 0.1


def person_box(vertices_world: Array, calibration: Calibration) -> Box | None:
    """Tight (left, top, right, bottom) of the projected vertices [n, 3], full-image pixels, not clipped.

    None if a vertex lies behind the camera or nearer than ``MIN_DEPTH_M``.
    """
    vertices_camera = apply_rigid(
        np.array(calibration.camera_from_world).reshape(4, 4), np.asfortranarray(vertices_world)
    )
    if vertices_camera[:, 2].min() < MIN_DEPTH_M:
        return None
    pixels = project(vertices_camera, np.array(calibration.intrinsics).reshape(3, 3))
    left, top, right, bottom = map(float, (*pixels.min(axis=0), *pixels.max(axis=0)))
    return left, top, right, bottom


def drop_body(task: BodyTask, rule: str) -> Measured:
    """No record of any view: the whole body is dropped by one rule."""
    return Measured(dropped=(Tally(split=task.split, rule=rule, count=len(task.views)),))


def measure_body(task: BodyTask, vertices_world: Array, *, dataset: str, root: Path, contact_known: bool) -> Measured:
    """Project a body into all its views, and apply ``behind_camera`` and ``visibility``.

    ``visibility`` drops a view if the centre of the person box lies outside the image (formats a.6).

    Args:
        task: the body.
        vertices_world: its vertices [6890, 3], world frame, metres.
        dataset: name of its card.
        root: the raw root.
        contact_known: whether the task's contact file holds labels.

    Raises:
        RawDataError: if a file is damaged or an image does not fit its calibration.
    """
    contact_file = task.contact_file if contact_known else None
    facts = {
        "dataset": dataset,
        "mirrored": find_card(dataset).is_mirrored,
        "body_sha256": file_sha256(root / task.known_body),
        "contact_file": contact_file,
        "contact_sha256": None if contact_file is None else file_sha256(root / contact_file),
    }
    records, dropped, notes = [], [], []
    for view in task.views:
        size, box, rule = _see(view, vertices_world, root)
        if box is None or rule is not None:
            dropped.append(Tally(split=task.split, rule=str(rule), count=1))
            continue
        notes += [Tally(split=task.split, rule=note, count=1) for note in _notes(view, contact_file)]
        records.append(_record(task, view, size, box, {**facts, "image_sha256": file_sha256(root / view.image_file)}))
    return Measured(records=tuple(records), dropped=add_tallies(dropped), notes=add_tallies(notes))


def _record(task: BodyTask, view: View, size: tuple[int, int], box: Box, facts: dict[str, Any]) -> FrameRecord:
    return FrameRecord(
        key=view.key,
        split=task.split,
        sequence=task.sequence,
        camera=view.camera,
        frame=task.frame,
        subject=task.subject,
        gender=task.gender,
        intrinsics=view.calibration.intrinsics,
        camera_from_world=view.calibration.camera_from_world,
        image_width=size[0],
        image_height=size[1],
        person_box=box,
        box_source="body",
        scene_key=task.scene_key,
        image_file=view.image_file,
        image_divisor=view.image_divisor,
        body_file=task.body_file,
        **facts,
    )


def _see(view: View, vertices_world: Array, root: Path) -> tuple[tuple[int, int], Box | None, str | None]:
    """Size of the full image, person box in it, and the rule that drops the view."""
    path, divisor = root / view.image_file, view.image_divisor
    width, height = image_size(path)
    size = (width * divisor, height * divisor)
    check_fits_camera(path, size, np.array(view.calibration.intrinsics).reshape(3, 3), divisor)
    box = person_box(vertices_world, view.calibration)
    if box is None:
        return size, None, "behind_camera"
    return size, box, None if is_visible(box, size) else "visibility"


def is_visible(box: tuple[float, ...], size: tuple[int, int]) -> bool:
    """Whether the centre of a box (left, top, right, bottom) lies in an image of (width, height)."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return 0 <= x <= size[0] - 1 and 0 <= y <= size[1] - 1


def _notes(view: View, contact_file: str | None) -> list[str]:
    """What is worth counting about a kept view."""
    unknown = ["contact_unknown"] if contact_file is None else []
    return unknown + (["quarter_size_image"] if view.image_divisor > 1 else [])
