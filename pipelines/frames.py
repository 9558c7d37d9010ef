"""Stage ``frames``: raw folders to one Arrow row per usable person-image, and one per scanned scene."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pipelines.environment  # noqa: F401  # before numpy loads

# isort: split
import pyarrow as pa

from pipelines.conversion.lock import one_at_a_time
from pipelines.conversion.parallel import Parallel
from pipelines.conversion.pieces import Conversion, Made, Planned, quarantine
from pipelines.manifests import manifest_beside
from pipelines.own_cameras import compare_with_scans
from pipelines.stage import log, parse_dataset, stage
from sahmr.body.model import SMPL_FILE
from sahmr.errors import RawDataError
from sahmr.files import (
    MANIFEST_NAME,
    file_sha256,
    folder_digest,
    publish_text,
    remove_manifest,
    write_manifest,
)
from sahmr.raw import raw_root
from sahmr.readers.base import BodyTask, Listing, Measured, Reader, Selection, Tally, add_tallies, raise_problems
from sahmr.readers.own import OwnReader
from sahmr.readers.registry import open_reader, rules_class
from sahmr.settings import Paths, load_section
from schemas.conform import check_object
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA
from schemas.quarantine import Quarantined
from schemas.reports import FRAME_COUNTS_SCHEMA
from schemas.scene import SCENE_SCHEMA
from schemas.stored import merge_tables
from schemas.tables_write import table_writer, to_table, write_table

VERSION = 2  # of a piece's bytes
_BODIES_PER_PIECE = 256  # of one sequence
_ROWS = "frames.parquet"


def frame_report(
    dataset: str, kept: Mapping[str, int], dropped: Iterable[Tally], notes: Iterable[Tally], listing: Listing
) -> dict[str, Any]:
    """What was kept per split, dropped per rule and split, and noted about kept frames; and what the listing says is
    absent, per rule and split, and is ignored, per kind of folder.
    """
    return {
        "dataset": dataset,
        "kept": dict(sorted(kept.items())),
        "dropped": _nested(dropped),
        "notes": _nested(notes),
        "absent": _nested(listing.absent),
        "ignored": {ignored.what: ignored.count for ignored in listing.ignored},
    }


def _nested(tallies: Iterable[Tally]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for tally in add_tallies(list(tallies)):
        nested.setdefault(tally.rule, {})[tally.split] = tally.count
    return nested


def plan_pieces(reader: Reader, tasks: Sequence[BodyTask], bodies: Path) -> list[Planned[tuple[BodyTask, ...]]]:
    """Runs of bodies of one sequence. A raw file counts as unchanged while its size and times of change are.

    Args:
        reader: of the dataset.
        tasks: in the order of their keys.
        bodies: output folder of the stage ``bodies``.
    """
    context = (
        folder_digest(bodies, without=(MANIFEST_NAME, SMPL_FILE)),
        [file_sha256(path) for path in reader.shared_files()],
    )
    by_sequence = sorted(tasks, key=lambda task: (task.split, task.sequence))
    planned = []
    for _, group in groupby(by_sequence, key=lambda task: (task.split, task.sequence)):
        run = tuple(group)
        for start in range(0, len(run), _BODIES_PER_PIECE):
            item = run[start : start + _BODIES_PER_PIECE]
            planned.append(Planned(item=item, inputs=[context, [_fingerprint(reader, task) for task in item]]))
    return planned


def _fingerprint(reader: Reader, task: BodyTask) -> list[Any]:
    """A body's description and the state of its files, small."""
    start = len(str(reader.root)) + 1
    files = [[str(path)[start:], *_state(path)] for _, path in reader.inputs(task)]
    return [hashlib.sha256(repr(task).encode()).hexdigest(), files]


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:  # gone, or in a folder that may not be read: measuring reports it
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def measure_piece(tasks: tuple[BodyTask, ...], folder: Path, *, reader: Reader) -> Made:
    """Measure a run of bodies and write their rows; one task of the stage."""
    parts: list[Measured] = []
    quarantined: list[Quarantined] = []
    for task in tasks:
        measured, damaged = _measure(task, reader)
        parts += measured
        quarantined += damaged
    records = [record for part in parts for record in part.records]
    write_table(folder / _ROWS, to_table(records, FRAME_SCHEMA))
    dropped = [tally for part in parts for tally in part.dropped]
    dropped += [Tally(split=row.split, rule="quarantined", count=1) for row in quarantined]
    notes = [tally for part in parts for tally in part.notes]
    facts = {"dropped": _rows(dropped), "notes": _rows(notes)}
    return Made(facts=facts, quarantined=tuple(quarantined))


