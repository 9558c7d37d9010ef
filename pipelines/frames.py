"""Stage ``frames``: raw folders to one Arrow row per usable person-image, and one per scanned scene."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.parallel import map_ordered, worker_count
from pipelines.raw_check import check_raw
from pipelines.stage import log, parse_dataset, stage
from sahmr.data.publish import publish_text
from sahmr.errors import RawDataError
from sahmr.readers.base import Frames, Tally, add_tallies
from sahmr.readers.registry import open_reader
from sahmr.settings import Paths, Raw, load_section
from schemas.fields import to_table, write_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.scene import SCENE_SCHEMA


def frame_report(
    dataset: str, records: Sequence[FrameRecord], dropped: Iterable[Tally], notes: Iterable[Tally]
) -> dict[str, Any]:
    """What was kept per split, dropped per rule and split, and noted about kept frames."""
    return {
        "dataset": dataset,
        "kept": dict(sorted(Counter(record.split for record in records).items())),
        "dropped": _nested(dropped),
        "notes": _nested(notes),
    }


def _nested(tallies: Iterable[Tally]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for tally in add_tallies(list(tallies)):
        nested.setdefault(tally.rule, {})[tally.split] = tally.count
    return nested


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Check the raw files, list the bodies, measure them in parallel, write tables and counts."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    rules, paths, raw = load_section("frames", Frames), load_section("paths", Paths), load_section("raw", Raw)
    check_raw(raw, paths, datasets=(dataset,), bodies=False, rules=rules)
    reader = open_reader(dataset, raw.root(dataset), bodies=paths.bodies, prox_parts=rules.prox_parts)
    listing = reader.list_bodies(rules)
    dropped = list(listing.dropped)
    notes: list[Tally] = []
    records: list[FrameRecord] = []
    for measured in map_ordered(
        reader.measure, listing.tasks, workers=worker_count(), label=f"frames {dataset}", unit="body"
    ):
        records += measured.records
        dropped += measured.dropped
        notes += measured.notes
    report = frame_report(dataset, records, dropped, notes)
    if not records:
        raise RawDataError(f"{raw.root(dataset)}: no usable frame; dropped per rule and split: {report['dropped']}")
    records.sort(key=lambda record: record.key)
    write_table(paths.frames / f"{dataset}_scenes.parquet", to_table(reader.scenes(), SCENE_SCHEMA))
    write_table(paths.frames / f"{dataset}.parquet", to_table(records, FRAME_SCHEMA))
    text = json.dumps(report, indent=2, sort_keys=True) + "\n"
    publish_text(paths.reports / f"frames_{dataset}.json", text)
    log.info("frames %s: kept %s, dropped %s, notes %s", dataset, report["kept"], report["dropped"], report["notes"])


if __name__ == "__main__":
    main()
