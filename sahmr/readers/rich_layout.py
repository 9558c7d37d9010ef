"""Where things lie in a raw RICH tree, and what one sequence holds (formats a.1)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sahmr.readers.names import (
    RICH_BODY,
    RICH_CALIBRATION,
    RICH_CAMERA,
    RICH_CONTACT,
    RICH_FRAME,
    RICH_IMAGE,
    Sieve,
    entries,
    folders_of,
    has,
    name_some,
)

SITE = "https://rich.is.tue.mpg.de"
# Documented place first; the others are how the archives unpack.
_FOLDERS = {
    "images": ("images/{split}", "JPG_images/{split}", "data/images/{split}", "data/JPG_images/{split}"),
    "images_ds4": ("images_ds4/{split}", "data/images_ds4/{split}"),
    "bodies": ("bodies/{split}", "data/bodies/{split}", "{split}_body"),
    "contact": ("human_scene_contact/{split}", "data/human_scene_contact/{split}", "{split}_hsc"),
    "scans": ("scan_calibration", "data/scan_calibration"),
}
KINDS = ("images", "images_ds4", "bodies", "contact")  # that have a folder per sequence
# frames.rich.images: kinds of image folders, the preferred first, and how far their images are reduced.
IMAGE_KINDS = {
    "auto": (("images", 1), ("images_ds4", 4)),
    "full": (("images", 1),),
    "ds4": (("images_ds4", 4),),
}


def places(root: Path, kind: str, split: str = "") -> list[Path]:
    """Every folder that may hold a kind, existing or not: images | images_ds4 | bodies | contact | scans."""
    return [root / place.format(split=split) for place in _FOLDERS[kind]]


def expected(root: Path, kind: str, split: str = "") -> str:
    """The documented folder and its alternatives, for messages."""
    first, *others = (place.format(split=split) for place in _FOLDERS[kind])
    return f"{root / first} (or {', '.join(others)})"


def holds(place: Path, kind: str) -> bool:
    """Whether a sequence's folder holds any file of its kind, under its published name."""
    if kind.startswith("images"):
        return any(has(camera, RICH_IMAGE) for camera in folders_of(place, RICH_CAMERA))
    pattern = RICH_BODY if kind == "bodies" else RICH_CONTACT
    return any(has(frame, pattern) for frame in folders_of(place, RICH_FRAME))


def sequence_folder(root: Path, kind: str, split: str, sequence: str) -> Path | None:
    """The folder of one sequence, in whichever of the places has files of it: an empty one hides no other."""
    found = (place / sequence for place in places(root, kind, split))
    return next((place for place in found if holds(place, kind)), None)


def image_folder(root: Path, split: str, sequence: str, wanted: str) -> tuple[Path, str, int] | None:
    """Folder, kind and divisor of the images of one sequence, by ``wanted``, a key of ``IMAGE_KINDS``."""
    for kind, divisor in IMAGE_KINDS[wanted]:
        place = sequence_folder(root, kind, split, sequence)
        if place is not None:
            return place, kind, divisor
    return None


def scan_file(root: Path, capture: str, scan: str) -> Path:
    """The scan, in whichever of the places has it; else where it should be."""
    return _first(root, f"{capture}/{scan}.ply")


def calibration_file(root: Path, capture: str, camera: int) -> Path:
    """The calibration, in whichever of the places has it; else where it should be."""
    return _first(root, f"{capture}/calibration/{camera:03d}.xml")


def _first(root: Path, file: str) -> Path:
    paths = [place / file for place in places(root, "scans")]
    return next((path for path in paths if path.is_file()), paths[0])


def calibrated_cameras(root: Path, capture: str, sieve: Sieve) -> set[int]:
    """Numbers of all cameras of a capture that have a calibration."""
    folders = [place / capture / "calibration" for place in places(root, "scans")]
    return {
        int(found[1])
        for folder in folders
        for found in sieve.sift("scan_calibration/CAP/calibration", folder, RICH_CALIBRATION)
    }


def check_images(root: Path, splits: Collection[str], wanted: str) -> list[str]:
    """Every split must have a folder of images of the wanted kind, a key of ``IMAGE_KINDS``."""
    kinds = [kind for kind, _ in IMAGE_KINDS[wanted]]
    return [
        f"{expected_images(root, split, wanted)}: missing; images of split '{split}', {SITE}{asked(wanted)}"
        for split in sorted(splits)
        if not any(place.is_dir() for kind in kinds for place in places(root, kind, split))
    ]


