"""Stage ``shards``: images, bodies and contact labels to WebDataset tars and their index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.conversion.lock import one_at_a_time
from pipelines.conversion.parallel import Parallel
from pipelines.conversion.pieces import Conversion, Made, Planned, quarantine
from pipelines.stage import log, parse_dataset, stage
from sahmr.errors import RawDataError
from sahmr.files import file_sha256, folder_digest, publish_folder
from sahmr.raw import raw_root
from sahmr.readers.base import Reader
from sahmr.readers.registry import open_reader
from sahmr.settings import Paths, load_section
from sahmr.shards.encode import ENCODED_FIELDS, Shards, encode_sample, plan_crop
from sahmr.shards.left_out import write_left_out
from sahmr.shards.write import ShardPlan, plan_shards, write_index, write_shard
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.quarantine import Quarantined
from schemas.shard import ShardEntry

VERSION = 3  # of a piece's bytes


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
    facts = {"entries": [asdict(entry) for entry in entries], "quarantined": [asdict(row) for row in quarantined]}
    return Made(facts=facts, quarantined=tuple(quarantined))


def piece_inputs(plan: ShardPlan) -> list[Any]:
    """What decides a shard's bytes of its plan: its name, and of each record the fields that are read for it."""
    return [plan.name, [[getattr(record, name) for name in ENCODED_FIELDS] for record in plan.records]]


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
        if not path.is_file() or file_sha256(path) != sha256:
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
    table = paths.frames / f"{dataset}.parquet"
    plans = plan_shards(from_table(read_table(table, FRAME_SCHEMA), FrameRecord), settings.samples_per_shard)
    root, bodies = raw.resolve(), paths.bodies.resolve()
    reader = open_reader(dataset, root, bodies=bodies)
    work = Conversion("shards", VERSION, dataset, settings, paths, reads=(root, bodies), workers=parallel.workers)
    context = [folder_digest(bodies), [file_sha256(path) for path in reader.shared_files()]]
    planned = [Planned(item=plan, inputs=[context, *piece_inputs(plan)]) for plan in plans]
    receipts = work.run(planned, partial(write_planned, reader=reader, settings=settings), unit="shard")
    made = [receipt for receipt in receipts if receipt is not None]
    entries = [ShardEntry(**row) for receipt in made for row in receipt.facts["entries"]]
    left_out = [Quarantined(**row) for receipt in made for row in receipt.facts["quarantined"]]
    with publish_folder(paths.shards / dataset) as folder:
        for receipt in made:
            work.store.link("shards", receipt, folder)
        write_index(folder, entries)
        write_left_out(folder, left_out)
    counts = dict(sorted(Counter(entry.split for entry in entries).items()))
    log.info("shards %s: samples %s, left out %d", dataset, counts, len(left_out))


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read section ``shards`` and run the stage."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, paths = load_section("shards", Shards), load_section("paths", Paths)
    run(dataset, section, paths, load_section("parallel", Parallel), raw=raw_root(dataset))


if __name__ == "__main__":
    main()
