"""Stage ``train_sahmr``: train the mesh network on a frozen root-and-contact network (stage B)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipelines.conversion.parallel import Parallel
from pipelines.stage import log, stage
from sahmr.baseline import split_means
from sahmr.body.topology import TOPOLOGY_FILE, load_topology
from sahmr.files import publish_text
from sahmr.network.sahmr import SahmrNet
from sahmr.settings import Paths, load_section, settings
from sahmr.shards.reader import INDEX_NAME
from sahmr.structures import BodyTopology, move_to
from sahmr.training.build import Network, build_network, prepare_torch
from sahmr.training.checkpoint import Checkpoint, load_state, read_checkpoint, save_checkpoint
from sahmr.training.initial import load_metro, share_trunk, start_as_template
from sahmr.training.optimizer import Plan
from sahmr.training.setup import Source, digest_of, training_data
from sahmr.training.tasks import MeshTask, MeshWeights
from sahmr.training.trainer import history_csv, train


@settings
class TrainSahmr:
    """Section ``train_sahmr`` of params.yaml.

    Attributes:
        dataset: whose splits ``train`` and ``val`` are used.
        zoom_range: training crops are widened by up to this share of the person box's larger side.
        seed, epochs, batch_size, canonical_lr, schedule, warmup_steps, average_decay: as in
            :class:`sahmr.training.optimizer.Plan`.
        loss_weights: of each term.
        mean_over_valid_contacts: divide the contact loss by the number of real contact points, not of all places.
        rcnet_checkpoint: the root-and-contact network to freeze.
        metro_checkpoint: METRO's 3DPW weights, raw or converted, to start from; null: start as the template body.
    """

    dataset: str
    seed: int
    epochs: int
    batch_size: int
    canonical_lr: float
    schedule: Literal["halve", "cosine"]
    warmup_steps: int
    average_decay: float
    zoom_range: float
    loss_weights: MeshWeights
    mean_over_valid_contacts: bool
    rcnet_checkpoint: Path
    metro_checkpoint: Path | None


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``sahmr.pt`` (both networks and the baseline's means) and ``sahmr_history.csv``."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    section, size = load_section("train_sahmr", TrainSahmr), load_section("network", Network)
    paths, parallel = load_section("paths", Paths), load_section("parallel", Parallel)
    plan = Plan(**{name: getattr(section, name) for name in Plan.__dataclass_fields__})
    shards = paths.shards / section.dataset
    source = Source(
        shards=shards,
        scenes=paths.scenes / f"{section.dataset}.zarr",
        workers=parallel.loaders,
        zoom_range=section.zoom_range,
    )
    device = prepare_torch(parallel.threads, section.seed)
    topology = load_topology(paths.bodies)
    network = _untrained(section, size, topology, paths)
    means = split_means(source.plain("train", plan.batch_size), topology)
    task = MeshTask(
        topology=move_to(topology, device),
        loss_weights=section.loss_weights,
        mean_over_valid_contacts=section.mean_over_valid_contacts,
    )
    files = [shards / INDEX_NAME, paths.bodies / TOPOLOGY_FILE, section.rcnet_checkpoint]
    files += [section.metro_checkpoint] if section.metro_checkpoint else []
    resume = paths.models / ".train_sahmr.resume.pt"
    digest = digest_of(section, size, files=files)
    history = train(network.to(device), task, plan, training_data(source, plan), resume_file=resume, digest=digest)
    made = Checkpoint(
        network={name: value.cpu() for name, value in network.state_dict().items()},
        stage="train_sahmr",
        epoch=plan.epochs,
        size=size.size,
        behaviour=network.behaviour,
        extra={"baseline_mesh": means.mesh, "baseline_scaled_depth": means.scaled_depth},
    )
    save_checkpoint(paths.models / "sahmr.pt", made)
    publish_text(paths.models / "sahmr_history.csv", history_csv(history))
    resume.unlink(missing_ok=True)
    log.info("train_sahmr: %d epochs on %s, %d tensors", plan.epochs, section.dataset, len(made.network))


def _untrained(section: TrainSahmr, size: Network, topology: BodyTopology, paths: Paths) -> SahmrNet:
    """The given root-and-contact network, and a mesh network that starts from METRO or as the template body."""
    first = read_checkpoint(section.rcnet_checkpoint)
    network = build_network(size.size, first.behaviour, topology, backend=size.sparse_backend)
    if section.metro_checkpoint is not None:
        load_metro(network, section.metro_checkpoint, under="metro_enhanced.")
    load_state(network, first.network, source=str(section.rcnet_checkpoint), under="rcnet.")
    if section.metro_checkpoint is None:
        start_as_template(network.metro_enhanced, paths.bodies)
        share_trunk(network)
    return network


if __name__ == "__main__":
    main()
