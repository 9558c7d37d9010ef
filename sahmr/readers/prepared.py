"""Files of the authors' prepared folders: ready-made crops, packed labels, and records with the boxes they ship."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.datasets import find_card
from sahmr.dimensions import CROP_SIZE, NUM_VERTICES
from sahmr.errors import RawDataError
from sahmr.files import file_sha256
from sahmr.readers.base import BodyTask, Measured, Tally, View, add_tallies
from sahmr.readers.images import PRINCIPAL_POINT_TOLERANCE, check_fits_camera, decode_region, image_size
from sahmr.readers.measure import is_visible, person_box
from sahmr.readers.prepared_index import Box
from sahmr.shards.crop import READY, box_of_crop, crop_box
from sahmr.untrusted.pickles import load_npy
from schemas.frame import FrameRecord

Array = NDArray[np.float64]
_PUBLISHED = ((4112, 3008), (3008, 4112))  # sizes of RICH's images (formats a.1)
LABEL_BYTES = -(-NUM_VERTICES // 8)  # 862
_SAME_PX = 1.0  # between a shipped box and that of the shipped body (formats, trap 6); farther is counted
_OTHER = 0.25  # of the square's side: so far off is another person's box, or another camera's


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxedView(View):
    """A view whose box the publisher ships: tight round the person, or, ``is_crop``, the square of the crop, which the
    image file then is.
    """

    box: Box | None
    is_crop: bool


def read_packed_contact(path: Path) -> NDArray[np.bool_]:
    """One label per SMPL vertex from 862 bytes, big-endian bits, of which the last 6 are padding.

    Raises:
        RawDataError: if the array is of another type or length, or its padding is not 0.
    """
    packed = load_npy(path)
    if not isinstance(packed, np.ndarray) or packed.dtype != np.uint8 or packed.shape != (LABEL_BYTES,):
        found = f"{packed.dtype} {packed.shape}" if isinstance(packed, np.ndarray) else type(packed).__name__
        raise RawDataError(
            f"{path}: contact labels are {found}; allowed: uint8 ({LABEL_BYTES},), {NUM_VERTICES} packed bits; "
            "fetch it again"
        )
    bits = np.unpackbits(packed)
    if bits[NUM_VERTICES:].any():
        raise RawDataError(f"{path}: bits behind the {NUM_VERTICES} contact labels are set; fetch it again")
    return bits[:NUM_VERTICES].astype(bool)


def check_labels(path: Path) -> str | None:
    """What is wrong with packed contact labels."""
    try:
        read_packed_contact(path)
    except RawDataError as problem:
        return str(problem)
    return None


def check_crop(path: Path) -> str | None:
    """What is wrong with a ready-made crop, by its header."""
    try:
        width, height = image_size(path)
    except RawDataError as problem:
        return str(problem)
    if (width, height) == (CROP_SIZE, CROP_SIZE):
        return None
    return (
        f"{path}: crop is {width}x{height}, allowed: {CROP_SIZE}x{CROP_SIZE}, as the network takes it; fetch it again"
    )


def read_crop(path: Path) -> NDArray[np.uint8]:
    """RGB of a ready-made crop, exactly as it lies on disk.

    Raises:
        RawDataError: if it is damaged or of another size.
    """
    if problem := check_crop(path):
        raise RawDataError(problem)
    return decode_region(path, (0, 0, CROP_SIZE, CROP_SIZE), 1)


def measure_boxed(task: BodyTask, vertices_world: Array, *, dataset: str, root: Path) -> Measured:
    """Records of one body's views with the boxes their publisher ships, or, where it ships none, the body's own.

    ``behind_camera`` drops, and, of whole images, ``visibility``, as :func:`sahmr.readers.measure.measure_body`;
    ``box_differs`` notes views whose shipped box is more than a pixel off that of the body.

    Args:
        task: the body; its views are ``BoxedView``s.
        vertices_world: its vertices [6890, 3], world frame, metres.
        dataset: name of its card.
        root: the raw root.

    Raises:
        RawDataError: if a file is damaged, an image does not fit its calibration, or a box is of somebody else.
    """
    records, dropped, notes = [], [], []
    for view in task.views:
        assert isinstance(view, BoxedView)
        own = person_box(vertices_world, view.calibration)
        if own is None:
            dropped.append(Tally(split=task.split, rule="behind_camera", count=1))
            continue
        noted = [Tally(split=task.split, rule=rule, count=1) for rule in _notes(task, view, own)]
        record = _record(task, view, own, dataset, root)
        if not view.is_crop and not is_visible(record.person_box, (record.image_width, record.image_height)):
            dropped.append(Tally(split=task.split, rule="visibility", count=1))
            continue
        notes += noted
        records.append(record)
    return Measured(records=tuple(records), dropped=add_tallies(dropped), notes=add_tallies(notes))


def _notes(task: BodyTask, view: BoxedView, own: Box) -> Iterator[str]:
    if task.contact_file is None:
        yield "contact_unknown"
    if view.image_divisor > 1:
        yield "quarter_size_image"
    if view.box is None:
        return
    own_crop, shipped = crop_box(np.array(own)), np.array(view.box)
    shipped = shipped if view.is_crop else crop_box(shipped)
    off = float(np.abs(own_crop - shipped).max())
    if off > _OTHER * float((shipped[2:] - shipped[:2]).max()):
        raise RawDataError(
            f"{view.key}: the index has the box {[round(side, 1) for side in view.box]}, the body {task.body_file} "
            f"gives {[round(side, 1) for side in own]}, {off:.0f} pixels off; the two do not belong together: fetch "
            "both again"
        )
    if off > _SAME_PX:
        yield "box_differs"


def _record(task: BodyTask, view: BoxedView, own: Box, dataset: str, root: Path) -> FrameRecord:
    path = root / view.image_file
    intrinsics = np.array(view.calibration.intrinsics).reshape(3, 3)
    box, source = (own, "body") if view.box is None else (view.box, "publisher")
    if view.is_crop:
        assert view.box is not None
        read_crop(path)
        size, source, box = full_size(intrinsics), READY, _person_box_of(view.box)
    else:
        width, height = image_size(path)
        size = (width * view.image_divisor, height * view.image_divisor)
        check_fits_camera(path, size, intrinsics, view.image_divisor)
    return FrameRecord(
        key=view.key,
        dataset=dataset,
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
        box_source=source,
        scene_key=task.scene_key,
        image_file=view.image_file,
        image_sha256=file_sha256(path),
        image_divisor=view.image_divisor,
        mirrored=find_card(dataset).is_mirrored,
        body_file=task.body_file,
        body_sha256=file_sha256(root / task.known_body),
        contact_file=task.contact_file,
        contact_sha256=None if task.contact_file is None else file_sha256(root / task.contact_file),
    )


def _person_box_of(square: Box) -> Box:
    left, top, right, bottom = box_of_crop(np.array(square)).tolist()
    return left, top, right, bottom


def full_size(intrinsics: Array) -> tuple[int, int]:
    """(width, height) of the image a ready-made crop was cut from, which nothing says: the published one that the
    calibration fits, else, as for smaller pictures, the one whose middle is the principal point.
    """
    x, y = float(intrinsics[0, 2]), float(intrinsics[1, 2])
    for width, height in _PUBLISHED:
        if max(abs(x / width - 0.5), abs(y / height - 0.5)) <= PRINCIPAL_POINT_TOLERANCE:
            return width, height
    return max(1, round(2 * x + 1)), max(1, round(2 * y + 1))