def _measure(task: BodyTask, reader: Reader) -> tuple[list[Measured], list[Quarantined]]:
    """Measure all views of a body together, or, if some file is damaged, one by one to save the others."""
    try:
        return [reader.measure(task)], []
    except (RawDataError, OSError):
        pass
    measured, quarantined = [], []
    for view in task.views:
        alone = replace(task, views=(view,))
        try:
            measured.append(reader.measure(alone))
        except (RawDataError, OSError) as error:
            inputs = reader.inputs(alone)
            quarantined.append(quarantine(error, item=view.key, split=task.split, inputs=inputs, root=reader.root))
    return measured, quarantined


def _rows(tallies: list[Tally]) -> list[dict[str, Any]]:
    return [asdict(tally) for tally in add_tallies(tallies)]


@one_at_a_time("frames")
def run(dataset: str, rules: Selection, paths: Paths, parallel: Parallel, *, raw: Path) -> None:
    """Check the raw files, list the bodies, measure them in parallel, write tables and counts.

    Args:
        dataset: name of its card.
        rules: group of section ``frames``.
        paths, parallel: sections of params.yaml.
        raw: root of the dataset's tree.

    Raises:
        RawDataError: if files are missing, a camera of one's own stands behind a wall, or no frame is usable.
        QuarantineError: if more files are damaged than ``rules`` allow.
    """
    root, bodies = raw.resolve(), paths.bodies.resolve()
    reader = open_reader(dataset, root, bodies=bodies, rules=rules)
    raise_problems(dataset, reader.check())
    section, workers = f"frames.{dataset}", parallel.workers
    work = Conversion("frames", VERSION, dataset, rules, paths, reads=(root, bodies), workers=workers, section=section)
    listing, scenes = reader.list_bodies(), to_table(reader.scenes(), SCENE_SCHEMA)
    if isinstance(reader, OwnReader):
        listing = compare_with_scans(reader, listing, workers=workers)
    receipts = work.run(plan_pieces(reader, listing.tasks, bodies), partial(measure_piece, reader=reader), unit="run")
    dropped, notes, pieces = list(listing.dropped), [], []
    for receipt in receipts:
        assert receipt is not None  # a run of bodies is always made, if need be without rows
        pieces.append(work.store.folder("frames", receipt.key) / _ROWS)
        dropped += [Tally(**row) for row in receipt.facts["dropped"]]
        notes += [Tally(**row) for row in receipt.facts["notes"]]
    report = frame_report(dataset, count_splits(pieces), dropped, notes, listing)
    check_object(report, FRAME_COUNTS_SCHEMA, f"frame counts of {dataset}")
    if not report["kept"]:
        raise RawDataError(f"{raw}: no usable frame; dropped per rule and split: {report['dropped']}")
    publish(paths.frames / f"{dataset}.parquet", pieces, scenes, dataset)
    text = json.dumps(report, indent=2, sort_keys=True) + "\n"
    publish_text(paths.reports / f"frame_counts_{dataset}.json", text)
    log.info("frames %s: kept %s, dropped %s, notes %s", dataset, report["kept"], report["dropped"], report["notes"])


def count_splits(pieces: Sequence[Path]) -> dict[str, int]:
    """Rows per split of many tables."""
    counts: dict[str, int] = {}
    for path in pieces:
        for row in read_table(path, FRAME_SCHEMA, ["split"]).column("split").value_counts().to_pylist():
            counts[row["values"]] = counts.get(row["values"], 0) + row["counts"]
    return counts


def publish(final: Path, pieces: Sequence[Path], scenes: pa.Table, dataset: str) -> None:
    """Write the table of all pieces' rows, sorted by key, the scenes beside it, and their manifest."""
    manifest, beside = manifest_beside(final), final.with_name(f"{dataset}_scenes.parquet")
    with table_writer(final, FRAME_SCHEMA) as writer:
        for rows in merge_tables(pieces, FRAME_SCHEMA, by="key"):
            writer.write(rows)
        remove_manifest(manifest)
        write_table(beside, scenes)
    write_manifest(manifest, [final.name, beside.name], stage="frames", dataset=dataset)


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read ``frames.<dataset>`` and run the stage."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    rules = load_section(f"frames.{dataset}", rules_class(dataset))
    paths, parallel = load_section("paths", Paths), load_section("parallel", Parallel)
    run(dataset, rules, paths, parallel, raw=raw_root(dataset))


if __name__ == "__main__":
    main()
