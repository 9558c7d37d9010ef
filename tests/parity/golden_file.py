"""Golden files of the reference: what was read, what was compared, and how far off we are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tests.parity.thin import CLASS, KEYS, Picked, crc, read

NETWORK = 1e-4  # allowed error behind many layers, as a share of the array's largest value
LAYER = 1e-5  # the same for a single layer
DEEP_GRADIENT = 1e-2  # relative L2 error of float32 gradients behind many ReLUs, which do not repeat better than that

# What a file gives to compute from. Every other array is a result and has to be compared.
_INPUT = re.compile(r"in__.*|coords|feats|w_k\ds\d\w*|\w*cotangent\w*|points|point_feats|voxel_size|image_u8")

Kind = Literal["of scale", "L2", "absolute", "equal"]


@dataclass(frozen=True, slots=True)
class Row:
    """One compared array.

    Attributes:
        absolute: largest difference.
        relative: ``L2``: norm of the difference over the norm of the array; else ``absolute`` over the array's
            largest value.
        kind, bound: ``of scale`` and ``L2`` bound the relative error, ``absolute`` and ``equal`` (0) the absolute one.
        entries: how many of the array's entries were compared; ``all``, or ``48 of 3000`` of a thinned one.
    """

    file: str
    array: str
    kind: Kind
    absolute: float
    relative: float
    bound: float
    entries: str = "all"

    @property
    def judged(self) -> float:
        """The error that the bound is about."""
        return self.relative if self.kind in ("of scale", "L2") else self.absolute

    @property
    def holds(self) -> bool:
        """False for NaN, too."""
        return self.judged <= self.bound

    def __str__(self) -> str:
        name = f"{self.file} {self.array}"
        tail = "" if self.entries == "all" else f", {self.entries} entries"
        return f"{name:<74} {self.absolute:9.2e} {self.relative:9.2e}   {self.bound:g} {self.kind}{tail}"


@dataclass
class Ledger:
    """The files opened in this run and the worst error of every compared array."""

    files: dict[str, GoldenFile] = field(default_factory=dict)
    rows: dict[tuple[str, str, Kind], Row] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    is_partial: bool = False

    def open(self, name: str, arrays: Callable[[], Mapping[str, np.ndarray | Picked]]) -> GoldenFile:
        """Read a file, once per run."""
        if name not in self.files:
            self.files[name] = GoldenFile(name, arrays(), self)
        return self.files[name]

    def add(self, row: Row) -> None:
        """Remember a comparison; one that fails is reported when the test ends, so that the others still run."""
        key = (row.file, row.array, row.kind)
        if key not in self.rows or not row.judged <= self.rows[key].judged:
            self.rows[key] = row
        if not row.holds:
            self.faults.append(f"{row.file} {row.array}: error {row.judged:.3g}, allowed {row.bound:g} ({row.kind})")

    def take_faults(self) -> list[str]:
        """Faults since the last call."""
        faults, self.faults = self.faults, []
        return faults


class GoldenFile:
    """One ``.npz`` file: :meth:`given` reads what to compute from, :meth:`check` and its kin compare results."""

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray | Picked], ledger: Ledger) -> None:
        self.name = name
        self._arrays = arrays
        self._ledger = ledger
        self._read: set[str] = set()
        self._compared: set[str] = set()
        self._ours: dict[str, torch.Tensor] = {}

    @property
    def is_thinned(self) -> bool:
        """Whether of some results only a few entries are there."""
        return any(isinstance(array, Picked) for array in self._arrays.values())

    def names(self, pattern: str) -> list[str]:
        """Names that a regular expression matches completely, sorted as text."""
        return sorted(name for name in self._arrays if re.fullmatch(pattern, name))

    def given(self, name: str) -> torch.Tensor:
        """An array to compute from; if it is thinned, our own, which was compared with the entries that are left."""
        self._read.add(name)
        array = self._arrays[name]
        if not isinstance(array, Picked):
            return torch.from_numpy(array.copy())
        assert name in self._ours, f"{self.name} {name} is thinned: compute it and check() it before it is read"
        return self._ours[name].clone()

    def items(self, pattern: str) -> list[torch.Tensor]:
        """A ragged list to compute from, one array per batch item, whose number takes the place of ``*``."""
        arrays = []
        while (name := pattern.replace("*", str(len(arrays)))) in self._arrays:
            arrays.append(self.given(name))
        return arrays

    def unused(self) -> list[str]:
        """Inputs that nobody read and results that nobody compared."""
        used = self._compared | {name for name in self._read if _INPUT.fullmatch(name)}
        return sorted(name for name in set(self._arrays) - used if not name.endswith(CLASS))

    def check(self, name: str, got: Any, bound: float = NETWORK, kind: Kind = "of scale") -> None:
        """Compare a result; see :func:`compare`."""
        self._compared.add(name)
        if isinstance(self._arrays[name], Picked):
            self._ours[name] = torch.as_tensor(got).detach()
        self.judge(self.name, name, got, bound, kind)

    def judge(self, label: str, name: str, got: Any, bound: float, kind: Kind) -> None:
        """Compare under another label; it does not count as this file's comparison."""
        self._ledger.add(compare(label, name, got, self._arrays[name], bound, kind))

    def check_equal(self, name: str, got: Any) -> None:
        """Compare classes, indices, masks and the like, which have to be identical."""
        self.check(name, got, 0.0, "equal")

    def note(self, what: str, got: Any, want: Any, bound: float, kind: Kind) -> None:
        """Compare something that follows from the file but is not one of its arrays."""
        self._ledger.add(compare(self.name, what, got, want, bound, kind))

    def check_class(self, name: str, got: torch.Tensor, *, first: int = 0) -> None:
        """Compare which column from ``first`` on is the largest, row by row."""
        array = self._arrays[name]
        theirs = self._arrays[f"{name}{CLASS}"] if isinstance(array, Picked) else array[:, first:].argmax(axis=1)
        self.note(f"{name}{CLASS}", got[:, first:].argmax(dim=1).numpy(), theirs, 0.0, "equal")

    def match(self, name: str, rows: torch.Tensor, *, cell: float | None = None) -> torch.Tensor:
        """Compare a list of coordinates whose order has no meaning.

        Args:
            name: of the list [rows, axes].
            rows: ours.
            cell: grid step, to sort coordinates that are not whole numbers; no two rows share a cell.

        Returns:
            Which of our rows stands in each row of the file.
        """
        theirs, ours = self._arrays[name], rows.detach().cpu().numpy()
        assert ours.shape == theirs.shape, f"{self.name} {name}: shape {ours.shape}, expected {theirs.shape}"
        our_order, their_order = (np.lexsort(np.floor(x / (cell or 1)).astype(int).T) for x in (ours, theirs))
        order = np.empty(len(ours), dtype=int)
        order[their_order] = our_order
        if cell is None:
            self.check_equal(name, ours[order])
        else:
            self.check(name, ours[order], LAYER)
        return torch.from_numpy(order)


