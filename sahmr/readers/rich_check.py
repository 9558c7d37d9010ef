"""Which rows of RICH's split tables lack their sequence, images, bodies, cameras, scan, calibration or labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from sahmr.errors import RawDataError
from sahmr.readers import rich_layout as layout
from sahmr.readers.absence import Sentence, find_elsewhere, tell
from sahmr.readers.base import SPLITS, Absence
from sahmr.readers.calibration import read_rich_calibration
from sahmr.readers.images import check_fits_camera, image_size
from sahmr.readers.names import RICH_FRAME, RICH_IMAGE, entries, folders_of, has, name_some
from sahmr.readers.rich_layout import SITE
from sahmr.readers.rich_listing import RichRules
from sahmr.readers.rich_tables import Track, split_tables

_SENTENCES = {
    "absent_sequence": Sentence(
        text="{n} of {total} sequences of split '{split}' are absent, with neither images under {images} nor bodies "
        "under {bodies}",
        source=f"images and bodies, {SITE}",
    ),
    "absent_images": Sentence(
        text="{n} of {total} sequences of split '{split}' have no image cam_CC/FFFFF_CC.jpeg (or jpg, png, bmp) under "
        "{images}",
        source=f"images, {SITE}",
    ),
    "absent_bodies": Sentence(
        text="{n} of {total} people in sequences of split '{split}' have no body FFFFF/SSS.ply or .pkl under {bodies}",
        source=f"bodies, {SITE}",
    ),
    "absent_camera": Sentence(
        text="{n} of {total} cameras that the table of split '{split}' lists have no image cam_CC/FFFFF_CC.jpeg (or "
        "jpg, png, bmp) beside those of other cameras",
        source=f"images, {SITE}; or take the camera out of the table's view_id",
    ),
    "absent_scan": Sentence(
        text="{n} of {total} scans that the table of split '{split}' names are absent under {scans}",
        source=f"scan_calibration.zip from {SITE}",
    ),
    "absent_calibration": Sentence(
        text="{n} of {total} calibrations of cameras that the table of split '{split}' lists are absent under {scans}",
        source=f"scan_calibration.zip from {SITE}",
    ),
}
OPTIONAL = ("absent_table", "absent_contact")  # documented: a split is left out, labels are unknown


def absences(root: Path, tracks: list[Track], rules: RichRules) -> list[Absence]:
    """Everything that a row asks for and that is not there; of ``rules.multi_person`` only what is read of them."""
    found: dict[Absence, None] = {}  # rows share sequences, scans and calibrations
    found |= {Absence(split=split, rule="absent_table", name=f"{split}.txt"): None
              for split in rules.splits if split not in split_tables(root)}  # fmt: skip
    for track in tracks:
        absent = [] if track.sequence in rules.multi_person else _of_sequence(root, track, rules)
        absent += _of_capture(root, track)
        found |= {Absence(split=track.split, rule=rule, name=name): None for rule, name in absent}
    return list(found)


def _of_sequence(root: Path, track: Track, rules: RichRules) -> list[tuple[str, str]]:
    images = layout.image_folder(root, track.split, track.sequence, rules.images)
    bodies = layout.sequence_folder(root, "bodies", track.split, track.sequence)
    if images is None and bodies is None:
        return [("absent_sequence", track.sequence)]
    absent: list[tuple[str, str]] = []
    if images is None:
        absent.append(("absent_images", track.sequence))
    else:
        cameras = {camera: images[0] / f"cam_{camera:02d}" for camera in track.cameras}
        absent += [
            ("absent_camera", f"{track.sequence}/{folder.name}")
            for folder in cameras.values()
            if not has(folder, RICH_IMAGE)
        ]
    if not any(_has_subject(bodies, track.subject, suffix) for suffix in ("ply", "pkl")):
        absent.append(("absent_bodies", f"{track.sequence}/{track.subject:03d}"))
    contacts = layout.sequence_folder(root, "contact", track.split, track.sequence)
    if not _has_subject(contacts, track.subject, "pkl"):
        absent.append(("absent_contact", f"{track.sequence}/{track.subject:03d}"))
    return absent


def _has_subject(sequence: Path | None, subject: int, suffix: str) -> bool:
    """Whether any frame of a sequence has a person's file; looks until it finds one."""
    if sequence is None:
        return False
    name = f"{subject:03d}.{suffix}"
    return any((frame / name).is_file() for frame in folders_of(sequence, RICH_FRAME))


def _of_capture(root: Path, track: Track) -> list[tuple[str, str]]:
    scan = layout.scan_file(root, track.capture, track.scan)
    absent = [] if scan.is_file() else [("absent_scan", f"{track.capture}/{scan.name}")]
    for camera in track.cameras:
        path = layout.calibration_file(root, track.capture, camera)
        if not path.is_file():
            absent.append(("absent_calibration", f"{track.capture}/calibration/{path.name}"))
    return absent


