"""Tool: turn another method's meshes into a predictions table, so that ``evaluate`` scores them beside ours."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.evaluate import Evaluate
from pipelines.manifests import manifest_beside
from pipelines.stage import log, stage
from sahmr.batches.dataset import SampleDataset
from sahmr.body.topology import load_topology
from sahmr.datasets import CARDS
from sahmr.errors import ShardError
from sahmr.files import file_sha256, remove_manifest, write_manifest
from sahmr.scores.foreign import ForeignMeshes, check_depths, mesh_camera, read_meshes
from sahmr.scores.predictions import BASELINE, check_keys, check_name
from sahmr.settings import Paths, load_section
from sahmr.shards.crop import crop_box
from schemas.prediction import PREDICTION_SCHEMA, ROWS_PER_GROUP, SPLIT, prediction_table
from schemas.tables_write import table_writer

_STAGES = ("sahmr", BASELINE)  # whose tables are outputs of stages


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``predictions/<dataset>/<name>.parquet``; an existing file is never replaced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=sorted(CARDS), required=True)
    parser.add_argument("--source", type=Path, required=True, help=".npz or .parquet with 6890 vertices per key")
    parser.add_argument("--name", required=True, help="of the method, e.g. other")
    given = parser.parse_args(argv)
    run(given.dataset, given.source, given.name, load_section("evaluate", Evaluate).split, load_section("paths", Paths))


def run(dataset: str, source: Path, name: str, split: str, paths: Paths) -> None:
    """Check all that can be wrong, then write the table.

    Args:
        dataset: whose person-images.
        source: see :func:`sahmr.scores.foreign.read_meshes`.
        name: of the method.
        split: must be covered, no more and no less.
        paths: shards, scenes, bodies and predictions.

    Raises:
        RawDataError: if the file is not what it should be, or its meshes are in another frame than it says.
        ShardError: if the name is taken or not allowed, the keys are not those of the split, or shards are damaged.
    """
    output = paths.predictions / dataset / f"{name}.parquet"
    check_name(name, source="--name")
    if name in _STAGES or output.exists():
        raise ShardError(f"{output}: {name!r} is taken; choose another --name, or remove the file")
    samples = SampleDataset(paths.shards / dataset, paths.scenes / f"{dataset}.zarr", split)
    meshes, keys = read_meshes(source), samples.entries.table.column("key")
    check_keys(meshes.keys, keys, source=str(source))
    rows = pc.index_in(keys, value_set=meshes.keys.combine_chunks()).to_numpy()
    _check_frame(source, meshes, samples, rows)
    pelvis = load_topology(paths.bodies).joint_regressor[0].double().numpy()
    extra = {SPLIT: split, "sahmr.source": source.name, "sahmr.source_sha256": file_sha256(source)}
    with table_writer(output, PREDICTION_SCHEMA, extra=extra, rows_per_group=ROWS_PER_GROUP) as writer:
        for start in range(0, len(rows), ROWS_PER_GROUP):
            writer.write(_table(meshes, samples, rows, range(start, min(start + ROWS_PER_GROUP, len(rows))), pelvis))
        remove_manifest(manifest_beside(output))
    write_manifest(manifest_beside(output), [output.name], stage="import_predictions", dataset=dataset)
    log.info(
        "%s: %d person-images of split %s; score them with: dvc repro evaluate@%s", output, len(rows), split, dataset
    )


def _check_frame(source: Path, meshes: ForeignMeshes, samples: SampleDataset, rows: np.ndarray) -> None:
    def depths() -> Iterator[float]:
        for number, row in enumerate(rows):
            middle = meshes.vertices[row].mean(axis=0, keepdims=True)
            yield mesh_camera(middle, meshes.frame, samples.reader.geometry(samples.entries[number]))[0, 2]

    check_depths(source, meshes.frame, np.fromiter(depths(), dtype=np.float64, count=len(rows)))


def _table(
    meshes: ForeignMeshes, samples: SampleDataset, rows: np.ndarray, numbers: range, pelvis: np.ndarray
) -> pa.Table:
    """Meshes in the camera frame, rooted at their own pelvis, touching nothing."""
    frames = [samples.reader.geometry(samples.entries[number]) for number in numbers]
    vertices = np.stack(
        [
            mesh_camera(meshes.vertices[rows[number]], meshes.frame, frame)
            for number, frame in zip(numbers, frames, strict=True)
        ]
    )
    roots = np.einsum("v,nvc->nc", pelvis, vertices)
    return prediction_table(
        [frame.key for frame in frames],
        crop_box=np.stack([crop_box(frame.person_box) for frame in frames]),
        initial_root=roots,
        root=roots,
        vertices=vertices,
        contact_count=np.zeros(len(frames), dtype=np.int32),
        contact_points=np.zeros((0, 3), dtype=np.float32),
        contact_parts=np.zeros(0, dtype=np.int32),
    )


if __name__ == "__main__":
    main()
