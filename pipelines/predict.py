"""Stage ``predict``: run a trained network over a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import pyarrow.compute as pc
from tqdm import tqdm

from pipelines.conversion.parallel import Parallel
from pipelines.manifests import manifest_beside
from pipelines.stage import log, parse_dataset, stage
from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import make_loader
from sahmr.body.model import SMPL_FILE, load_clean
from sahmr.body.posed import smpl_tables
from sahmr.body.topology import load_topology
from sahmr.files import file_sha256, remove_manifest, write_manifest
from sahmr.inference import Mesh, predict_tables
from sahmr.network.precision import Precision
from sahmr.settings import Between, Flag, ModelFile, Paths, Split, load_section, refuse, settings
from sahmr.share import LOCAL, Share, find_places
from sahmr.training.build import prepare_torch
from sahmr.training.checkpoint import RELEASED, Checkpoint, behaviour_values, read_checkpoint
from sahmr.training.restore import network_of
from schemas.prediction import PREDICTION_SCHEMA, ROWS_PER_GROUP, SPLIT
from schemas.tables_write import table_writer


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
        fit_smpl: whether SMPL parameters are fitted to the predicted vertices, some 40 a second and thread.
        mesh: which vertices are stored and scored: those of the network, or those of the SMPL body fitted to them
            (``smpl_residual_mm`` away from them). Of the authors' weights always the network's, which their scores are
            of; root and contact points are the network's in any case.
    """

    checkpoint: ModelFile
    split: Split
    batch_size: Annotated[int, Between(1, 1024)]
    sparse_backend: Literal["native", "torchsparse", "auto"]
    precision: Precision
    fit_smpl: Flag
    mesh: Mesh = "network"

    def __post_init__(self) -> None:
        """A body that is not fitted cannot be stored."""
        if self.mesh == "smpl" and not self.fit_smpl:
            refuse("fit_smpl", self.fit_smpl, "true, as mesh is smpl")


def mesh_of(checkpoint: Checkpoint, wanted: Mesh) -> Mesh:
    """Whose vertices are stored: of the authors' weights their network's, for so their scores are."""
    return "network" if checkpoint.stage == RELEASED else wanted


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``predictions/<dataset>/sahmr.parquet``."""
    dataset = parse_dataset(argv, what=__doc__ or "")
    section, share = load_section("predict", Predict), load_section("share", Share)
    run(dataset, section, load_section("paths", Paths), load_section("parallel", Parallel), share)


def run(dataset: str, section: Predict, paths: Paths, parallel: Parallel, share: Share = LOCAL) -> None:
    """Predict every person-image of a split, in the order of the keys.

    Raises:
        CheckpointError: if the checkpoint is no whole network, or predicts what is not finite.
        BodyModelError: if a body's tables, or the model to be fitted, are missing or damaged.
        ShardError, StoreError: if shards or scenes are missing or damaged, or the split has no samples.
        RemoteError: if they lie on a share that cannot be had.
    """
    device = prepare_torch(parallel.threads)
    file = paths.model(section.checkpoint, "predict.checkpoint")
    checkpoint = read_checkpoint(file)
    topology = load_topology(paths.bodies)
    smpl = smpl_tables(load_clean(paths.bodies / SMPL_FILE)) if section.fit_smpl else None
    network = network_of(checkpoint, topology, backend=section.sparse_backend, source=str(file)).to(device)
    mesh = mesh_of(checkpoint, section.mesh)
    switches = {name: str(value) for name, value in behaviour_values(checkpoint.behaviour).items()} | {"mesh": mesh}
    log.info(
        "predict %s: %s, stage %s, size %s; %s",
        dataset,
        file,
        checkpoint.stage,
        checkpoint.size,
        ", ".join(f"{name} {value}" for name, value in switches.items()),
    )
    samples = SampleDataset(*find_places(share, paths, dataset), section.split)
    loader = make_loader(
        samples, batch_size=section.batch_size, num_workers=parallel.loaders, decode_in=parallel.decode_in
    )
    bar = tqdm(loader, desc=f"predict {dataset}", unit="batch", disable=None)
    extra = {
        SPLIT: section.split,
        "sahmr.checkpoint": file.name,
        "sahmr.checkpoint_sha256": file_sha256(file),
        "sahmr.checkpoint_stage": checkpoint.stage,
        "sahmr.precision": section.precision,
        **{f"sahmr.{name}": value for name, value in switches.items()},
    }
    path, contacts, without = paths.predictions / dataset / "sahmr.parquet", 0, 0
    with table_writer(path, PREDICTION_SCHEMA, extra=extra, rows_per_group=ROWS_PER_GROUP) as writer:
        regressor = topology.joint_regressor
        for table in predict_tables(network, bar, section.precision, joint_regressor=regressor, smpl=smpl, mesh=mesh):
            writer.write(table)
            contacts += pc.sum(table.column("contact_count")).as_py()
            without += pc.sum(pc.equal(table.column("contact_count"), 0)).as_py()
        remove_manifest(manifest_beside(path))
    write_manifest(manifest_beside(path), [path.name], stage="predict", dataset=dataset)
    log.info(
        "predict %s: %d person-images of split %s, %.1f contact points each, %d without any",
        dataset, writer.rows, section.split, contacts / writer.rows, without,
    )  # fmt: skip


if __name__ == "__main__":
    main()
