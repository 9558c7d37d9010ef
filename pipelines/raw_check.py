"""Check the raw trees before any work: all problems in one list, each with the place, the thing and its source."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipelines.stage import DATASETS, log, stage
from sahmr.body.files import check_body_files
from sahmr.readers.base import Frames, raise_problems
from sahmr.readers.registry import open_reader
from sahmr.settings import Paths, Raw, load_section

DEMO_HOME = Path("data/demo")  # where pipelines/demo/dvc.yaml puts its outputs


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
    """Check the three trees named by section ``raw``, but for those the demo stage is still to write."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    raw, paths, rules = load_section("raw", Raw), load_section("paths", Paths), load_section("frames", Frames)
    waiting = [name for name in (*DATASETS, "bodies") if _demo_will_write(getattr(raw, name))]
    datasets = [name for name in DATASETS if name not in waiting]
    check_raw(raw, paths, datasets=datasets, bodies="bodies" not in waiting, rules=rules)
    log.info("raw files: nothing missing; still to be written by the demo stage: %s", ", ".join(waiting) or "none")


def _demo_will_write(tree: Path) -> bool:
    return DEMO_HOME in tree.parents and not tree.exists()


if __name__ == "__main__":
    main()