def tell_absences(root: Path, dataset: str, tracks: list[Track], rules: RichRules, found: list[Absence]) -> list[str]:
    """One line per kind and split, with the places where the missing things lie instead."""
    tables = split_tables(root)
    fields = {
        split: {
            "images": layout.expected_images(root, split, rules.images) + layout.asked(rules.images),
            "bodies": layout.expected(root, "bodies", split),
            "scans": layout.expected(root, "scans"),
        }
        for split in tables
    }
    remedies = {
        split: f"to work without them set frames.{dataset}.allow_absent of params.yaml to true, or, without this "
        f"split, remove {path}"
        for split, path in tables.items()
    }
    wanted = [absence for absence in found if absence.rule not in OPTIONAL]
    return tell(
        wanted,
        _SENTENCES,
        totals=_totals(tracks),
        fields=fields,
        remedies=remedies,
        elsewhere=_elsewhere(root, wanted, tables) if wanted else {},
    )


def _totals(tracks: list[Track]) -> Counter[tuple[str, str]]:
    named: dict[tuple[str, str], set[object]] = {}
    for track in tracks:
        parts: dict[str, list[object]] = {
            "absent_sequence": [track.sequence],
            "absent_images": [track.sequence],
            "absent_bodies": [(track.sequence, track.subject)],
            "absent_camera": [(track.sequence, camera) for camera in track.cameras],
            "absent_scan": [track.scene_key],
            "absent_calibration": [(track.capture, camera) for camera in track.cameras],
        }
        for rule, names in parts.items():
            named.setdefault((track.split, rule), set()).update(names)
    return Counter({key: len(names) for key, names in named.items()})


def _elsewhere(root: Path, wanted: list[Absence], splits: Collection[str]) -> dict[str, list[str]]:
    """Sequences and captures by name, outside the folders where they are looked for."""
    asked: dict[str, set[tuple[str, str]]] = {}
    for absence in wanted:
        asked.setdefault(absence.name.split("/")[0], set()).add((absence.rule, absence.split))
    scans = layout.places(root, "scans")
    read = {split: {p for kind in layout.KINDS for p in layout.places(root, kind, split)} for split in splits}

    def holds(folder: Path) -> bool:
        return any(_holds_wanted(folder, rule) for rule, _ in asked[folder.name.strip()])

    def is_read(folder: Path) -> bool:
        known = any(folder.parent in read[split] for _, split in asked[folder.name.strip()])
        return folder.name in asked and (known or folder.parent in scans)

    return find_elsewhere(root, asked, holds, is_read)


def _holds_wanted(folder: Path, rule: str) -> bool:
    if rule in ("absent_scan", "absent_calibration"):
        names = [name for name, is_folder in entries(folder) if not is_folder]
        return any(name.endswith(".ply") for name in names) or (folder / "calibration").is_dir()
    kinds = {"absent_images": ("images",), "absent_camera": ("images",), "absent_bodies": ("bodies",)}
    return any(layout.holds(folder, kind) for kind in kinds.get(rule, ("images", "bodies")))


def size_contradictions(root: Path, tracks: list[Track], rules: RichRules) -> list[str]:
    """Sequences none of whose images fits its calibration, as full-size images in ``images_ds4`` do not; of each
    listed camera the first and the last image are looked at. Single ones that do not fit are left to ``frames``.
    """
    wrong: dict[tuple[str, str], list[str]] = {}
    told: dict[tuple[str, str], str] = {}
    for split, sequence in sorted({(track.split, track.sequence) for track in tracks}):
        chosen = layout.image_folder(root, split, sequence, rules.images)
        if chosen is None:
            continue
        ours = [track for track in tracks if (track.split, track.sequence) == (split, sequence)]
        found = list(_fits(root, chosen[0], chosen[2], ours[0]))
        if len(found) > 1 and all(found):
            key = split, chosen[0].parent.relative_to(root).as_posix()
            wrong.setdefault(key, []).append(sequence)
            told.setdefault(key, str(found[0]))
    return [
        f"{place}: the images of {len(names)} sequences of split '{split}' do not fit their calibrations: "
        f"{name_some(names)}; as {told[split, place]}"
        for (split, place), names in wrong.items()
    ]


def _fits(root: Path, sequence: Path, divisor: int, track: Track) -> Iterator[str | None]:
    """What is wrong with each image that is looked at; None: it fits. What cannot be read is left out."""
    for camera in track.cameras:
        path = layout.calibration_file(root, track.capture, camera)
        folder = sequence / f"cam_{camera:02d}"
        names = [name for name, is_folder in entries(folder) if not is_folder and RICH_IMAGE.fullmatch(name)]
        looked_at = sorted({min(names), max(names)}) if names else []
        try:
            intrinsics = np.array(read_rich_calibration(path).intrinsics).reshape(3, 3)
            sizes = [(folder / name, image_size(folder / name)) for name in looked_at]
        except RawDataError:
            continue
        for image, (width, height) in sizes:
            try:
                check_fits_camera(image, (width * divisor, height * divisor), intrinsics, divisor)
                yield None
            except RawDataError as error:
                yield str(error)


def tables_elsewhere(root: Path) -> Iterator[str]:
    """Folders ``meta`` with a split table, where the root is wrong by a folder or two."""
    found = find_elsewhere(root, {"meta"}, lambda folder: any((folder / f"{s}.txt").is_file() for s in SPLITS),
                           lambda folder: False)  # fmt: skip
    yield from found.get("meta", ())
