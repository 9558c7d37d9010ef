"""What should be there and is not, one line per kind and split, and where missing folders lie instead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sahmr.errors import RawDataError
from sahmr.readers.base import Absence
from sahmr.readers.names import entries, name_some

_DEEPEST = 7  # folders below the root: archives unpack with up to five more than published
_MOST_FOLDERS = 50_000  # looked into; a search only helps a message
_LEAVES = ("Color", "Depth", "BodyIndex", "BodyIndexColor", "Infrared", "Skeleton")  # of PROX's recordings


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """How absences of one rule are told.

    Attributes:
        text: with the fields ``n`` of ``total``, ``split``, and those the reader gives.
        source: where to get them.
    """

    text: str
    source: str


def tell(
    absences: Iterable[Absence],
    sentences: Mapping[str, Sentence],
    *,
    totals: Mapping[tuple[str, str], int],
    fields: Mapping[str, Mapping[str, str]],
    remedies: Mapping[str, str],
    elsewhere: Mapping[str, Collection[str]],
) -> list[str]:
    """One line per rule and split: how many of how many, the first names, where they were found instead, what to do.

    Args:
        absences: to tell.
        sentences: by rule.
        totals: how many things a rule and split have in all.
        fields: per split, what the sentences name besides.
        remedies: per split, how to work without.
        elsewhere: name -> folders, relative to the root, that hold it in a wrong place.
    """
    grouped: dict[tuple[str, str], list[str]] = {}
    for absence in absences:
        grouped.setdefault((absence.split, absence.rule), []).append(absence.name)
    lines = []
    for (split, rule), names in sorted(grouped.items()):
        sentence = sentences[rule]
        total = totals.get((split, rule), len(names))
        told = sentence.text.format(n=len(names), total=total, split=split, **fields[split])
        source = sentence.source.format(**fields[split])
        found = sorted({place for name in names for place in elsewhere.get(name.split("/")[0], ())})
        misplaced = (
            f"; found in another place: {name_some(found)}; move what it holds to the expected one" if found else ""
        )
        lines.append(f"{told}: {name_some(sorted(names))}{misplaced}; {source}; {remedies[split]}")
    return lines


def find_elsewhere(
    root: Path, names: Collection[str], holds: Callable[[Path], bool], right: Callable[[Path], bool]
) -> dict[str, list[str]]:
    """Folders of these names that hold what is wanted, in places where nobody looks.

    Args:
        root: of the tree; nothing outside it is looked at.
        names: of the folders; blanks around a name on disk do not hide it.
        holds: whether a folder has the wanted content.
        right: whether a folder is one of the places that are read anyway.

    Returns:
        Name -> folders relative to the root, sorted.
    """
    found: dict[str, list[str]] = {}
    level, left = [root], _MOST_FOLDERS
    for _ in range(_DEEPEST):
        below: list[Path] = []
        for folder in level:
            below += _subfolders(folder)
        for folder in below:
            name = folder.name.strip()
            if name in names and not right(folder) and _listable(folder, holds):
                found.setdefault(name, []).append(folder.relative_to(root).as_posix())
        left -= len(below)
        if left < 0:
            break
        level = [folder for folder in below if not _is_leaf(folder.name) and not folder.is_symlink()]
    return {name: sorted(places) for name, places in found.items()}


def _listable(folder: Path, holds: Callable[[Path], bool]) -> bool:
    try:
        return holds(folder)
    except RawDataError:
        return False


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [folder / name for name, is_folder in entries(folder) if is_folder]
    except RawDataError:  # may not be listed; what is read has been looked at before
        return []


def _is_leaf(name: str) -> bool:
    """Folders of frames and cameras, by the thousand, hold no sequence."""
    return name.isdecimal() or name.startswith((".", "cam_")) or "_frame_" in name or name in _LEAVES
