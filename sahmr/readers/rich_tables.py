"""The RICH toolkit's split tables: read row by row, every wrong row named with its line (formats a.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sahmr.errors import RawDataError
from sahmr.readers.base import SPLITS
from sahmr.readers.names import SPLIT_TABLE, TABLE_CAMERA, TABLE_NAME, TABLE_SUBJECT, Sieve, name_some
from sahmr.untrusted.regular import read_regular
from sahmr.untrusted.texts import MOST_TABLE_BYTES, read_json, read_text

TOOLKIT = "the RICH toolkit, https://github.com/paulchhuang/rich_toolkit"
_COLUMNS = ("sequence_name", "capture_name", "scan_name", "id", "gender", "view_id")
_RESOURCE = ("resource", "data/resource", ".")
_SHOWN = 10  # wrong rows of one table


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One person in one sequence: a row, on ``line``, of a split table."""

    split: str
    sequence: str
    capture: str
    scan: str
    subject: int
    gender: str
    cameras: tuple[int, ...]
    line: int

    @property
    def scene_key(self) -> str:
        """``<CAP>_<scan>``."""
        return f"{self.capture}_{self.scan}"


def split_tables(root: Path) -> dict[str, Path]:
    """Tables ``meta/{train,val,test}.txt`` by split; of several places the first whose table has rows."""
    found = {}
    for split in SPLITS:
        paths = [path for base in _RESOURCE if (path := root / base / "meta" / f"{split}.txt").is_file()]
        if paths:
            found[split] = next((path for path in paths if _has_rows(path)), paths[0])
    return found


def _has_rows(path: Path) -> bool:
    try:
        return len([line for line in read_regular(path, most_bytes=MOST_TABLE_BYTES).splitlines() if line.strip()]) > 1
    except RawDataError:
        return True  # reading it says why


def ignore_beside_tables(root: Path, sieve: Sieve) -> None:
    """Count what lies beside the tables and is none."""
    for base in _RESOURCE:
        sieve.sift("resource/meta", root / base / "meta", SPLIT_TABLE)


def read_split_table(path: Path, split: str) -> list[Track]:
    """Read a tab-separated table with its header row; CRLF, a byte-order mark and blanks around cells are accepted.

    Raises:
        RawDataError: naming every line that is not what it must be, or that says a row again.
    """
    header, lines = _cells(path)
    tracks, problems = [], []
    for number, cells in lines:
        try:
            tracks.append(_track(split, number, header, cells))
        except ValueError as problem:
            problems.append(f"{path}, line {number}: {problem}")
    problems += [f"{path}, {text}" for text in _repeated(tracks)]
    if len(problems) > _SHOWN:
        problems[_SHOWN:] = [f"{path}: {len(problems) - _SHOWN} more wrong rows"]
    if problems:
        raise RawDataError("\n".join(problems))
    if not tracks:
        raise RawDataError(
            f"{path}: a header and no row for split '{split}'; fetch {TOOLKIT}, or remove the file to work without "
            "this split"
        )
    return tracks


def _cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the other lines that are not blank with their numbers."""
    text = read_text(path, remedy=f"save it as UTF-8, or fetch {TOOLKIT}")
    every = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rows = [(n, [c.strip() for c in line.split("\t")]) for n, line in enumerate(every, start=1) if line.strip()]
    header = _without_blank_end(rows[0][1]) if rows else []
    missing = [name for name in _COLUMNS if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if missing and len(header) == 1 and (other := next((c for c in ",; " if c in header[0]), None)):
        raise RawDataError(
            f"{path}: the columns are separated by '{other}', allowed: tabs; save it as tab-separated text"
        )
    if missing or twice:
        what = f"lacks the columns {missing}" if missing else f"has the columns {twice} twice"
        raise RawDataError(f"{path}: the header {what}, found {header}; fetch {TOOLKIT}")
    return header, rows[1:]


def _without_blank_end(cells: list[str]) -> list[str]:
    """Spreadsheets fill rows up with empty cells."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells


