"""Stage ``verify``: read every shard back and compare it with its index, the frame table and the scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from pipelines.conversion.parallel import Parallel, map_ordered
from pipelines.manifests import compare_manifests
from pipelines.stage import log, parse_dataset, stage
from sahmr.errors import ShardError
from sahmr.files import publish_text
from sahmr.settings import Paths, load_section
from sahmr.verify import Verify, verify_dataset
from schemas.conform import check_object
from schemas.reports import VERIFY_SCHEMA


def run(dataset: str, settings: Verify, paths: Paths, parallel: Parallel) -> None:
    """Write ``verify_<dataset>.json``; every problem found ends up in one error.

    Args:
        dataset: name of its card.
        settings, paths, parallel: sections of params.yaml.

    Raises:
        SchemaError, ShardError, StoreError: if frame table, shards or scenes are missing or anything but sound.
    """
    compare_manifests(dataset, paths)
    each = partial(map_ordered, workers=parallel.workers, label=f"verify {dataset}", unit="shard")
    report, problems, contradictions = verify_dataset(dataset, settings, paths, each)
    _insist(dataset, [] if report else problems)  # of the index: nothing was counted
    check_object(report, VERIFY_SCHEMA, f"report of verify {dataset}")
    publish_text(paths.reports / f"verify_{dataset}.json", json.dumps(report, indent=2, sort_keys=True) + "\n")
    _insist(dataset, problems, contradictions)
    log.info(
        "verify %s: %d samples in %d shards are sound; %d have no body, %d have contact labels, %d see no scene point",
        dataset, *(report[name] for name in ("samples", "shards", "without_body", "contact_labels", "empty_frustum")),
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
