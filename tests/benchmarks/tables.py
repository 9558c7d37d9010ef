"""Memory of every table operation at 10^6 fabricated rows, each in a process of its own. Part of ``make bench``.

The frame table is merged from pieces, shards are planned from it, their index is put together, written, read and
checked, scores are written and summed, the catalog counts. A predictions table has 84 kB a row: 5 000 and 20 000 rows
show that its writer and reader do not grow. Prints peak memory and seconds; a process that only imports is there to
compare with.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.benchmarks.figures import record

ROWS, PIECE, SHARD, BATCH = 10**6, 2000, 128, 8
FEW, MANY = 5_000, 20_000  # predictions
DATASET = "rich"
PLACE = {"predictor": "sahmr", "scene": "Gym", "posture": "lying"}


def texts(draw: np.random.Generator, count: int) -> list[str]:
    """Stand-ins for SHA-256, which do not compress."""
    data = draw.bytes(32 * count).hex()
    return [data[64 * row : 64 * row + 64] for row in range(count)]


def frames_of(start: int, count: int) -> pa.Table:
    """Rows of a sequence with seven cameras; keys ascend."""
    from schemas.frame import FRAME_SCHEMA

    draw = np.random.default_rng(start)
    sequence = f"ParkingLot{start // PIECE:05d}_007_overfence"
    keys = [f"{sequence}_{row // 7:05d}_{row % 7:02d}" for row in range(count)]
    columns = {
        **{name: pa.array(texts(draw, count)) for name in ("image_sha256", "body_sha256", "contact_sha256")},
        **{name: pa.array([f"{name}/train/{key}.file" for key in keys]) for name in ("image_file", "body_file")},
        "contact_file": pa.array([f"human_scene_contact/train/{key}.pkl" for key in keys]),
        "key": pa.array(keys),
        "frame": pa.array(range(count), pa.int32()),
        "mirrored": pa.array([False] * count),
    }
    fixed = {"dataset": DATASET, "split": "train", "sequence": sequence, "subject": "007", "gender": "male",
             "box_source": "body", "scene_key": "ParkingLot2_scan_camcoord"}  # fmt: skip
    columns |= {name: pa.array([text] * count) for name, text in fixed.items()}
    for field in FRAME_SCHEMA:
        if pa.types.is_fixed_size_list(field.type):
            values = pa.array(draw.random(count * field.type.list_size))
            columns[field.name] = pa.FixedSizeListArray.from_arrays(values, type=field.type)
        elif field.name not in columns:
            columns[field.name] = pa.array(draw.integers(1, 5000, count), pa.int32())
    return pa.Table.from_pydict(columns, schema=FRAME_SCHEMA)


def fabricate(folder: Path) -> None:
    """Pieces of the frame table, two rows of scenes."""
    from schemas.tables_write import write_table

    for start in range(0, ROWS, PIECE):
        write_table(folder / f"pieces/{start}", frames_of(start, PIECE))


def imports(_: Path) -> None:
    """Nothing but the modules of the stages."""
    import pipelines.evaluate
    import pipelines.frames
    import pipelines.predict
    import pipelines.shards  # noqa: F401


def merge_frames(folder: Path) -> None:
    from pipelines.frames import count_splits, publish
    from schemas.scene import SCENE_SCHEMA

    pieces = sorted((folder / "pieces").iterdir(), key=lambda path: int(path.name))
    assert count_splits(pieces) == {"train": ROWS}
    publish(folder / f"frames/{DATASET}.parquet", pieces, SCENE_SCHEMA.empty_table(), DATASET)


def plan(folder: Path) -> None:
    from pipelines.shards import INDEX_COLUMNS, piece_inputs
    from sahmr.shards.write import ShardPlan, deal
    from schemas.fields import read_table
    from schemas.frame import FRAME_SCHEMA, FrameRecord
    from schemas.stored import StoredRows

    table = folder / f"frames/{DATASET}.parquet"
    frames = read_table(table, FRAME_SCHEMA, INDEX_COLUMNS)
    plans = [
        ShardPlan(name=name, records=StoredRows(table, FRAME_SCHEMA, FrameRecord, rows))
        for name, rows in deal(frames, SHARD)
    ]
    assert sum(len(one.records) for one in plans) == ROWS
    inputs = [piece_inputs(one) for one in plans]
    assert len(inputs) == len(plans)


def write_index(folder: Path) -> None:
    from pipelines.shards import INDEX_COLUMNS, index_table
    from sahmr.shards.write import deal
    from schemas.fields import read_table
    from schemas.frame import FRAME_SCHEMA
    from schemas.shard import SHARD_INDEX_SCHEMA
    from schemas.tables_write import table_writer

    frames = read_table(folder / f"frames/{DATASET}.parquet", FRAME_SCHEMA, INDEX_COLUMNS)
    made, draw = [], np.random.default_rng(0)
    for name, rows in deal(frames, SHARD):
        ends = (np.arange(1, len(rows) + 1) * 51200).tolist()
        facts = {"ends": ends, "sha256": "".join(texts(draw, len(rows))), "crc32c": [7] * len(rows), "quarantined": []}
        made.append((name, rows, facts))
        path = folder / "shards" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(ends[-1] + 1024)
    with table_writer(folder / "shards/index.parquet", SHARD_INDEX_SCHEMA) as writer:
        writer.write(index_table(frames, made))


def read_index(folder: Path) -> None:
    from sahmr.shards.reader import read_index

    start = time.perf_counter()
    index = read_index(folder / "shards")
    assert len(index) == ROWS and index[ROWS - 1].length == 51200
    print(f"  opened and checked in {time.perf_counter() - start:.2f} s")


def catalog(folder: Path) -> None:
    from catalog.scan import Artifact, scan

    paths = (folder / f"frames/{DATASET}.parquet", folder / "shards/index.parquet")
    entries = list(scan(Artifact(path=path, stage="frames", dataset=DATASET, kind="table") for path in paths))
    assert [entry.rows for entry in entries] == [ROWS, ROWS]


def scores(folder: Path) -> None:
    from sahmr.scores.breakdown import break_down
    from sahmr.scores.summary import Tally, summarise
    from schemas.metric import METRIC_NAMES, METRIC_SCHEMA
    from schemas.tables_write import table_writer

    tally = Tally(("sahmr",))
    with table_writer(folder / "scores.parquet", METRIC_SCHEMA) as writer:
        for start in range(0, ROWS, PIECE):
            rows = np.arange(start, start + PIECE)
            columns: dict[str, object] = {
                **{name: (rows % 97 + place).astype(float) for place, name in enumerate(METRIC_NAMES)},
                **{"key": [f"k{row:09d}" for row in rows], "sequence": [f"s{row // 5000}" for row in rows]},
                **{name: [text] * PIECE for name, text in PLACE.items()},
                "camera": rows % 7, "distance_m": rows % 12 + 0.5, "occluded_ratio": rows % 4 / 4,
            }  # fmt: skip
            table = pa.Table.from_pydict(columns, schema=METRIC_SCHEMA)
            writer.write(table)
            tally.add(table)
    assert summarise(tally.cells())["sahmr"]["frames"] == ROWS
    assert len(break_down(tally, {})["groups"]["sequence"]) == ROWS // 5000


def write_predictions(folder: Path, rows: int) -> None:
    from schemas.prediction import PREDICTION_SCHEMA, ROWS_PER_GROUP, SPLIT, prediction_table
    from schemas.tables_write import table_writer

    draw, path = np.random.default_rng(0), folder / f"predictions/{rows}.parquet"
    with table_writer(path, PREDICTION_SCHEMA, extra={SPLIT: "test"}, rows_per_group=ROWS_PER_GROUP) as writer:
        for start in range(0, rows, BATCH):
            table = prediction_table(
                [f"k{row:09d}" for row in range(start, start + BATCH)],
                crop_box=draw.random((BATCH, 4)),
                initial_root=draw.random((BATCH, 3)),
                root=draw.random((BATCH, 3)),
                vertices=draw.random((BATCH, 6890, 3), dtype=np.float32),
                contact_count=np.full(BATCH, 100),
                contact_points=draw.random((BATCH * 100, 3)),
                contact_parts=draw.integers(1, 8, BATCH * 100),
            )
            writer.write(table)


def read_predictions(folder: Path, rows: int) -> None:
    from sahmr.scores.predictions import read_predictions

    keys = pa.chunked_array([[f"k{row:09d}" for row in range(rows)]])
    found = read_predictions(folder / f"predictions/{rows}.parquet", "test", keys)
    assert found is not None
    for start in range(0, rows, BATCH):
        assert found.of(range(start, start + BATCH)).meshes.shape == (BATCH, 6890, 3)


OPERATIONS: dict[str, Callable[[Path], None]] = {
    "imports": imports,
    "fabricate": fabricate,
    "frames": merge_frames,
    "plan shards": plan,
    "write index": write_index,
    "read index": read_index,
    "scores": scores,
    "catalog": catalog,
    "predict 5000": lambda folder: write_predictions(folder, FEW),
    "predict 20000": lambda folder: write_predictions(folder, MANY),
    "evaluate 5000": lambda folder: read_predictions(folder, FEW),
    "evaluate 20000": lambda folder: read_predictions(folder, MANY),
}


def main() -> None:
    """Run every operation in a process of its own, or one of them in this one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operation", choices=OPERATIONS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.operation:
        start = time.perf_counter()
        OPERATIONS[args.operation](args.folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{args.operation:<16}{peak:8.2f} GB{time.perf_counter() - start:8.1f} s", flush=True)
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in OPERATIONS:
            command = [sys.executable, "-m", "tests.benchmarks.tables", "--operation", name, "--folder", folder]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(line, end="", flush=True)
            gigabytes, seconds = line.splitlines()[-1][16:].replace("GB", "").replace("s", "").split()
            found[name] = {"peak_gb": float(gigabytes), "seconds": float(seconds)}
    record(args.out, "python -m tests.benchmarks.tables", {"rows": ROWS, "operations": found})


if __name__ == "__main__":
    main()
