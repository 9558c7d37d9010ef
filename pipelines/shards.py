"""Stage ``shards``: images, bodies and contact labels to WebDataset tars and their index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pipelines.environment  # noqa: F401  # before numpy loads

# isort: split
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from numpy import ndarray

from pipelines.conversion.lock import one_at_a_time
from pipelines.conversion.parallel import Parallel
from pipelines.conversion.pieces import Conversion, Made, Planned, quarantine
from pipelines.stage import log, parse_dataset, stage
from sahmr.body.model import SMPL_FILE
from sahmr.errors import RawDataError
from sahmr.files import MANIFEST_NAME, file_sha256, folder_digest, kept_sha256, publish_folder, write_manifest
from sahmr.raw import raw_root
from sahmr.readers.base import Reader
from sahmr.readers.registry import open_reader
from sahmr.settings import Paths, load_section
from sahmr.shards.encode import ENCODED_FIELDS, Shards, encode_sample, plan_crop
from sahmr.shards.left_out import write_left_out
from sahmr.shards.reader import INDEX_NAME
from sahmr.shards.write import PLAN_COLUMNS, ShardPlan, deal, write_shard
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.quarantine import Quarantined
from schemas.shard import SHARD_INDEX_SCHEMA
from schemas.stored import StoredRows
from schemas.tables_write import table_writer

VERSION = 5  # of a piece's bytes; 5: receipts have CRC-32C, the tars are those of 4
INDEX_COLUMNS = (*PLAN_COLUMNS, "scene_key", "body_file", "contact_file")


def write_planned(plan: ShardPlan, folder: Path, *, reader: Reader, settings: Shards) -> Made:
    """Read and encode the samples of one shard and write it; one task of the stage."""
    samples: list[tuple[FrameRecord, dict[str, bytes]]] = []
    quarantined: list[Quarantined] = []
    for record in plan.records:
        try:
            samples.append((record, _encode(record, reader, settings)))
        except (RawDataError, OSError) as error:
            inputs = [(rule, path) for rule, path, _ in _inputs(record, reader.root)]
            quarantined.append(quarantine(error, item=record.key, split=record.split, inputs=inputs, root=reader.root))
    entries = write_shard(folder, plan.name, samples) if samples else []
    facts = {  # few and flat: a run over 10^7 samples holds them all
        "ends": [entry.offset + entry.length for entry in entries],
        "crc32c": [entry.crc32c for entry in entries],
        "quarantined": [asdict(row) for row in quarantined],
        "sha256": "".join(entry.sha256 for entry in entries),
        "shard_sha256": file_sha256(folder / plan.name) if entries else "",
    }
    return Made(facts=facts, quarantined=tuple(quarantined))


def piece_inputs(plan: ShardPlan) -> list[Any]:
    """What decides a shard's bytes of its plan: its name, and of each record the fields that are read for it."""
    fields = [[getattr(record, name) for name in ENCODED_FIELDS] for record in plan.records]
    return [plan.name, hashlib.sha256(json.dumps(fields).encode()).hexdigest()]


def index_table(frames: pa.Table, made: Iterable[tuple[str, Int[ndarray, " rows"], Mapping[str, Any]]]) -> pa.Table:
    """The index, sorted by key: the rows of the frame table that lie in some shard, and where they lie.

    Args:
        frames: ``INDEX_COLUMNS`` of the frame table.
        made: of each shard its name, the rows it was planned of, and the facts of its receipt.
    """
    shard, offset, length = np.full(len(frames), -1, np.int32), *(np.zeros(len(frames), np.int64) for _ in range(2))
    sha256, crc32c = np.zeros(len(frames), "S64"), np.zeros(len(frames), np.int64)
    names: list[str] = []
    for name, planned, facts in made:
        rows, ends = planned, np.array(facts["ends"], dtype=np.int64)
        if facts["quarantined"]:
            left_out = {row["item"] for row in facts["quarantined"]}
            keys = frames.column("key").take(pa.array(planned)).to_pylist()
            rows = planned[[key not in left_out for key in keys]]
        shard[rows], offset[rows], length[rows] = len(names), ends - np.diff(ends, prepend=0), np.diff(ends, prepend=0)
        sha256[rows], crc32c[rows] = np.frombuffer(facts["sha256"].encode(), "S64"), facts["crc32c"]
        names.append(name)
    columns = {
        **{column: frames.column(column) for column in ("key", "split", "sequence", "scene_key")},
        "shard": pa.DictionaryArray.from_arrays(pa.array(shard, mask=shard < 0), pa.array(names, pa.string())),
        "offset": offset,
        "length": length,
        "sha256": pa.array(sha256).cast(pa.string()),
        "has_body": pc.is_valid(frames.column("body_file")),
        "has_contact": pc.is_valid(frames.column("contact_file")),
        "crc32c": crc32c,
    }
    place, names_once = SHARD_INDEX_SCHEMA.get_field_index("shard"), pa.dictionary(pa.int32(), pa.string())
    kinds = SHARD_INDEX_SCHEMA.set(place, SHARD_INDEX_SCHEMA.field(place).with_type(names_once))
    there = pa.table([columns[name] for name in kinds.names], schema=kinds)
    found = there if (shard >= 0).all() else there.filter(pa.array(shard >= 0))
    order = pc.sort_indices(found.column("key"))
    return found if np.array_equal(order, np.arange(len(order))) else found.take(order)  # stage frames sorts them


