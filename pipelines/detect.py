"""Tool: boxes round the people in a folder of photographs, as a table that ``predict_photo --boxes`` reads."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipelines.stage import log, stage
from sahmr.cameras.boxes import PersonBox
from sahmr.detect.network import Network
from sahmr.detect.people import find_people
from sahmr.errors import ExportError, RawDataError
from sahmr.files import publish_text
from sahmr.readers.images import decode_region, image_size

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
_NAMED = 5  # photographs that a message names
_EXAMPLE = "example: python -m pipelines.detect --images photos/ --output boxes.csv"


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, and detect."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLE)
    parser.add_argument("--images", type=Path, required=True, help="folder, with those in it; or one photograph")
    parser.add_argument("--output", type=Path, required=True, help="table (.csv) to be made")
    asked = parser.parse_args(argv)
    run(asked.images, asked.output)


def run(images: Path, output: Path) -> None:
    """Write a row for each person found, those of a photograph with the surest first.

    Raises:
        ExportError: if the output is there already or is no table.
        RawDataError: if the extra is not installed, there is no photograph, one is damaged, or nobody is in any.
    """
    if output.exists() or output.suffix.lower() != ".csv":
        found = "is there already; name a new file" if output.exists() else "is no table; name a file that ends in .csv"
        raise ExportError(f"--output: {output} {found}, or remove it first")
    files = _photographs(images)
    network, people = Network(), dict[str, tuple[PersonBox, ...]]()
    for path in tqdm(files, desc="detect", unit="image", disable=None):
        name = path.relative_to(images if images.is_dir() else images.parent).as_posix()
        people[name] = find_in_file(path, name, network)
    without = [name for name, found in people.items() if not found]
    several = sum(len(found) > 1 for found in people.values())
    count = sum(map(len, people.values()))
    if not count:
        raise RawDataError(f"{images}: no person found in {len(files)} photographs; draw the boxes by hand")
    publish_text(output, table(people))
    some = f" ({', '.join(without[:_NAMED])}{', ...' if len(without) > _NAMED else ''})" if without else ""
    log.info("detect: %d people in %d photographs; %d with several, %d with nobody%s -> %s",
             count, len(files), several, len(without), some, output)  # fmt: skip


def find_in_file(path: Path, name: str, network: Network) -> tuple[PersonBox, ...]:
    """People in one photograph, as taken.

    Raises:
        RawDataError: if it is damaged.
    """
    return find_people(np.asarray(decode_region(path, (0, 0, *image_size(path)), 1)), name, network.look)


def table(people: dict[str, tuple[PersonBox, ...]]) -> str:
    """As :func:`sahmr.cameras.box_files.read_boxes` reads it; tenths of a pixel."""
    made = io.StringIO()
    rows = csv.writer(made, lineterminator="\n")
    rows.writerow(("image", "left", "top", "right", "bottom", "person", "score"))
    for name, found in people.items():
        for number, person in enumerate(found, start=1):
            rows.writerow((name, *(f"{side:.1f}" for side in person.box), number, f"{person.score:.3f}"))
    return made.getvalue()


def _photographs(images: Path) -> list[Path]:
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise RawDataError(f"--images: {images} is not there; name a folder of photographs")
    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise RawDataError(f"--images: {images} holds no photograph; allowed: {', '.join(SUFFIXES)}")
    return found


if __name__ == "__main__":
    main()
