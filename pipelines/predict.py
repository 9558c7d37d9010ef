"""Stage ``predict``: run a trained network over a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import pyarrow as pa
from tqdm import tqdm

from pipelines.conversion.parallel import Parallel
from pipelines.stage import log, parse_dataset, stage
from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.body.topology import load_topology
from sahmr.files import file_sha256
from sahmr.inference import predict_tables
from sahmr.network.precision import Precision
from sahmr.settings import Between, ModelFile, Paths, Split, load_section, settings
from sahmr.training.build import prepare_torch
from sahmr.training.checkpoint import behaviour_values, read_checkpoint
from sahmr.training.restore import network_of
from schemas.fields import write_table
from schemas.prediction import SPLIT


@settings
class Predict:
    """Section ``predict`` of params.yaml.

    Attributes:
        checkpoint: of train_sahmr, or a released one, raw or converted, from ``paths.models`` on; runs with the
            behaviour stored in it.
        split: which samples.
        batch_size: as usual; changes the last bits of a prediction at most.
        sparse_backend: which code runs the sparse convolutions.
        precision: bfloat16 is meant for GPUs; what it costs in accuracy: docs/speed.md.
    """

    checkpoint: ModelFile
    split: Split
    batch_size: Annotated[int, Between(1, 1024)]
    sparse_backend: Literal["native", "torchsparse", "auto"]
    precision: Precision


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``predictions/<dataset>/sahmr.parquet``."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    run(dataset, load_section("predict", Predict), load_section("paths", Paths), load_section("parallel", Parallel))


def run(dataset: str, section: Predict, paths: Paths, parallel: Parallel) -> None:
    """Predict every person-image of a split, in the order of the keys.

    Raises:
        CheckpointError: if the checkpoint is no whole network.
        ShardError, StoreError: if shards or scenes are missing or damaged, or the split has no samples.
    """
    device = prepare_torch(parallel.threads)
    file = paths.model(section.checkpoint, "predict.checkpoint")
    checkpoint = read_checkpoint(file)
    network = network_of(checkpoint, load_topology(paths.bodies), backend=section.sparse_backend, source=str(file)).to(
        device
    )
    behaviour = ", ".join(f"{name} {value}" for name, value in behaviour_values(checkpoint.behaviour).items())
    log.info(
        "predict %s: %s, stage %s, size %s; %s",
        dataset,
        file,
        checkpoint.stage,
        checkpoint.size,
        behaviour,
    )
    samples = SampleDataset(paths.shards / dataset, paths.scenes / f"{dataset}.zarr", section.split)
    loader = make_loader(samples, batch_size=section.batch_size, num_workers=parallel.loaders)
    bar = tqdm(loader, desc=f"predict {dataset}", unit="batch", disable=None)
    table = pa.concat_tables(predict_tables(network, bar, section.precision))
    extra = {
        SPLIT: section.split,
        "sahmr.checkpoint_sha256": file_sha256(file),
        "sahmr.precision": section.precision,
    }
    write_table(paths.predictions / dataset / "sahmr.parquet", table, extra=extra)
    counts = table.column("contact_count").to_pylist()
    log.info(
        "predict %s: %d person-images of split %s, %.1f contact points each, %d without any",
        dataset, len(counts), section.split, sum(counts) / len(counts), counts.count(0),
    )  # fmt: skip


if __name__ == "__main__":
    main()
