"""Check the raw trees before any work: all problems in one list, each with the place, the thing and its source."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.stage import DATASETS, log, stage
from sahmr.body.files import check_body_files
from sahmr.readers.base import Frames, raise_problems
from sahmr.readers.registry import open_reader
from sahmr.settings import Paths, Raw, load_section


def check_raw(
    raw: Raw, paths: Paths, *, datasets: Sequence[str] = DATASETS, bodies: bool = True, rules: Frames | None = None
) -> None:
    """Look for every raw file the pipeline starts from.

    Args:
        raw: where the trees are.
        paths: output folders; only handed on.
        datasets: which of rich and prox to check.
        bodies: whether to check the body-model files too.
        rules: section ``frames``; tells which parts of PROX are wanted.

    Raises:
        RawDataError: listing all problems of all trees.
    """
    problems = check_body_files(raw.bodies) if bodies else []
    for dataset in datasets:
        parts = rules.prox_parts if rules is not None else None
        problems += open_reader(dataset, raw.root(dataset), bodies=paths.bodies, prox_parts=parts).check()
    raise_problems(", ".join([*(["bodies"] if bodies else []), *datasets]), problems)


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Check all three trees named by section ``raw``."""
    raw, paths, rules = load_section("raw", Raw), load_section("paths", Paths), load_section("frames", Frames)
    check_raw(raw, paths, rules=rules)
    log.info("raw files: bodies, rich and prox look complete")


if __name__ == "__main__":
    main()
