"""Stage ``shards``: images, bodies and contact labels to WebDataset tars and their index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pipelines.parallel import map_ordered, worker_count
from pipelines.stage import log, parse_dataset, stage
from sahmr.data.publish import publish_folder
from sahmr.data.shard_files import ShardPlan, plan_shards, write_index, write_shard
from sahmr.data.shards import Shards, encode_sample
from sahmr.errors import ShardError
from sahmr.readers.base import Reader
from sahmr.readers.registry import open_reader
from sahmr.settings import Paths, Raw, load_section
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.shard import ShardEntry


def write_planned(plan: ShardPlan, *, reader: Reader, folder: Path, settings: Shards) -> list[ShardEntry]:
    """Read and encode the samples of one shard and write it; one task of the stage."""

    def samples() -> Iterator[dict[str, bytes]]:
        for record in plan.records:
            image, vertices = reader.read_image(record), reader.load_body_world(record)
            yield encode_sample(record, image, vertices, reader.load_contact(record), settings)

    return write_shard(folder, plan, samples())


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write every shard of a dataset; the folder appears when all are done."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, paths, raw = load_section("shards", Shards), load_section("paths", Paths), load_section("raw", Raw)
    table = paths.frames / f"{dataset}.parquet"
    if not table.is_file():
        raise ShardError(f"{table}: no frame table; make it with: dvc repro frames")
    plans = plan_shards(from_table(read_table(table, FRAME_SCHEMA), FrameRecord), section.samples_per_shard)
    reader = open_reader(dataset, raw.root(dataset), bodies=paths.bodies)
    with publish_folder(paths.shards / dataset) as folder:
        write = partial(write_planned, reader=reader, folder=folder, settings=section)
        written = map_ordered(write, plans, workers=worker_count(), label=f"shards {dataset}", unit="shard")
        entries = [entry for shard in written for entry in shard]
        write_index(folder, entries)
    counts = dict(sorted(Counter(entry.split for entry in entries).items()))
    size = sum(entry.length for entry in entries) / 1e6
    log.info("shards %s: %d shards, samples %s, %.1f MB", dataset, len(plans), counts, size)


if __name__ == "__main__":
    main()