def compare(file: str, array: str, got: Any, want: Any, bound: float, kind: Kind) -> Row:
    """Measure one array; NaN or infinity is an infinite error. Of a thinned one only what is left is compared.

    Raises:
        AssertionError: if the shapes differ.
    """
    ours = _float64(got)
    theirs = want if isinstance(want, Picked) else _float64(want)
    assert ours.shape == theirs.shape, f"{file} {array}: shape {ours.shape}, expected {theirs.shape}"
    if not np.isfinite(ours).all():
        return Row(file, array, kind, float("inf"), float("inf"), bound)
    if isinstance(theirs, Picked):
        return _compare_picked(file, array, ours, theirs, bound, kind)
    gap = np.abs(ours - theirs)
    largest = gap.max(initial=0)
    error = np.linalg.norm(gap) if kind == "L2" else largest
    scale = np.linalg.norm(theirs) if kind == "L2" else np.abs(theirs).max(initial=0)
    return Row(file, array, kind, float(largest), float(error / scale if scale > 0 else error), bound)


def _float64(array: Any) -> np.ndarray:
    return np.asarray(array.detach().cpu() if isinstance(array, torch.Tensor) else array, np.float64)


def _compare_picked(file: str, array: str, ours: np.ndarray, theirs: Picked, bound: float, kind: Kind) -> Row:
    """From some entries, the largest value and the norm; none of the three overstates the error of the whole.

    Two arrays' largest values differ by at most their largest difference, their norms by at most the norm of it.
    """
    entries = f"{len(theirs.values)} of {ours.size}"
    gap = np.abs(ours.ravel()[theirs.places] - theirs.values)
    size = np.abs(ours)
    by_norm = abs(float(np.linalg.norm(size)) - theirs.norm)
    largest = max(gap.max(), abs(float(size.max()) - theirs.largest), by_norm / ours.size**0.5)
    if kind == "equal" and crc(ours) != theirs.digest:
        largest = max(largest, 1.0)
    by_entries = float(np.linalg.norm(gap)) * (ours.size / len(gap)) ** 0.5  # expected of the whole, from a sample
    error, scale = (max(by_entries, by_norm), theirs.norm) if kind == "L2" else (largest, theirs.largest)
    return Row(file, array, kind, float(largest), float(error / scale if scale > 0 else error), bound, entries)


