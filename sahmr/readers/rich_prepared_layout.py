"""Where things lie in the authors' prepared RICH folder, told by content, and the rows of its indexes (formats b)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sahmr.errors import RawDataError
from sahmr.readers import rich_layout as layout
from sahmr.readers.names import entries
from sahmr.readers.prepared_index import (
    SITE,
    Box,
    Entry,
    check_square,
    find_folder,
    last_parts,
    read_box,
    read_boxes,
    read_index,
    text_of,
)
from sahmr.readers.rich_listing import RichRules
from sahmr.readers.rich_tables import split_tables

_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)_([0-9]{1,2})_([0-9]{5})_([0-9]{1,3})")  # <SEQ>_<cam>_<frame>_<subject>
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TEST_INDEX = re.compile(r"test[0-9]+\.npy")  # the published one, test3116.npy, counts its frames
_TRAIN_INDEX = "idx2meta.pkl"
_FEMALE = (9, 10, 12, 13, 16, 17, 18, 19, 21)  # subjects; all others are male (formats a.3)
CROPS = "test_split/image"


def support_folder(root: Path) -> Path | None:
    """The prepared folder of a tree, told by its indexes; None: there is none, or the tree is a raw one."""
    if not root.is_dir() or split_tables(root):
        return None
    folders = [root, *(root / name for name, is_folder in entries(root) if is_folder)]
    places = [folder / "test_split" / "meta" for folder in folders]
    tests = sorted({name for place in places for name, is_folder in entries(place) if _TEST_INDEX.fullmatch(name)})
    names = [f"{split}_split/meta/{_TRAIN_INDEX}" for split in ("train", "val")]
    return find_folder([root], [*(f"test_split/meta/{name}" for name in tests), *names])


def index_file(base: Path, split: str) -> Path | None:
    """The index of a split; None: the folder is without it.

    Raises:
        RawDataError: if there are several.
    """
    meta = base / f"{split}_split" / "meta"
    if split != "test":
        return meta / _TRAIN_INDEX if (meta / _TRAIN_INDEX).is_file() else None
    names = sorted(name for name, is_folder in entries(meta) if not is_folder and _TEST_INDEX.fullmatch(name))
    if len(names) > 1:
        raise RawDataError(f"{meta}: holds the indexes {', '.join(names)}; allowed: one; keep test3116.npy")
    return meta / names[0] if names else None


def list_entries(root: Path, base: Path, split: str) -> tuple[Entry, ...]:
    """Rows of a split's index, sorted by key; none if the folder is without it.

    Raises:
        RawDataError: if an index or the boxes are damaged, or a row is not what it must be.
    """
    path = index_file(base, split)
    if path is None:
        return ()
    boxes = path.with_name("img2gtbbx.pkl")
    state = tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in (path, boxes))
    return _read(root, base, split, path, boxes, state)


@lru_cache(maxsize=8)
def _read(root: Path, base: Path, split: str, path: Path, boxes: Path, state: tuple[int, ...]) -> tuple[Entry, ...]:
    """Kept per process while the files do not change: ``state``."""
    known = read_boxes(boxes) if split != "test" and boxes.is_file() else None
    rows = [_entry(root, base, split, f"{path}, row {n}", row, known) for n, row in enumerate(read_index(path))]
    return tuple(sorted(rows, key=lambda row: row.key))


def _entry(
    root: Path, base: Path, split: str, where: str, row: Mapping[str, Any], boxes: Mapping[str, Box] | None
) -> Entry:
    key = text_of(where, row, "img_key", _KEY)
    scene = text_of(where, row, "scene_key", _NAME)[0]
    capture = key[1].split("_")[0]
    if row.get("seq_name", key[1]) != key[1] or not scene.startswith(f"{capture}_"):
        raise RawDataError(
            f"{where}: 'img_key' {key[0]} does not belong to sequence {row.get('seq_name')!r} and scene {scene}; "
            f"fetch it again: {SITE}"
        )
    gender = str(row.get("gender", "female" if int(key[4]) in _FEMALE else "male"))
    if gender not in ("male", "female", "neutral"):
        raise RawDataError(f"{where}: 'gender' is {gender[:40]!r}; allowed: male, female, neutral")
    if boxes is not None and key[0] not in boxes:
        raise RawDataError(f"{where}: img2gtbbx.pkl has no box of {key[0]}; the two do not belong together: {SITE}")
    image, body, contact = _files(root, base, split, where, row, key[0])
    box = None if boxes is None else boxes[key[0]]
    if split == "test":
        box = check_square(where, read_box(where, row.get("test_squared_bbx_lurb")))
    return Entry(
        split=split,
        key=f"{key[1]}_{int(key[2])}_{key[3]}_{int(key[4])}",
        sequence=key[1],
        camera=int(key[2]),
        frame=int(key[3]),
        subject=f"{int(key[4]):03d}",
        gender=gender,
        capture=capture,
        scan=scene.removeprefix(f"{capture}_"),
        image_file=image,
        body_file=body,
        contact_file=contact,
        box=box,
        is_crop=split == "test",
        told=str(row.get("img_file"))[:200],
    )


def _files(
    root: Path, base: Path, split: str, where: str, row: Mapping[str, Any], key: str
) -> tuple[str, str, str | None]:
    """Image, body and contact of a row as they lie below the raw root; see formats b for what is kept of a path."""
    ours = base / f"{split}_split"
    if split == "test":
        contact = None if row.get("contact_file") is None else last_parts(where, row, "contact_file", 3, "test_contact")
        image, body = ours / "image" / f"{key}.png", ours / "gt_smplx_mesh" / f"{key}.ply"
    else:
        contact = None if row.get("contact_file") is None else last_parts(where, row, "contact_file", 3)
        image = _beside(root, "images_ds4", split) / last_parts(where, row, "img_file", 3)
        body = _beside(root, "bodies", split) / last_parts(where, row, "body_file", 3)
    relative = [path.relative_to(root).as_posix() for path in (image, body)]
    labels = None if contact is None else (ours / "contact" / contact).relative_to(root).as_posix()
    return relative[0], relative[1], labels


def dropping_rule(row: Entry, rules: RichRules) -> str:
    """The light rule that drops a row, as of a raw tree (formats a.6); empty: none, or the row is of the test index,
    which is a selection already made.
    """
    if row.split == "test":
        return ""
    if row.sequence in rules.multi_person:
        return "multi_person"
    if row.frame <= rules.warmup_frames:
        return "warmup"
    return "interval" if (row.frame + row.camera) % rules.interval[row.split] else ""


def _beside(root: Path, kind: str, split: str) -> Path:
    """Where quarter-size images and SMPL-H bodies lie: beside the prepared folder, as in a raw tree."""
    found = layout.places(root, kind, split)
    return next((place for place in found if place.is_dir()), found[0])


def scene_files(root: Path, base: Path, row: Entry) -> dict[str, Path]:
    """Where the voxels and the distance field of a row's scan lie, and its mesh, which RICH itself ships."""
    stem = base / "scene_info" / row.capture
    return {
        "voxels": stem / f"{row.scan}_voxel_world.npy",
        "sdf": stem / f"{row.scan}_mysdf.npy",
        "info": stem / f"{row.scan}_mysdf.json",
        "mesh": layout.scan_file(root, row.capture, row.scan),
    }


def calibration_file(root: Path, base: Path, row: Entry) -> Path:
    """As prepared, else as RICH itself has it, which is the same."""
    ours = base / "scene_info" / row.capture / "calibration" / f"{row.camera:03d}.xml"
    raw = layout.calibration_file(root, row.capture, row.camera)
    return ours if ours.is_file() or not raw.is_file() else raw
