"""Conversion: two workers against one, and planning anew when nothing has changed. Part of ``make bench``.

The stage ``shards`` runs as users run it, in a process of its own, on a fabricated frame table: real JPEG files of
RICH's size, one body for all. Only the reader is replaced: ``--stage`` is the stage with :class:`FewFiles`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import yaml

from pipelines import shards
from sahmr.readers.images import read_record_image
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.tables_write import to_table, write_table
from tests.benchmarks.figures import record
from tests.imports import ROOT

WIDTH, HEIGHT = 4112, 3008
_IMAGES = 8  # different files; all records share them


@dataclass(frozen=True)
class FewFiles:
    """A reader of records that share a few image files and one body."""

    root: Path

    def shared_files(self) -> list[Path]:
        return []

    def read_image(self, row: FrameRecord, region: tuple[int, int, int, int], divisor: int) -> np.ndarray:
        return read_record_image(self.root, row, region, divisor)

    def load_body_world(self, row: FrameRecord) -> np.ndarray:
        return _body()

    def load_contact(self, row: FrameRecord) -> None:
        return None


@lru_cache(maxsize=1)
def _body() -> np.ndarray:
    from tests.worlds import small  # not earlier: no stage waits for what it loads

    return small.vertices()


def photo(seed: int, width: int, height: int) -> np.ndarray:
    """Smooth shapes under fine grain: compresses to about 2 MB at 12 megapixels, as RICH's files."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 64), max(2, width // 64), 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.int16)
    grain = cv2.resize(rng.integers(-9, 10, (height // 2, width // 2, 3)).astype(np.int16), (width, height))
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def write_input(folder: Path, *, count: int, sequences: int, size: tuple[int, int], workers: int) -> None:
    """Images, a frame table of ``count`` rows in ``sequences`` sequences, and params.yaml."""
    from tests.worlds import small

    (folder / "raw").mkdir(parents=True)
    (folder / "bodies").mkdir()
    for number in range(_IMAGES):
        cv2.imwrite(str(folder / f"raw/{number}.jpg"), photo(number, *size), [cv2.IMWRITE_JPEG_QUALITY, 90])
    (folder / "raw/body.pkl").write_bytes(b"one body")
    files = [(f"{number}.jpg", small.sha256((folder / f"raw/{number}.jpg").read_bytes())) for number in range(_IMAGES)]
    scale = size[0] / 320
    base = small.record(0, has_contact=False)
    base = replace(
        base, image_width=size[0], image_height=size[1], body_file="body.pkl", body_sha256=small.sha256(b"one body"),
        person_box=tuple(scale * side for side in (110.0, 40.0, 210.0, 200.0)),
        intrinsics=(250 * scale, 0.0, size[0] / 2, 0.0, 250 * scale, size[1] / 2, 0.0, 0.0, 1.0),
    )  # fmt: skip
    rows = [
        replace(
            base, key=f"S{i % sequences:05d}_{i:06d}", sequence=f"S{i % sequences:05d}", frame=i,
            image_file=files[i % _IMAGES][0], image_sha256=files[i % _IMAGES][1],
        )
        for i in range(count)
    ]  # fmt: skip
    write_table(folder / "frames/rich.parquet", to_table(rows, FRAME_SCHEMA))
    params = {
        "raw": {"rich": str(folder / "raw")},
        "paths": {name: str(path) for name, path in asdict(small.paths_of(folder)).items()},
        "shards": {**asdict(small.SHARDS), "samples_per_shard": 16, "max_side_px": 512},
        "parallel": {"workers": workers, "loaders": 0, "threads": 1},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def run_stage(folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of the stage's process, start included, and its report."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.conversion", "--stage", str(folder / "raw")]
    subprocess.run(command, cwd=folder, check=True, env=environment, capture_output=True)
    return time.perf_counter() - started, json.loads((folder / "reports/shards_rich.json").read_text())


def set_workers(folder: Path, workers: int) -> None:
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["parallel"]["workers"] = workers
    path.write_text(yaml.safe_dump(params))


def bench_workers(count: int, rounds: int) -> dict[str, float]:
    """Seconds for the same images with one and with two worker processes, interleaved; medians."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        write_input(folder, count=count, sequences=8, size=(WIDTH, HEIGHT), workers=1)
        for _ in range(rounds):
            for workers in seconds:
                shutil.rmtree(folder / "work", ignore_errors=True)
                set_workers(folder, workers)
                seconds[workers].append(run_stage(folder)[0])
    one, two = (float(np.median(seconds[workers])) for workers in (1, 2))
    return {"images": count, "one_worker_s": one, "two_workers_s": two, "ratio": one / two}


def bench_replan(pieces: int) -> dict[str, float]:
    """Seconds of a second run over an unchanged dataset of one-sample pieces."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        write_input(folder, count=pieces, sequences=pieces, size=(320, 240), workers=2)
        first, report = run_stage(folder)
        assert report["executed"] == pieces
        again, report = run_stage(folder)
        assert report["reused"] == pieces
    return {"pieces": pieces, "first_s": first, "again_s": again}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pieces", type=int, default=20_000)
    parser.add_argument("--only", choices=("workers", "replan"))
    parser.add_argument("--stage", type=Path, help="run the stage itself on this raw folder (used by the bench)")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(argv)
    if asked.stage is not None:
        shards.open_reader = lambda *_, **__: FewFiles(asked.stage)
        shards.main(["--dataset", "rich"])
        return
    found = {}
    if asked.only != "replan":
        found["workers"] = bench_workers(asked.images, asked.rounds)
    if asked.only != "workers":
        found["replan"] = bench_replan(asked.pieces)
    print(json.dumps(found, indent=2))
    record(asked.out, f"python -m tests.benchmarks.conversion --images {asked.images}", found)


if __name__ == "__main__":
    main()