def _track(split: str, line: int, header: list[str], cells: list[str]) -> Track:
    """A row; ValueError saying what is wrong with it."""
    cells = _without_blank_end(cells)
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} cells, the header has {len(header)}; correct the row, or fetch {TOOLKIT}")
    row = dict(zip(header, cells, strict=True))
    row["scan_name"] = row["scan_name"].removesuffix(".ply")
    row["gender"] = row["gender"].lower()
    for key in ("sequence_name", "capture_name", "scan_name"):
        _insist(bool(TABLE_NAME.fullmatch(row[key])), key, row[key], "letters, digits, _ and -")
    _insist(bool(TABLE_SUBJECT.fullmatch(row["id"])), "id", row["id"], "a subject's number, 0 to 999")
    _insist(row["gender"] in ("male", "female"), "gender", row["gender"], "male or female")
    views = [view.strip() for view in row["view_id"].split(",") if view.strip()]
    allowed = "camera numbers, 0 to 99, with commas between them"
    _insist(bool(views) and all(map(TABLE_CAMERA.fullmatch, views)), "view_id", row["view_id"], allowed)
    cameras = tuple(int(view) for view in views)
    _insist(len({*cameras}) == len(cameras), "view_id", row["view_id"], "each camera once")
    return Track(
        split=split,
        sequence=row["sequence_name"],
        capture=row["capture_name"],
        scan=row["scan_name"],
        subject=int(row["id"]),
        gender=row["gender"],
        cameras=cameras,
        line=line,
    )


def _insist(is_right: bool, key: str, found: str, allowed: str) -> None:  # a claim about the value
    if not is_right:
        quotes = " without quotes" if '"' in found else ""
        raise ValueError(f"{key} is '{found}', allowed: {allowed}{quotes}; correct the row, or fetch {TOOLKIT}")


def _repeated(tracks: list[Track]) -> Iterator[str]:
    """Rows about one person in one sequence, and rows that give one sequence two places."""
    first: dict[tuple[str, int], Track] = {}
    place: dict[str, Track] = {}
    for track in tracks:
        other = first.setdefault((track.sequence, track.subject), track)
        if other is not track:
            yield _twice(other, track)
        other = place.setdefault(track.sequence, track)
        if other.scene_key != track.scene_key:
            yield (
                f"lines {other.line} and {track.line}: {track.sequence} has the scan {other.scene_key} and "
                f"{track.scene_key}; a sequence has one: correct one of them, or fetch {TOOLKIT}"
            )


def _twice(first: Track, second: Track) -> str:
    differ = [
        name for name in ("capture", "scan", "gender", "cameras") if getattr(first, name) != getattr(second, name)
    ]
    lines = f"lines {first.line} and {second.line}"
    if not differ:
        return f"{lines} are the same row ({first.sequence}, subject {first.subject}); remove one"
    found = "; ".join(f"{name} {_text(getattr(first, name))} and {_text(getattr(second, name))}" for name in differ)
    return (
        f"{lines} are both about subject {first.subject} of {first.sequence} but differ ({found}); remove the wrong one"
    )


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


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
    wrong: dict[tuple[int, str], list[str]] = {}
    for track in tracks:
        if genders.get(track.subject) != track.gender:
            where = f"{track.sequence} ({track.split}.txt, line {track.line})"
            wrong.setdefault((track.subject, track.gender), []).append(where)
    return [
        f"{path}: subject {subject} is {genders.get(subject, 'missing')}, but {gender} in {len(rows)} rows of the "
        f"split tables: {name_some(rows)}; correct what is wrong, or fetch {TOOLKIT}"
        for (subject, gender), rows in sorted(wrong.items())
    ]


def check_disjoint(tracks: list[Track]) -> list[str]:
    """A sequence must not be in two splits."""
    rows: dict[str, dict[str, Track]] = {}
    for track in tracks:
        rows.setdefault(track.sequence, {}).setdefault(track.split, track)
    return [
        f"sequence {sequence} is in the tables of {sorted(found)} "
        f"({', '.join(f'{split}.txt, line {track.line}' for split, track in sorted(found.items()))}); it may be in one "
        f"split only: remove its rows from the other, or fetch {TOOLKIT}"
        for sequence, found in sorted(rows.items())
        if len(found) > 1
    ]
