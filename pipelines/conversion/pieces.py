"""A conversion stage as a set of independent pieces: plan, reuse what is finished, make the rest, account for all."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines.conversion.parallel import map_ordered
from pipelines.conversion.piece_receipt import Receipt
from pipelines.conversion.work_store import WorkStore, piece_key
from pipelines.environment import is_pinned
from pipelines.stage import log
from sahmr.errors import BodyModelError, QuarantineError, RawDataError
from sahmr.files import publish_text
from sahmr.settings import Paths
from schemas.conform import check_object
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from schemas.reports import CONVERSION_SCHEMA
from schemas.tables_write import to_table, write_table

_Item = TypeVar("_Item")
_SHOWN = 20  # damaged files named in the error itself; the table has all


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Generic[_Item]):
    """A piece to be had.

    Attributes:
        item: what ``make`` gets; picklable.
        inputs: JSON-able: all that decides the piece's bytes besides stage, version, settings and libraries.
    """

    item: _Item
    inputs: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What ``make`` says of a piece whose files it wrote.

    Attributes:
        facts: for the receipt; None: nothing of the piece could be made.
        quarantined: what was left out because of damaged raw files.
    """

    facts: dict[str, Any] | None
    quarantined: tuple[Quarantined, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    is_made: bool
    quarantined: tuple[Quarantined, ...]


class Conversion:
    """One run of one stage over one dataset.

    Args:
        stage: its name.
        version: raised by hand whenever the same input gives other bytes; see ``tests/pipelines/golden_bytes.json``.
        dataset: whose.
        settings: its section of ``params.yaml``.
        paths: where the work store and the reports are.
        reads: folders that every worker must be able to read.
        workers: local processes; 0: none.
        section: where ``settings`` stand in ``params.yaml``; empty: under the stage's name.
    """

    def __init__(
        self,
        stage: str,
        version: int,
        dataset: str,
        settings: Any,
        paths: Paths,
        *,
        reads: Sequence[Path],
        workers: int,
        section: str = "",
    ) -> None:
        self.stage, self.version, self.dataset, self._workers = stage, version, dataset, workers
        self._section = section or stage
        self._settings = {name: value for name, value in asdict(settings).items() if name != "max_quarantined"}
        self._limit = int(settings.max_quarantined)
        self._reads = tuple(folder.resolve() for folder in reads)
        self._reports = paths.reports
        self.store = WorkStore(root=paths.work.resolve())
        self._started = time.monotonic()
        if not is_pinned():
            log.warning("numpy was loaded before its kernels were chosen: other machines may give other bytes")

    def run(
        self, planned: Sequence[Planned[_Item]], make: Callable[[_Item, Path], Made], *, unit: str
    ) -> list[Receipt | None]:
        """Make every piece that is not finished yet.

        Args:
            planned: in the order their results are wanted.
            make: writes a piece's files into a folder; picklable; runs on any worker.
            unit: what a piece is called on the progress bar.

        Returns:
            A receipt per planned piece, None where damaged raw files left nothing of it.

        Raises:
            QuarantineError: after all else is done, if more was left out than ``max_quarantined``. The quarantine
                table and the report are written; finished pieces are kept.
        """
        self.store.sweep()
        keys = [piece_key(self.stage, self.version, self._settings, piece.inputs) for piece in planned]
        found = {key: self.store.find(self.stage, key) for key in dict.fromkeys(keys)}
        for key, receipt in found.items():
            if receipt is not None and receipt.is_flawed:
                self.store.discard(self.stage, key)
                found[key] = None
        missing = {key: piece for key, piece in zip(keys, planned, strict=True) if found[key] is None}
        jobs = [(key, piece.item) for key, piece in missing.items()]
        outcomes = map_ordered(
            partial(_make_piece, store=self.store, stage=self.stage, make=make),
            jobs,
            workers=self._workers,
            label=f"{self.stage} {self.dataset}",
            unit=unit,
            readable=self._reads,
            writable=self.store.root,
        )
        quarantined: list[Quarantined] = []
        for (key, _), outcome in zip(jobs, outcomes, strict=True):
            found[key] = self.store.require(self.stage, key) if outcome.is_made else None
            quarantined += outcome.quarantined
        receipts = [found[key] for key in keys]
        self._report(len(set(keys)), len(jobs), quarantined, receipts)
        self._judge(quarantined)
        return receipts

    def _report(
        self, planned: int, executed: int, quarantined: list[Quarantined], receipts: Sequence[Receipt | None]
    ) -> None:
        """Write what was done; not an output DVC tracks, since it describes this run and not the data."""
        counts: Mapping[str, Any] = {
            "bytes": sum({receipt.key: receipt.size for receipt in receipts if receipt}.values()),
            "dataset": self.dataset,
            "executed": executed,
            "planned": planned,
            "quarantined": len(quarantined),
            "reused": planned - executed,
            "seconds": round(time.monotonic() - self._started, 1),
            "stage": self.stage,
            "stage_version": self.version,
        }
        check_object(counts, CONVERSION_SCHEMA, f"report of {self.stage} {self.dataset}")
        text = json.dumps(counts, indent=2, sort_keys=True) + "\n"
        publish_text(self._reports / f"{self.stage}_{self.dataset}.json", text)
        rows = sorted(quarantined, key=lambda row: (row.item, row.file))
        write_table(self._quarantine_table, to_table(rows, QUARANTINE_SCHEMA))
        log.info(
            "%s %s: %d pieces: %d made, %d reused; %d damaged files; %.1f MB, %.1f s",
            self.stage, self.dataset, planned, executed, planned - executed, len({row.file for row in quarantined}),
            counts["bytes"] / 1e6, counts["seconds"],
        )  # fmt: skip

    @property
    def _quarantine_table(self) -> Path:
        return self._reports / f"quarantine_{self.stage}_{self.dataset}.parquet"

    def _judge(self, quarantined: Sequence[Quarantined]) -> None:
        files = {row.file for row in quarantined}
        if len(files) <= self._limit:
            return
        lines = [f"{row.rule} of {row.item}: {row.message}" for row in quarantined[:_SHOWN]]
        more = len(quarantined) - len(lines)
        needed = f" that {len(quarantined)} items need" if len(quarantined) > len(files) else ""
        raise QuarantineError(
            "\n".join(
                [
                    f"{self.stage} {self.dataset}: {len(files)} damaged raw files{needed}, "
                    f"{self._section}.max_quarantined allows {self._limit}; all else is finished and kept",
                    *lines,
                    *([f"... and {more} more"] if more else []),
                    f"{self._quarantine_table} lists them: repair or remove the files in {self._reads[0]}, or raise "
                    f"{self._section}.max_quarantined, and run the same command again",
                ]
            )
        )


def _make_piece(
    job: tuple[str, _Item], *, store: WorkStore, stage: str, make: Callable[[_Item, Path], Made]
) -> _Outcome:
    """Runs on a worker: make one piece and keep it; only a small outcome travels back."""
    key, item = job
    with store.make(stage, key) as draft:
        made = make(item, draft.folder)
        draft.facts = made.facts or {}
        draft.is_flawed = bool(made.quarantined)
    return _Outcome(is_made=made.facts is not None, quarantined=made.quarantined)


def quarantine(
    error: RawDataError | OSError, *, item: str, split: str, inputs: Sequence[tuple[str, Path]], root: Path
) -> Quarantined:
    """An error as a row of the quarantine table; the blame goes to the input that the message names, else the first.

    The table is the same wherever the raw files lie: it travels with the shards.

    Raises:
        BodyModelError: the error itself, if it is one: a body model concerns every frame.
        OSError: the same, if it is about no input.
    """
    if isinstance(error, BodyModelError):
        raise error
    message = str(error)
    if isinstance(error, OSError):  # say, of a file on a failing disk
        if str(error.filename) not in {str(path) for _, path in inputs}:
            raise error
        message = f"{error.filename}: cannot be read ({error.strerror}); allow it, or fetch it again"
    named = [(rule, path) for rule, path in inputs if str(path) in message]
    rule, path = (named or list(inputs))[0]
    file = path.relative_to(root).as_posix()
    return Quarantined(item=item, split=split, file=file, rule=rule, message=_without_places(message, root))


def _without_places(message: str, root: Path) -> str:
    """The same on every machine: files named from the raw root on, and no folder of any other place."""
    inside = message.replace(f"{root}/", "").replace(str(root), "<raw>")
    return re.sub(r"(?:(?<=^)|(?<=[\s'\"(=]))/(?:[^\s/'\":;,()]+/)+", "<elsewhere>/", inside)
