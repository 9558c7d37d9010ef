"""Where things lie in a raw RICH tree, and the toolkit's split tables (formats a.1, a.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sahmr.errors import RawDataError
from sahmr.readers.base import IMAGE_SUFFIXES, SPLITS, list_names
from sahmr.untrusted.texts import read_json, read_text

TOOLKIT = "the RICH toolkit, https://github.com/paulchhuang/rich_toolkit"
SITE = "https://rich.is.tue.mpg.de"
_COLUMNS = ("sequence_name", "capture_name", "scan_name", "id", "gender", "view_id")
_RESOURCE = ("resource", "data/resource", ".")
# Documented place first; the others are how the archives unpack.
_FOLDERS = {
    "images": ("images/{split}", "JPG_images/{split}", "data/images/{split}", "data/JPG_images/{split}"),
    "images_ds4": ("images_ds4/{split}", "data/images_ds4/{split}"),
    "bodies": ("bodies/{split}", "data/bodies/{split}", "{split}_body"),
    "contact": ("human_scene_contact/{split}", "data/human_scene_contact/{split}", "{split}_hsc"),
    "scans": ("scan_calibration", "data/scan_calibration"),
}
_RANK = {suffix: rank for rank, suffix in enumerate(IMAGE_SUFFIXES)}
# frames.rich.images: kinds of image folders, the preferred first, and how far their images are reduced.
IMAGE_KINDS = {
    "auto": (("images", 1), ("images_ds4", 4)),
    "full": (("images", 1),),
    "ds4": (("images_ds4", 4),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One person in one sequence: a row of a split table."""

    split: str
    sequence: str
    capture: str
    scan: str
    subject: int
    gender: str
    cameras: tuple[int, ...]

    @property
    def scene_key(self) -> str:
        """``<CAP>_<scan>``."""
        return f"{self.capture}_{self.scan}"


def folder(root: Path, kind: str, split: str = "") -> Path | None:
    """First existing folder of a kind: images | images_ds4 | bodies | contact | scans."""
    places = (root / place.format(split=split) for place in _FOLDERS[kind])
    return next((place for place in places if place.is_dir()), None)


def expected(root: Path, kind: str, split: str = "") -> str:
    """The documented folder and its alternatives, for messages."""
    first, *others = (place.format(split=split) for place in _FOLDERS[kind])
    return f"{root / first} (or {', '.join(others)})"


def sequence_folder(root: Path, kind: str, split: str, sequence: str) -> Path | None:
    """The folder of one sequence, in whichever of the places has it."""
    places = (root / place.format(split=split) / sequence for place in _FOLDERS[kind])
    return next((place for place in places if place.is_dir()), None)


def split_tables(root: Path) -> dict[str, Path]:
    """Existing tables ``meta/{train,val,test}.txt`` by split."""
    found = {}
    for split in SPLITS:
        for base in _RESOURCE:
            path = root / base / "meta" / f"{split}.txt"
            if path.is_file():
                found[split] = path
                break
    return found


def read_split_table(path: Path, split: str) -> list[Track]:
    """Read a tab-separated table with its header row.

    Raises:
        RawDataError: if it is no text; naming the line, if a column is missing or a value is not what it must be.
    """
    text = read_text(path, remedy=f"fetch {TOOLKIT}")
    lines = [line.split("\t") for line in text.splitlines() if line.strip()]
    header = [name.strip() for name in lines[0]] if lines else []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise RawDataError(f"{path}: the header lacks the columns {missing}, found {header}; fetch {TOOLKIT}")
    tracks = []
    for number, cells in enumerate(lines[1:], start=2):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        try:
            cameras = tuple(int(view) for view in row["view_id"].split(",") if view.strip())
            track = Track(
                split=split,
                sequence=row["sequence_name"],
                capture=row["capture_name"],
                scan=row["scan_name"].removesuffix(".ply"),
                subject=int(row["id"]),
                gender=row["gender"].lower(),
                cameras=cameras,
            )
        except (KeyError, ValueError) as problem:
            raise RawDataError(f"{path}, line {number}: not a valid row ({problem}); fetch {TOOLKIT}") from None
        if track.gender not in ("male", "female") or not cameras:
            raise RawDataError(f"{path}, line {number}: gender '{track.gender}', cameras {cameras}; fetch {TOOLKIT}")
        tracks.append(track)
    return tracks


