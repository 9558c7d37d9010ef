"""Stage ``verify``: read every shard back and compare it with its index, the frame table and the scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from pipelines.conversion.parallel import Parallel, map_ordered
from pipelines.manifests import compare_manifests
from pipelines.stage import log, parse_dataset, stage
from sahmr.errors import ShardError
from sahmr.files import publish_text
from sahmr.placement import placement_problems, shared_poses
from sahmr.scenes.arrays import left_out_scenes, list_scenes
from sahmr.settings import Paths, load_section
from sahmr.shards.left_out import read_left_out
from sahmr.shards.reader import read_index
from sahmr.verify import Verify, add_findings, verify_index, verify_shard
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.scene import SCENE_SCHEMA, SceneRecord


def run(dataset: str, settings: Verify, paths: Paths, parallel: Parallel) -> None:
    """Write ``verify_<dataset>.json``; every problem found ends up in one error.

    Args:
        dataset: name of its card.
        settings, paths, parallel: sections of params.yaml.

    Raises:
        SchemaError, ShardError, StoreError: if frame table, shards or scenes are missing or anything but sound.
    """
    compare_manifests(dataset, paths)
    folder, scenes = paths.shards / dataset, paths.scenes / f"{dataset}.zarr"
    records = from_table(read_table(paths.frames / f"{dataset}.parquet", FRAME_SCHEMA), FrameRecord)
    entries, left_out, without = read_index(folder), read_left_out(folder), set(left_out_scenes(scenes))
    known = set(list_scenes(scenes)) | without
    problems = verify_index(entries, records, left_out)
    problems += [f"{scenes}: lacks the scene {key}" for key in sorted({entry.scene_key for entry in entries} - known)]
    _insist(dataset, problems)
    useful = sorted((e for e in entries if e.scene_key not in without), key=lambda e: (e.shard, e.offset))
    shards = [tuple(rows) for _, rows in groupby(useful, key=lambda entry: entry.shard)]
    by_key = {record.key: record for record in records}
    check = partial(verify_shard, folder=folder, scenes=scenes, records=by_key, settings=settings)
    found = add_findings(map_ordered(check, shards, workers=parallel.workers, label=f"verify {dataset}", unit="shard"))
    scans = from_table(read_table(paths.frames / f"{dataset}_scenes.parquet", SCENE_SCHEMA), SceneRecord)
    by_scene = {scan.scene_key: scan for scan in scans}
    placed = placement_problems(found.places, settings.placement, records=by_key, scenes=by_scene)
    contradictions = [*found.contradictions, *placed, *shared_poses(records)]
    report = {
        "contact_labels": found.with_contact,
        "contradictions": contradictions,
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
    _insist(dataset, found.problems, contradictions)
    log.info(
        "verify %s: %d samples in %d shards are sound; %d have no body, %d have contact labels, %d see no scene point",
        dataset, found.samples, len(shards), found.without_body, found.with_contact, found.empty_frustum,
    )  # fmt: skip


def _insist(dataset: str, problems: Sequence[str], contradictions: Sequence[str] = ()) -> None:
    """Turn problems, if there are any, into one ShardError that names all of them, what must be rebuilt first."""
    lines = []
    if problems:
        lines += [f"{dataset}: {len(problems)} problems in the shards; rebuild with: dvc repro shards", *problems]
    if contradictions:
        what = "raw files contradict each other; correct them, or the limits, and run dvc repro"
        lines += [f"{dataset}: {len(contradictions)} findings where {what}", *contradictions]
    if lines:
        raise ShardError("\n".join(lines))


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read section ``verify`` and run the stage."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    run(dataset, load_section("verify", Verify), load_section("paths", Paths), load_section("parallel", Parallel))


if __name__ == "__main__":
    main()
