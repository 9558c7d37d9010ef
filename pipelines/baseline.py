"""Stage ``baseline``: predict the training split's mean body, in the middle of every crop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from torch import Tensor

from pipelines.conversion.parallel import Parallel
from pipelines.manifests import manifest_beside
from pipelines.stage import log, parse_dataset, stage
from sahmr.baseline import Means, cameras_of, mean_body, middle_roots
from sahmr.body.stored import body_columns
from sahmr.body.topology import load_topology
from sahmr.errors import ShardError
from sahmr.files import remove_manifest, write_manifest
from sahmr.scenes.arrays import left_out_scenes
from sahmr.settings import Paths, Split, load_section, settings
from sahmr.shards.reader import ShardReader, read_index
from sahmr.structures import Camera
from schemas.fields import Rows
from schemas.prediction import PREDICTION_SCHEMA, ROWS_PER_GROUP, SPLIT, prediction_table
from schemas.shard import ShardEntry
from schemas.tables_write import table_writer


@settings
class Baseline:
    """Section ``baseline`` of params.yaml.

    Attributes:
        split: which samples are predicted; the mean is always that of the data set's own split ``train``.
    """

    split: Split


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``predictions/<dataset>/baseline.parquet``."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    run(dataset, load_section("baseline", Baseline), load_section("paths", Paths), load_section("parallel", Parallel))


def run(dataset: str, section: Baseline, paths: Paths, parallel: Parallel) -> None:
    """Predict every person-image of a split, in the order of the keys; without training bodies, none.

    Args:
        dataset: its shards hold both splits.
        section: which split.
        paths: shards, scenes (whose left-out ones have no samples), bodies and predictions.
        parallel: as every stage takes it; one process reads the split once, without its pictures.

    Raises:
        ShardError, StoreError: if shards or scenes are missing or damaged, or the split has no samples.
    """
    folder, without = paths.shards / dataset, left_out_scenes(paths.scenes / f"{dataset}.zarr")
    entries = read_index(folder).table
    entries = entries.filter(pc.invert(pc.is_in(entries.column("scene_key"), value_set=pa.array(without, pa.string()))))
    chosen, training = (_of_split(entries, split) for split in (section.split, "train"))
    if not chosen:
        found = sorted(pc.unique(entries.column("split").cast(pa.string())).to_pylist())
        raise ShardError(f"{folder}: no samples of split '{section.split}', the index has {found}; choose one of these")
    reader = ShardReader(folder)
    regressor = load_topology(paths.bodies).joint_regressor
    means = mean_body(map(reader.geometry, training), regressor)
    path = paths.predictions / dataset / "baseline.parquet"
    extra = {SPLIT: section.split}
    with table_writer(path, PREDICTION_SCHEMA, extra=extra, rows_per_group=ROWS_PER_GROUP) as writer:
        for rows in _runs(chosen) if means is not None else ():
            assert means is not None
            keys = [entry.key for entry in rows]
            writer.write(_predict(means, regressor, keys, cameras_of(map(reader.geometry, rows))))
        remove_manifest(manifest_beside(path))
    write_manifest(manifest_beside(path), [path.name], stage="baseline", dataset=dataset)
    if means is None:
        log.info("baseline %s: no ground truth in split train, so there is no baseline", dataset)
    else:
        log.info("baseline %s: mean body of split train, for %d person-images", dataset, len(chosen))


def _of_split(entries: pa.Table, split: str) -> Rows[ShardEntry]:
    return Rows(entries.filter(pc.equal(entries.column("split"), split)).combine_chunks(), ShardEntry)


def _runs(entries: Rows[ShardEntry]) -> Iterator[Rows[ShardEntry]]:
    """As many at a time as a row group holds."""
    for start in range(0, len(entries), ROWS_PER_GROUP):
        yield entries[start : start + ROWS_PER_GROUP]


def _predict(means: Means, joint_regressor: Float[Tensor, "17 6890"], keys: Sequence[str], camera: Camera) -> pa.Table:
    """The mean mesh on the ray through each crop's middle, touching nothing."""
    roots = middle_roots(means.scaled_depth, camera).float()
    vertices = means.mesh.float() + roots[:, None]
    return prediction_table(
        keys,
        crop_box=camera.crop_box.numpy(),
        initial_root=roots.numpy(),
        root=roots.numpy(),
        vertices=vertices.numpy(),
        contact_count=np.zeros(len(keys), dtype=np.int32),
        contact_points=np.zeros((0, 3), dtype=np.float32),
        contact_parts=np.zeros(0, dtype=np.int32),
        known=body_columns(camera.camera_from_world.numpy(), roots.numpy(), vertices.numpy(), joint_regressor.numpy()),
    )


if __name__ == "__main__":
    main()