def check_genders(root: Path, tracks: list[Track]) -> list[str]:
    """Compare the tables with ``gender.json``, where there is one."""
    path = next((p for base in _RESOURCE if (p := root / base / "gender.json").is_file()), None)
    if path is None:
        return []
    try:
        genders = {int(key): str(value).lower() for key, value in dict(read_json(path)).items()}
    except (TypeError, ValueError) as problem:
        raise RawDataError(
            f"{path}: must hold a gender for every subject's number ({problem}); fetch {TOOLKIT}"
        ) from None
    return [
        f"{path}: subject {track.subject} is {genders.get(track.subject, 'missing')}, the {track.split} table says "
        f"{track.gender} for {track.sequence}; fetch {TOOLKIT}"
        for track in tracks
        if genders.get(track.subject) != track.gender
    ]


def check_disjoint(tracks: list[Track]) -> list[str]:
    """A sequence must not be in two splits."""
    splits: dict[str, set[str]] = {}
    for track in tracks:
        splits.setdefault(track.sequence, set()).add(track.split)
    return [
        f"sequence {sequence} is in the tables of {sorted(found)}; it may be in one split only; fetch {TOOLKIT}"
        for sequence, found in sorted(splits.items())
        if len(found) > 1
    ]


def check_images(root: Path, splits: list[str], wanted: str) -> list[str]:
    """Every split must have a folder of images of the wanted kind, a key of ``IMAGE_KINDS``."""
    kinds = [kind for kind, _ in IMAGE_KINDS[wanted]]
    return [
        f"{' or '.join(expected(root, kind, split) for kind in kinds)}: missing; images of split '{split}', {SITE}"
        + ("" if wanted == "auto" else f"; frames.rich.images of params.yaml is '{wanted}'")
        for split in splits
        if all(folder(root, kind, split) is None for kind in kinds)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceImages:
    """Images of one sequence.

    Attributes:
        folder: where they lie.
        divisor: how many times smaller than published they are.
        files: camera number -> frame number -> name below ``folder``.
    """

    folder: Path | None
    divisor: int
    files: dict[int, dict[int, str]]


def list_images(root: Path, split: str, sequence: str, wanted: str) -> SequenceImages:
    """List ``cam_CC/FFFFF_CC.<ext>`` of one sequence; of a frame's several formats the preferred one.

    Args:
        root: of the tree.
        split, sequence: whose images.
        wanted: a key of ``IMAGE_KINDS``.

    Raises:
        RawDataError: if an image lies in another camera's folder.
    """
    for kind, divisor in IMAGE_KINDS[wanted]:
        place = sequence_folder(root, kind, split, sequence)
        if place is not None:
            numbers = [name.removeprefix("cam_") for name in list_names(place, folders=True) if name.startswith("cam_")]
            files = {int(number): _list_camera(place, number) for number in numbers if number.isdecimal()}
            return SequenceImages(folder=place, divisor=divisor, files=files)
    return SequenceImages(folder=None, divisor=1, files={})


def _list_camera(sequence: Path, number: str) -> dict[int, str]:
    """Frame number -> ``cam_CC/FFFFF_CC.<ext>``."""
    place = sequence / f"cam_{number}"
    best: dict[int, tuple[int, str]] = {}
    for name in list_names(place, folders=False):
        stem, _, suffix = name.rpartition(".")
        rank = _RANK.get(f".{suffix.lower()}")
        frame, _, camera = stem.partition("_")
        if rank is None or not frame.isdecimal():
            continue
        if camera.isdecimal() and int(camera) != int(number):
            raise RawDataError(f"{place / name}: an image of camera {camera} in the folder of camera {number}; move it")
        known = best.get(int(frame))
        if known is None or rank < known[0]:
            best[int(frame)] = rank, name
    return {frame: f"cam_{number}/{name}" for frame, (_, name) in best.items()}


def list_body_folders(sequence: Path | None) -> dict[int, str]:
    """Frame number -> name of its folder ``FFFFF``."""
    if sequence is None:
        return {}
    return {int(name): name for name in list_names(sequence, folders=True) if name.isdecimal()}


def find_body(folder: Path, subject: int) -> Path | None:
    """``SSS.ply`` or ``SSS.pkl`` in a frame's folder; the mesh is preferred, it needs no model."""
    paths = (folder / f"{subject:03d}{suffix}" for suffix in (".ply", ".pkl"))
    return next((path for path in paths if path.is_file()), None)
