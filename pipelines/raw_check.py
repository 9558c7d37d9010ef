"""Check params.yaml, then the raw trees, before any work: all problems in one list, each with place, thing, source."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.bodies import Bodies
from pipelines.sections import check_params
from pipelines.stage import log, stage
from sahmr.body.files import check_body_files
from sahmr.errors import RawDataError
from sahmr.raw import load_raw_roots
from sahmr.readers.base import Listing, Selection, raise_problems
from sahmr.readers.registry import open_reader, rules_class
from sahmr.settings import Paths, load_section

_MEANING = {
    "absent_table": "no split table, the split is left out",
    "absent_contact": "people in sequences without any contact label, it is unknown",
    "absent_sequence": "sequences that are absent",
    "absent_recording": "recordings that are empty",
    "absent_images": "sequences or recordings without images",
    "absent_bodies": "people in sequences without bodies",
    "absent_fits": "recordings without fits",
    "absent_camera": "listed cameras without images",
    "absent_pose": "scenes without a camera pose",
    "absent_scan": "scans that are absent",
    "absent_calibration": "calibrations of listed cameras that are absent",
    "absent_vicon2scene": "recordings whose MoSH parameters lack vicon2scene.json",
    "no_scene": "images of scenes without scan or camera pose",
    "no_body": "images without a body",
    "no_image": "bodies without an image of a listed camera",
    "multi_person": "images of sequences left out because two people share them",
    "uncalibrated_camera": "images of cameras without a calibration",
    "unlisted_camera": "images of cameras that the table does not list",
    "warmup": "images in the warm-up",
    "interval": "images between the sampled ones",
}
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
        problems += check_tree(dataset, root, rules, bodies=paths.bodies)
    raise_problems(", ".join([*(["bodies"] if bodies else []), *raw]), problems)


def check_tree(dataset: str, root: Path, rules: Selection, *, bodies: Path) -> list[str]:
    """Look for every file of a dataset; log what is ignored and, if nothing is missing, what ``frames`` will drop.

    Args:
        dataset: name of its card.
        root: of its tree.
        rules: its group of section ``frames``.
        bodies: output folder of the stage ``bodies``; only handed on.

    Returns:
        The problems, none of them twice.
    """
    problems = open_reader(dataset, root, bodies=bodies, rules=rules).check()
    if not root.is_dir():
        return problems
    lenient = replace(rules, allow_absent=True)  # what is absent has been told; what else is wrong?
    try:
        listing = open_reader(dataset, root, bodies=bodies, rules=lenient).list_bodies()
    except RawDataError as error:
        return list(dict.fromkeys([*problems, *str(error).splitlines()]))
    for line in [*([] if problems else announcements(dataset, listing)), *ignored_names(dataset, listing)]:
        log.info("%s", line)
    return problems


def announcements(dataset: str, listing: Listing) -> list[str]:
    """What stage ``frames`` will report of names alone: absent and dropped things, with the same counts."""
    return [
        f"{dataset}: {_MEANING.get(tally.rule, tally.rule)}: {tally.count} of split {tally.split} ({tally.rule})"
        for tally in (*listing.absent, *listing.dropped)
    ]


def ignored_names(dataset: str, listing: Listing) -> list[str]:
    """One line about all names that are no published ones, or none."""
    kinds = "; ".join(f"{kind.count} in {kind.what} (first: {kind.first})" for kind in listing.ignored)
    return [f"{dataset}: ignored names, not the published ones: {kinds}"] if kinds else []


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
