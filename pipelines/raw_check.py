"""Check params.yaml, then the raw trees, before any work: all problems in one list, each with place, thing, source."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.bodies import Bodies
from pipelines.sections import check_params
from pipelines.stage import log, stage
from sahmr.body.files import check_body_files
from sahmr.raw import load_raw_roots
from sahmr.readers.base import raise_problems
from sahmr.readers.registry import open_reader, rules_class
from sahmr.settings import Paths, load_section

DEMO_HOME = Path("data/demo")  # where pipelines/demo/dvc.yaml puts its outputs


def check_raw(raw: Mapping[str, Path], paths: Paths, *, bodies: Path | None) -> None:
    """Look for every raw file the pipeline starts from.

    Args:
        raw: root of each dataset's tree.
        paths: output folders; only handed on.
        bodies: folder of the body-model files; None: not checked.

    Raises:
        RawDataError: listing all problems of all trees.
    """
    problems = check_body_files(bodies) if bodies is not None else []
    for dataset, root in raw.items():
        rules = load_section(f"frames.{dataset}", rules_class(dataset))
        problems += open_reader(dataset, root, bodies=paths.bodies, rules=rules).check()
    raise_problems(", ".join([*(["bodies"] if bodies else []), *raw]), problems)


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Check the trees named by ``raw`` and ``bodies.raw``, but for those the demo stage is still to write."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    check_params()
    raw, bodies = load_raw_roots(), load_section("bodies", Bodies).raw
    waiting = [name for name, tree in {**raw, "bodies": bodies}.items() if _demo_will_write(tree)]
    there = {name: tree for name, tree in raw.items() if name not in waiting}
    check_raw(there, load_section("paths", Paths), bodies=None if "bodies" in waiting else bodies)
    log.info("raw files: nothing missing; still to be written by the demo stage: %s", ", ".join(waiting) or "none")


def _demo_will_write(tree: Path) -> bool:
    return DEMO_HOME in tree.parents and not tree.exists()


if __name__ == "__main__":
    main()
