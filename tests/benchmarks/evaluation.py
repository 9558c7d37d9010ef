"""The stage ``evaluate`` on a split as large as RICH's: 3116 person-images in scenes with fields of 256^3 samples.

Made of the test split of RICH-demo as ``make repro`` leaves it: every image stands for 35, its scene's field is
resampled, and the tables of ``predict`` and ``baseline`` are repeated. The stage runs in a process of its own. Prints
seconds, also those of the processor, and peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import torch

from sahmr.batches.dataset import SampleDataset
from sahmr.geometry.distance_field import sample_distance
from sahmr.scenes.build import _write_group, create_store
from sahmr.scenes.store import load_scene
from sahmr.settings import Paths, load_section
from sahmr.shards.encode import Shards, encode_sample, plan_crop
from sahmr.shards.left_out import write_left_out
from sahmr.shards.write import plan_shards, write_index, write_shard
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.prediction import PREDICTION_SCHEMA, ROWS_PER_GROUP
from schemas.tables_write import table_writer, to_table, write_table
from tests.benchmarks.figures import record
from tests.imports import ROOT

IMAGES, SIDE, DATASET, SPLIT = 3116, 256, "rich", "test"
WORKER = """
import sys
from pathlib import Path
from pipelines import evaluate
from pipelines.conversion.parallel import Parallel
from sahmr.settings import Paths
folder = Path(sys.argv[1])
paths = Paths(**{name: folder / name for name in Paths.__dataclass_fields__})
evaluate.run("rich", evaluate.Evaluate(split="test", sheet_frames=24), paths, Parallel(workers=0, loaders=0, threads=2))
"""


def make(folder: Path, images: int) -> None:
    """Scenes, shards, frame table and predictions, out of the demo's."""
    paths = load_section("paths", Paths)
    samples = SampleDataset(paths.shards / DATASET, paths.scenes / f"{DATASET}.zarr", SPLIT)
    make_scenes(folder / f"scenes/{DATASET}.zarr", samples)
    keys, sources = copies(samples, images)
    make_shards(folder, samples, keys, sources)
    for path in (paths.predictions / DATASET).glob("*.parquet"):
        repeat_predictions(path, folder / f"predictions/{DATASET}/{path.name}", keys, sources)
    (folder / "bodies").symlink_to((ROOT / paths.bodies).resolve())


def copies(samples: SampleDataset, images: int) -> tuple[list[str], list[int]]:
    """New keys, and the place of the image that each stands for."""
    sources = [number % len(samples) for number in range(images)]
    keys = [f"{samples.entries[source].key}_{number // len(samples):04d}" for number, source in enumerate(sources)]
    order = np.argsort(keys)
    return [keys[number] for number in order], [sources[number] for number in order]


def make_scenes(store: Path, samples: SampleDataset) -> None:
    """The same scenes, their fields at 256 samples a side."""
    create_store(store, DATASET)
    for key in sorted(set(samples.entries.table.column("scene_key").to_pylist())):
        scene = load_scene(samples.scenes, key)
        axes = [torch.linspace(low, high, SIDE) for low, high in zip(scene.sdf_min, scene.sdf_max, strict=True)]
        field = torch.stack(
            [
                sample_distance(scene.sdf, scene.sdf_min, scene.sdf_max, torch.cartesian_prod(x, *axes[1:]))
                for x in axes[0][:, None]
            ]
        )
        values = field.view(SIDE, SIDE, SIDE).numpy()
        given = scene.attributes
        corners = zip(given["sdf_min"], given["sdf_max"], strict=True)
        steps = {"sdf_spacing_m": [(high - low) / (SIDE - 1) for low, high in corners]}
        _write_group(store, key, scene.points.numpy(), values, given | steps)


def make_shards(folder: Path, samples: SampleDataset, keys: list[str], sources: list[int]) -> None:
    """Every copy is a sample of its own; sequences are as many times more."""
    table = read_table(load_section("paths", Paths).frames / f"{DATASET}.parquet", FRAME_SCHEMA)
    rows = {row.key: row for row in from_table(table, FrameRecord)}
    known = [rows[entry.key] for entry in samples.entries]
    records = [
        replace(known[source], key=key, sequence=f"{known[source].sequence}_{key[-4:]}")
        for key, source in zip(keys, sources, strict=True)
    ]
    write_table(folder / f"frames/{DATASET}.parquet", to_table(records, FRAME_SCHEMA))
    shards, settings, place = (
        folder / f"shards/{DATASET}",
        load_section("shards", Shards),
        dict(zip(keys, sources, strict=True)),
    )
    shards.mkdir(parents=True)
    stored = [samples.reader.decode(entry) for entry in samples.entries]

    def members(row: FrameRecord) -> dict[str, bytes]:
        sample, (left, top, right, bottom) = stored[place[row.key]], plan_crop(row, settings).region
        divisor = plan_crop(row, settings).divisor
        picture = cv2.resize(sample.image, ((right - left) // divisor, (bottom - top) // divisor))
        return encode_sample(row, picture, sample.vertices_world, sample.contact, settings)

    entries = []
    for plan in plan_shards(records, settings.samples_per_shard):
        entries += write_shard(shards, plan.name, [(row, members(row)) for row in plan.records])
    write_index(shards, entries)
    write_left_out(shards, [])


def repeat_predictions(source: Path, target: Path, keys: list[str], sources: list[int]) -> None:
    """The rows of every copy's image; metadata stay."""
    table = read_table(source, PREDICTION_SCHEMA).sort_by("key")
    extra = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
    extra = {name: value for name, value in extra.items() if name not in map(bytes.decode, PREDICTION_SCHEMA.metadata)}

    def parts() -> Iterator[pa.Table]:
        for start in range(0, len(keys), ROWS_PER_GROUP):
            rows = slice(start, start + ROWS_PER_GROUP)
            yield table.take(sources[rows]).set_column(0, PREDICTION_SCHEMA.field("key"), pa.array(keys[rows]))

    with table_writer(target, PREDICTION_SCHEMA, extra=extra, rows_per_group=ROWS_PER_GROUP) as writer:
        for part in parts():
            writer.write(part)


def main() -> int:
    """Make the split, score it, print what that took; nothing before ``make repro``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=int, default=IMAGES)
    args = parser.parse_args()
    if not (load_section("paths", Paths).predictions / DATASET / "sahmr.parquet").is_file():
        print("no predictions of the demo: run make repro first; nothing measured")
        return 0
    with tempfile.TemporaryDirectory(prefix="sahmr-bench-") as name:
        make(Path(name), args.images)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", WORKER, name], cwd=ROOT, env={**os.environ}, check=False)
        seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return done.returncode
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
    print(f"{args.images} images: {seconds:.1f} s, of processors {cpu:.1f} s, peak {peak:.2f} GB")
    figures = {"images": args.images, "seconds": round(seconds, 1), "cpu_s": round(cpu, 1), "peak_gb": round(peak, 2)}
    record(args.out, "python -m tests.benchmarks.evaluation", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
