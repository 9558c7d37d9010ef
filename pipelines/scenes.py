"""Stage ``scenes``: scans to a Zarr store of voxel centres and distance fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipelines.parallel import map_ordered, worker_count
from pipelines.stage import log, parse_dataset, stage
from sahmr.data.publish import publish_folder
from sahmr.data.scene_store import Scenes, create_store, write_scene
from sahmr.errors import RawDataError
from sahmr.settings import Paths, Raw, load_section
from schemas.fields import from_table, read_table
from schemas.scene import SCENE_SCHEMA, SceneRecord


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write every scan the frames refer to; the store appears when all are done."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, paths, raw = load_section("scenes", Scenes), load_section("paths", Paths), load_section("raw", Raw)
    table = paths.frames / f"{dataset}_scenes.parquet"
    if not table.is_file():
        raise RawDataError(f"{table}: no scene table; make it with: dvc repro frames")
    records = from_table(read_table(table, SCENE_SCHEMA), SceneRecord)
    with publish_folder(paths.scenes / f"{dataset}.zarr") as store:
        create_store(store, dataset)
        write = partial(write_scene, store=store, raw_root=raw.root(dataset), settings=section)
        label = f"scenes {dataset}"
        receipts = list(map_ordered(write, records, workers=worker_count(), label=label, unit="scene"))
    coarser = [receipt.scene_key for receipt in receipts if receipt.is_coarsened]
    log.info(
        "scenes %s: %d scenes, %d points, %d distance samples, coarser grid than asked: %s",
        dataset,
        len(receipts),
        sum(receipt.num_points for receipt in receipts),
        sum(receipt.num_samples for receipt in receipts),
        ", ".join(coarser) or "none",
    )


if __name__ == "__main__":
    main()