def expected_images(root: Path, split: str, wanted: str) -> str:
    """Where the images of a split may lie."""
    return " or ".join(expected(root, kind, split) for kind, _ in IMAGE_KINDS[wanted])


def asked(wanted: str) -> str:
    """The parameter that leaves out one kind of images."""
    return "" if wanted == "auto" else f"; frames.rich.images of params.yaml is '{wanted}'"


def ignore_strangers(root: Path, split: str, sequences: Collection[str], sieve: Sieve) -> None:
    """Count what lies beside the listed sequences of a split, and sequence folders that another place hides."""
    for kind in KINDS:
        seen: set[str] = set()
        for place in places(root, kind, split):
            rows = list(entries(place))
            sieve.ignore(f"{kind}/SPLIT", place, [name for name, is_dir in rows if not (is_dir and name in sequences)])
            full = {name for name, is_dir in rows if is_dir and name in sequences and holds(place / name, kind)}
            sieve.ignore("second folder of a sequence", place, full & seen)
            seen |= full


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceFiles:
    """What one sequence holds; all files are relative to the raw root.

    Attributes:
        image_divisor: how many times smaller than published the images are.
        images: camera number -> frame number -> image.
        bodies: frame number -> subject -> the mesh where there is one, it needs no model, else the parameters.
        contacts: frame number -> subject -> contact labels.
    """

    image_divisor: int
    images: dict[int, dict[int, str]]
    bodies: dict[int, dict[int, str]]
    contacts: dict[int, dict[int, str]]


def list_sequence(root: Path, split: str, sequence: str, wanted: str, sieve: Sieve) -> SequenceFiles:
    """List one sequence.

    Args:
        root: of the tree.
        split, sequence: whose files.
        wanted: a key of ``IMAGE_KINDS``.
        sieve: counts names that are no published ones; an image in another camera's folder is a problem.
    """
    chosen = image_folder(root, split, sequence, wanted)
    bodies, contacts = (sequence_folder(root, kind, split, sequence) for kind in ("bodies", "contact"))
    return SequenceFiles(
        image_divisor=chosen[2] if chosen else 1,
        images=_list_cameras(root, chosen[0], chosen[1], sieve) if chosen else {},
        bodies=_list_frames(root, bodies, "bodies", sieve) if bodies else {},
        contacts=_list_frames(root, contacts, "contact", sieve) if contacts else {},
    )


def _list_cameras(root: Path, place: Path, kind: str, sieve: Sieve) -> dict[int, dict[int, str]]:
    what = f"{kind}/SPLIT/SEQ"
    cameras = {}
    for folder in sieve.sift(what, place, RICH_CAMERA, folders=True):
        camera, where = int(folder[1]), place / folder.string
        images = sieve.images(f"{what}/cam_CC", where, RICH_IMAGE).values()
        strangers = [image.string for image in images if int(image[2]) != camera]
        if strangers:
            sieve.problems.append(
                f"{where}: holds {len(strangers)} images of another camera than {camera}: "
                f"{name_some(sorted(strangers))}; move them to that camera's folder"
            )
        prefix = where.relative_to(root).as_posix()
        cameras[camera] = {int(image[1]): f"{prefix}/{image.string}" for image in images}
    return cameras


def _list_frames(root: Path, place: Path, kind: str, sieve: Sieve) -> dict[int, dict[int, str]]:
    """Frame number -> subject -> file; of a body the mesh, of contact the pickle (its mesh alone says nothing)."""
    what, pattern, unread = f"{kind}/SPLIT/SEQ", RICH_BODY, ""
    if kind == "contact":
        pattern, unread = RICH_CONTACT, ".obj"
    prefix, base = place.relative_to(root).as_posix(), str(place)
    frames: dict[int, dict[int, str]] = {}
    for frame in sieve.sift(what, place, RICH_FRAME, folders=True):
        found = sieve.sift(f"{what}/FFFFF", Path(base, frame.string), pattern)
        files = [file for file in found if not unread or not file.string.endswith(unread)]
        frames[int(frame[1])] = {  # sorted: the mesh comes after the parameters and takes their place
            int(file[1]): f"{prefix}/{frame.string}/{file.string}" for file in files
        }
    return frames
