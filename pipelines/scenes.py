"""Stage ``scenes``: scans to a Zarr store of voxel centres and distance fields."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pipelines.conversion.lock import one_at_a_time
from pipelines.conversion.parallel import Parallel
from pipelines.conversion.pieces import Conversion, Made, Planned, quarantine
from pipelines.manifests import manifest_beside
from pipelines.stage import log, parse_dataset, stage
from sahmr.errors import RawDataError
from sahmr.files import publish_folder, remove_manifest, write_manifest
from sahmr.raw import raw_root
from sahmr.scenes.build import Scenes, create_store, write_scene
from sahmr.settings import Paths, load_section
from schemas.fields import from_table, read_table
from schemas.scene import SCENE_SCHEMA, SceneRecord

VERSION = 2  # of a piece's bytes
_GROUP = "scene"


def convert_scene(
    record: SceneRecord, folder: Path, *, raw_root: Path, settings: Scenes, others: Sequence[SceneRecord]
) -> Made:
    """Write one scan as a Zarr group; one task of the stage."""
    store = folder / "store"
    try:
        create_store(store, record.dataset)
        receipt = write_scene(record, store=store, raw_root=raw_root, settings=settings, others=others)
    except RawDataError as error:
        named = (
            ("scan", record.scan_file),
            ("distance field", record.sdf_file),
            ("distance field", record.sdf_info_file),
        )
        inputs = [(rule, raw_root / name) for rule, name in named if name is not None]
        row = quarantine(error, item=record.scene_key, split="", inputs=inputs, root=raw_root)
        return Made(facts=None, quarantined=(row,))
    (store / record.scene_key).rename(folder / _GROUP)
    shutil.rmtree(store)
    return Made(facts=asdict(receipt))


@one_at_a_time("scenes")
def run(dataset: str, settings: Scenes, paths: Paths, parallel: Parallel, *, raw: Path) -> None:
    """Write every scan the frames refer to; the store appears when all are done.

    Args:
        dataset: name of its card.
        settings, paths, parallel: sections of params.yaml.
        raw: root of the dataset's tree.

    Raises:
        SchemaError: if there is no scene table, or it is not what it must be.
        QuarantineError: if more files are damaged than ``settings`` allow.
    """
    table = paths.frames / f"{dataset}_scenes.parquet"
    records = from_table(read_table(table, SCENE_SCHEMA), SceneRecord)
    root = raw.resolve()
    work = Conversion("scenes", VERSION, dataset, settings, paths, reads=(root,), workers=parallel.workers)
    planned = [Planned(item=record, inputs=asdict(record)) for record in records]
    make = partial(convert_scene, raw_root=root, settings=settings, others=records)
    receipts = work.run(planned, make, unit="scene")
    made = {record.scene_key: receipt for record, receipt in zip(records, receipts, strict=True) if receipt is not None}
    final = paths.scenes / f"{dataset}.zarr"
    with publish_folder(final) as store:
        create_store(store, dataset, left_out={record.scene_key for record in records} - set(made))
        for key, receipt in made.items():
            work.store.link("scenes", receipt, store / key, below=_GROUP)
        remove_manifest(manifest_beside(final))
    write_manifest(manifest_beside(final), [final.name], stage="scenes", dataset=dataset)
    facts = [receipt.facts for receipt in made.values()]
    log.info(
        "scenes %s: %d scenes, %d points, %d distance samples, coarser grid than asked: %s, "
        "edges whose faces disagree about their front: %s",
        dataset,
        len(made),
        sum(fact["num_points"] for fact in facts),
        sum(fact["num_samples"] for fact in facts),
        ", ".join(fact["scene_key"] for fact in facts if fact["is_coarsened"]) or "none",
        ", ".join(f"{fact['scene_key']} {fact['num_flipped_edges']}" for fact in facts if fact["num_flipped_edges"])
        or "none",
    )


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read section ``scenes`` and run the stage."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, paths = load_section("scenes", Scenes), load_section("paths", Paths)
    run(dataset, section, paths, load_section("parallel", Parallel), raw=raw_root(dataset))


if __name__ == "__main__":
    main()
