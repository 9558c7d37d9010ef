"""Where things lie in a raw RICH tree, and the toolkit's split tables (formats a.1, a.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sahmr.errors import RawDataError
from sahmr.readers.base import IMAGE_SUFFIXES, SPLITS
from sahmr.readers.calibration import read_json

TOOLKIT = "the RICH toolkit, https://github.com/paulchhuang/rich_toolkit"
SITE = "https://rich.is.tue.mpg.de"
_COLUMNS = ("sequence_name", "capture_name", "scan_name", "id", "gender", "view_id")
_RESOURCE = ("resource", "data/resource", ".")
# Documented place first; the others are how the archives unpack.
_FOLDERS = {
    "images": ("images/{split}", "JPG_images/{split}", "data/images/{split}", "data/JPG_images/{split}"),
    "bodies": ("bodies/{split}", "data/bodies/{split}", "{split}_body"),
    "contact": ("human_scene_contact/{split}", "data/human_scene_contact/{split}", "{split}_hsc"),
    "scans": ("scan_calibration", "data/scan_calibration"),
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
    """First existing folder of a kind: images | bodies | contact | scans."""
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
        RawDataError: naming the line, if a column is missing or a value is not what it must be.
    """
    lines = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
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
    genders = {int(key): str(value).lower() for key, value in dict(read_json(path)).items()}
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


def list_images(sequence: Path) -> dict[int, dict[int, Path]]:
    """Camera number -> frame number -> image file of one sequence folder (``cam_CC/FFFFF_CC.<ext>``)."""
    cameras: dict[int, dict[int, Path]] = {}
    for place in sorted(sequence.glob("cam_*")):
        number = place.name.removeprefix("cam_")
        if not (place.is_dir() and number.isdigit()):
            continue
        frames: dict[int, Path] = {}
        for file in sorted(place.iterdir()):
            frame, _, camera = file.stem.partition("_")
            if file.suffix.lower() not in IMAGE_SUFFIXES or not frame.isdigit() or file.name.startswith("."):
                continue
            if camera.isdigit() and int(camera) != int(number):
                raise RawDataError(f"{file}: an image of camera {camera} in the folder of camera {number}; move it")
            known = frames.get(int(frame))
            if known is None or _preference(file) < _preference(known):
                frames[int(frame)] = file
        cameras[int(number)] = frames
    return cameras


def _preference(path: Path) -> int:
    return IMAGE_SUFFIXES.index(path.suffix.lower())


def list_body_frames(sequence: Path | None, subject: int) -> dict[int, Path]:
    """Frame number -> body file ``FFFFF/SSS.{ply,pkl}``; the mesh is preferred, it needs no model."""
    if sequence is None:
        return {}
    found = {}
    for place in sorted(sequence.iterdir()):
        if place.name.isdigit() and place.is_dir():
            for suffix in (".ply", ".pkl"):
                path = place / f"{subject:03d}{suffix}"
                if path.is_file():
                    found[int(place.name)] = path
                    break
    return found
