"""Golden files of the reference: what was read, what was compared, and how far off we are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

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
    """

    file: str
    array: str
    kind: Kind
    absolute: float
    relative: float
    bound: float

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
        return f"{name:<74} {self.absolute:9.2e} {self.relative:9.2e}   {self.bound:g} {self.kind}"


@dataclass
class Ledger:
    """The files opened in this run and the worst error of every compared array."""

    files: dict[Path, GoldenFile] = field(default_factory=dict)
    rows: dict[tuple[str, str, Kind], Row] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    is_partial: bool = False

    def open(self, path: Path) -> GoldenFile:
        """Read a file, once per run."""
        if path not in self.files:
            self.files[path] = GoldenFile(path, self)
        return self.files[path]

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

    def __init__(self, path: Path, ledger: Ledger) -> None:
        with np.load(path, allow_pickle=False) as data:
            self._arrays = {name: np.array(data[name]) for name in data.files}
        self.name = path.stem
        self._ledger = ledger
        self._read: set[str] = set()
        self._compared: set[str] = set()

    def names(self, pattern: str) -> list[str]:
        """Names that a regular expression matches completely, sorted as text."""
        return sorted(name for name in self._arrays if re.fullmatch(pattern, name))

    def given(self, name: str) -> torch.Tensor:
        """An array to compute from."""
        self._read.add(name)
        return torch.from_numpy(self._arrays[name].copy())

    def items(self, pattern: str) -> list[torch.Tensor]:
        """A ragged list to compute from, one array per batch item, whose number takes the place of ``*``."""
        arrays = []
        while (name := pattern.replace("*", str(len(arrays)))) in self._arrays:
            arrays.append(self.given(name))
        return arrays

    def unused(self) -> list[str]:
        """Inputs that nobody read and results that nobody compared."""
        used = self._compared | {name for name in self._read if _INPUT.fullmatch(name)}
        return sorted(set(self._arrays) - used)

    def check(self, name: str, got: Any, bound: float = NETWORK, kind: Kind = "of scale") -> None:
        """Compare a result; see :func:`compare`."""
        self._compared.add(name)
        self._ledger.add(compare(self.name, name, got, self._arrays[name], bound, kind))

    def check_equal(self, name: str, got: Any) -> None:
        """Compare classes, indices, masks and the like, which have to be identical."""
        self.check(name, got, 0.0, "equal")

    def note(self, what: str, got: Any, want: Any, bound: float, kind: Kind) -> None:
        """Compare something that follows from the file but is not one of its arrays."""
        self._ledger.add(compare(self.name, what, got, want, bound, kind))

    def check_class(self, name: str, got: torch.Tensor, *, first: int = 0) -> None:
        """Compare which column from ``first`` on is the largest, row by row."""
        ours, theirs = got[:, first:].argmax(dim=1).numpy(), self._arrays[name][:, first:].argmax(axis=1)
        self.note(f"{name}, class", ours, theirs, 0.0, "equal")

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
    """Measure one array; NaN or infinity is an infinite error.

    Raises:
        AssertionError: if the shapes differ.
    """
    ours, theirs = (np.asarray(x.detach().cpu() if isinstance(x, torch.Tensor) else x, np.float64) for x in (got, want))
    assert ours.shape == theirs.shape, f"{file} {array}: shape {ours.shape}, expected {theirs.shape}"
    if not np.isfinite(ours).all():
        return Row(file, array, kind, float("inf"), float("inf"), bound)
    gap = np.abs(ours - theirs)
    largest = gap.max(initial=0)
    error = np.linalg.norm(gap) if kind == "L2" else largest
    scale = np.linalg.norm(theirs) if kind == "L2" else np.abs(theirs).max(initial=0)
    return Row(file, array, kind, float(largest), float(error / scale if scale > 0 else error), bound)


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
    lines = [*summary(rows), "", "| file | array | largest error | relative | bound |", "|---|---|--:|--:|---|"]
    for row in rows:
        mark = "" if row.holds else " **exceeded**"
        lines.append(
            f"| {row.file} | `{row.array}` | {row.absolute:.2e} | {row.relative:.2e} | {row.bound:g} {row.kind}{mark} |"
        )
    return "\n".join(lines) + "\n"
