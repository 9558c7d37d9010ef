"""The person detector on the demo's pictures: recall, overlaps, false people. Part of ``make bench``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy import ndarray
from PIL import Image

from sahmr.detect.decode import overlaps
from sahmr.detect.network import Network
from sahmr.detect.people import find_people
from sahmr.shards.crop import crop_box
from tests.benchmarks.figures import record
from tests.imports import ROOT

_ELSEWHERE = 0.1  # overlap with every person below which a found one is nobody


def judge(name: str, first: int, every: int, network: Network) -> dict[str, float | list[float]]:
    """Figures of one demo dataset: of its pictures number ``first``, ``first + every`` and so on."""
    rows = pq.read_table(ROOT / f"data/frames/{name}.parquet").to_pylist()
    people: dict[str, list[dict]] = {}
    for row in rows:
        people.setdefault(row["image_file"], []).append(row)
    boxes, crops, false, right, processor = list[float](), list[float](), 0, 0, 0.0
    pictures = [*people.values()][first::every]
    for found in pictures:
        image = np.asarray(Image.open(ROOT / f"data/demo/{name.upper()}" / found[0]["image_file"]).convert("RGB"))
        begun = time.process_time()
        image = np.ascontiguousarray(image[:, ::-1]) if found[0]["mirrored"] else image
        seen = np.array([person.box for person in find_people(image, "", network.look)]).reshape(-1, 4)
        processor += time.process_time() - begun
        true = np.array([row["person_box"] for row in found], dtype=np.float64)
        boxes += [_best(box, seen) for box in true]
        crops += [_best(crop_box(box), np.array([crop_box(each) for each in seen]).reshape(-1, 4)) for box in true]
        false += sum(_best(box, true) < _ELSEWHERE for box in seen)
        right += len(seen) == len(true)
    return {
        "pictures": len(pictures), "people": len(boxes),
        "boxes_over_0.5": round(float((np.array(boxes) > 0.5).mean()), 3), "median_box": _quantiles(boxes)[2],
        "crops_over_0.5": round(float((np.array(crops) > 0.5).mean()), 3), "crops_5_25_50_75_95": _quantiles(crops),
        "missed": sum(each < _ELSEWHERE for each in boxes), "false": int(false), "pictures_with_right_number": right,
        "cpu_seconds_a_picture": round(processor / len(pictures), 2),
    }  # fmt: skip


def _best(box: ndarray, others: ndarray) -> float:
    return float(overlaps(box, others).max(initial=0.0))


def _quantiles(values: list[float]) -> list[float]:
    return [round(value, 2) for value in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()]


def main() -> None:
    """Print the figures of both datasets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="picture of RICH-demo, from 0 on")
    parser.add_argument("--every", type=int, default=4, help="steps from one to the next; of PROX-demo all are taken")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not (ROOT / "data/frames/rich.parquet").is_file():
        print("no data/frames/rich.parquet: run make repro first; nothing measured")
        return
    network = Network()
    figures = {"rich": judge("rich", args.first, args.every, network), "prox": judge("prox", 0, 1, network)}
    for name, found in figures.items():
        print(name, found)
    record(args.out, f"python -m tests.benchmarks.detect --first {args.first} --every {args.every}", figures)


if __name__ == "__main__":
    main()