def _inputs(record: FrameRecord, root: Path) -> list[tuple[str, Path, str | None]]:
    """What each file of a record is, where it lies, and its SHA-256 when stage frames ran."""
    named = (
        ("image", record.image_file, record.image_sha256),
        ("body", record.body_file, record.body_sha256),
        ("contact", record.contact_file, record.contact_sha256),
    )
    return [(rule, root / name, sha256) for rule, name, sha256 in named if name is not None]


def _encode(record: FrameRecord, reader: Reader, settings: Shards) -> dict[str, bytes]:
    """One sample from exactly the files its record was made from."""
    for rule, path, sha256 in _inputs(record, reader.root):
        if not path.is_file() or kept_sha256(path) != sha256:
            raise RawDataError(f"{path}: {rule} gone or changed since stage frames ran; run: dvc repro frames")
    crop, vertices = plan_crop(record, settings), None
    if record.body_file is not None:
        vertices = reader.load_body_world(record)
    image = reader.read_image(record, crop.region, crop.divisor)
    return encode_sample(record, image, vertices, reader.load_contact(record), settings)


@one_at_a_time("shards")
def run(dataset: str, settings: Shards, paths: Paths, parallel: Parallel, *, raw: Path) -> None:
    """Write every shard of a dataset; the folder appears when all are done.

    Args:
        dataset: name of its card.
        settings, paths, parallel: sections of params.yaml.
        raw: root of the dataset's tree.

    Raises:
        SchemaError, ShardError: if there is no frame table, or it is not what it must be.
        QuarantineError: if more files are damaged than ``settings`` allow.
    """
    table = (paths.frames / f"{dataset}.parquet").resolve()
    frames = read_table(table, FRAME_SCHEMA, INDEX_COLUMNS)
    dealt = deal(frames, settings.samples_per_shard)
    plans = [ShardPlan(name=name, records=StoredRows(table, FRAME_SCHEMA, FrameRecord, rows)) for name, rows in dealt]
    root, bodies = raw.resolve(), paths.bodies.resolve()
    reader = open_reader(dataset, root, bodies=bodies)
    reads = (root, bodies, table.parent)
    work = Conversion("shards", VERSION, dataset, settings, paths, reads=reads, workers=parallel.workers)
    context = [
        folder_digest(bodies, without=(MANIFEST_NAME, SMPL_FILE)),
        [file_sha256(path) for path in reader.shared_files()],
    ]
    planned = [Planned(item=plan, inputs=[context, *piece_inputs(plan)]) for plan in plans]
    receipts = work.run(planned, partial(write_planned, reader=reader, settings=settings), unit="shard")
    made = [(*plan, receipt) for plan, receipt in zip(dealt, receipts, strict=True) if receipt is not None]
    index = index_table(frames, ((name, rows, receipt.facts) for name, rows, receipt in made))
    left_out = [Quarantined(**row) for _, _, receipt in made for row in receipt.facts["quarantined"]]
    with publish_folder(paths.shards / dataset) as folder:
        for _, _, receipt in made:
            work.store.link("shards", receipt, folder)
        with table_writer(folder / INDEX_NAME, SHARD_INDEX_SCHEMA) as writer:
            writer.write(index)
        write_left_out(folder, left_out)
        known = {name: receipt.facts["shard_sha256"] for name, _, receipt in made}
        write_manifest(folder / MANIFEST_NAME, stage="shards", dataset=dataset, known=known)
    counts = {row["values"]: row["counts"] for row in index.column("split").value_counts().to_pylist()}
    log.info("shards %s: samples %s, left out %d", dataset, dict(sorted(counts.items())), len(left_out))


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read section ``shards`` and run the stage."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, paths = load_section("shards", Shards), load_section("paths", Paths)
    run(dataset, section, paths, load_section("parallel", Parallel), raw=raw_root(dataset))


if __name__ == "__main__":
    main()