class GoldenSet:
    """A folder of full files (``G*.npz``), or the thinned set that lies in the repository.

    Args:
        place: the folder, or the file of the thinned set.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.is_thinned = place.is_file()
        self._files, self._keys = read(place) if self.is_thinned else ({}, "")
        self.names = sorted(self._files) if self.is_thinned else sorted(path.stem for path in place.glob("G*.npz"))

    def arrays(self, name: str) -> Mapping[str, np.ndarray | Picked]:
        """The arrays of one file."""
        if self.is_thinned:
            return self._files[name]
        with np.load(self.place / f"{name}.npz", allow_pickle=False) as data:
            return {key: np.array(data[key]) for key in data.files}

    def keys(self) -> str:
        """The reference's state-dict keys, as JSON: beside or in the folder, or else of the thinned set."""
        beside = [folder / KEYS for folder in (self.place.parent, self.place) if (folder / KEYS).is_file()]
        return self._keys or (beside[0].read_text() if beside else read()[1])


def summary(rows: list[Row]) -> list[str]:
    """Markdown lines, one for every group of files: of every kind, the error that comes nearest to its bound."""
    lines = [
        "| golden | arrays | identical | share of scale (bound) | L2 of gradients (bound) | difference (bound) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for group in sorted({row.file.split("_")[0] for row in rows}):
        members = [row for row in rows if row.file.split("_")[0] == group]
        same = sum(row.kind == "equal" and row.holds for row in members)
        cells = [_worst([row for row in members if row.kind == kind]) for kind in ("of scale", "L2", "absolute")]
        lines.append(f"| {group} | {len(members)} | {same} | " + " | ".join(cells) + " |")
    return lines


def _worst(rows: list[Row]) -> str:
    """The row that comes nearest to its bound; a dash without rows."""
    if not rows:
        return "-"
    worst = max(rows, key=lambda row: (not row.holds, row.judged / (row.bound or 1.0)))
    return f"{worst.judged:.1e} ({worst.bound:g})"


def markdown(rows: list[Row]) -> str:
    """The summary and every array."""
    head = ["| file | array | largest error | relative | bound | entries |", "|---|---|--:|--:|---|---|"]
    lines = [*summary(rows), "", *head]
    for row in rows:
        mark = "" if row.holds else " **exceeded**"
        lines.append(
            f"| {row.file} | `{row.array}` | {row.absolute:.2e} | {row.relative:.2e} | {row.bound:g} {row.kind}{mark} "
            f"| {row.entries} |"
        )
    return "\n".join(lines) + "\n"
