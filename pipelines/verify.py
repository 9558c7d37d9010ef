"""Stage ``verify``: read every shard back and compare it with its index, the frame table and the scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from pipelines.conversion.parallel import Parallel, map_ordered
from pipelines.stage import log, parse_dataset, stage
from sahmr.errors import ShardError
from sahmr.files import publish_text
from sahmr.scenes.store import left_out_scenes, list_scenes
from sahmr.settings import Paths, load_section
from sahmr.shards.reader import read_index, read_left_out
from sahmr.verify import Verify, add_findings, verify_index, verify_shard
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``verify_<dataset>.json``; every problem found ends up in one error."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, paths = load_section("verify", Verify), load_section("paths", Paths)
    folder, scenes, table = (
        paths.shards / dataset,
        paths.scenes / f"{dataset}.zarr",
        paths.frames / f"{dataset}.parquet",
    )
    if not table.is_file():
        raise ShardError(f"{table}: no frame table; make it with: dvc repro frames")
    records = from_table(read_table(table, FRAME_SCHEMA), FrameRecord)
    entries = read_index(folder)
    left_out, without = read_left_out(folder), set(left_out_scenes(scenes))
    problems = verify_index(entries, records, left_out)
    known = set(list_scenes(scenes)) | without
    problems += [f"{scenes}: lacks the scene {key}" for key in sorted({entry.scene_key for entry in entries} - known)]
    if problems:
        raise ShardError(_tell(dataset, problems))
    useful = [entry for entry in entries if entry.scene_key not in without]
    by_place = sorted(useful, key=lambda entry: (entry.shard, entry.offset))
    shards = [tuple(rows) for _, rows in groupby(by_place, key=lambda entry: entry.shard)]
    by_key = {record.key: record for record in records}
    check = partial(verify_shard, folder=folder, scenes=scenes, records=by_key, tolerance=section.box_tolerance)
    label = f"verify {dataset}"
    workers = load_section("parallel", Parallel).workers
    found = add_findings(map_ordered(check, shards, workers=workers, label=label, unit="shard"))
    report = {
        "contact_labels": found.with_contact,
        "dataset": dataset,
        "left_out": {"damaged": len(left_out), "without_scene": len(entries) - len(useful)},
        "empty_frustum": found.empty_frustum,
        "problems": found.problems,
        "samples": found.samples,
        "scenes": sorted({entry.scene_key for entry in entries}),
        "shards": len(shards),
        "vertices_behind_surface": found.vertices_behind / max(1, 6890 * (found.samples - found.without_body)),
        "without_body": found.without_body,
    }
    publish_text(paths.reports / f"verify_{dataset}.json", json.dumps(report, indent=2, sort_keys=True) + "\n")
    if found.problems:
        raise ShardError(_tell(dataset, found.problems))
    log.info(
        "verify %s: %d samples in %d shards are sound; %d have no body, %d have contact labels, %d see no scene point",
        dataset, found.samples, len(shards), found.without_body, found.with_contact, found.empty_frustum,
    )  # fmt: skip


def _tell(dataset: str, problems: Sequence[str]) -> str:
    lines = [f"{dataset}: {len(problems)} problems in the shards; rebuild with: dvc repro shards", *problems]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
