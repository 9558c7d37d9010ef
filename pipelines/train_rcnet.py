"""Stage ``train_rcnet``: train the root-and-contact network (stage A)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pipelines.conversion.parallel import Parallel
from pipelines.stage import log, stage
from sahmr.baseline import split_means
from sahmr.body.topology import TOPOLOGY_FILE, load_topology
from sahmr.datasets import find_card
from sahmr.files import publish_text
from sahmr.network.size import OWN, RootRegion
from sahmr.settings import Paths, load_section, settings
from sahmr.shards.reader import INDEX_NAME
from sahmr.structures import move_to
from sahmr.training.build import Network, build_network, prepare_torch
from sahmr.training.checkpoint import Checkpoint, save_checkpoint
from sahmr.training.initial import load_metro, start_calmly
from sahmr.training.optimizer import Plan
from sahmr.training.setup import Source, digest_of, training_data
from sahmr.training.tasks import RootContactTask, RootContactWeights
from sahmr.training.trainer import history_csv, train


@settings
class TrainRcnet:
    """Section ``train_rcnet`` of params.yaml.

    Attributes:
        dataset: whose splits ``train`` and ``val`` are used.
        zoom_range: training crops are widened by up to this share of the person box's larger side.
        seed, epochs, batch_size, canonical_lr, schedule, warmup_steps, average_decay: as in
            :class:`sahmr.training.optimizer.Plan`.
        scene_pitch_m: spacing of the scene's points; the scale of the part maps' jitter.
        substitution_distance_m: a predicted root farther than this from the truth is replaced by the truth plus noise
            before the region of interest is cut; 0: always.
        root_noise_m: standard deviation of that noise along camera x, y, z.
        contact_voxel_weight: how many times more a voxel in contact counts; reference: 1.
        loss_weights: of each term.
        metro_checkpoint: METRO's 3DPW weights, raw or converted, to start the trunk from; null: random, calm maps.
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
    scene_pitch_m: float
    substitution_distance_m: float
    root_noise_m: tuple[float, float, float]
    contact_voxel_weight: float
    loss_weights: RootContactWeights
    metro_checkpoint: Path | None


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``rcnet.pt`` and ``rcnet_history.csv``."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    section, size = load_section("train_rcnet", TrainRcnet), load_section("network", Network)
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
    region = RootRegion(substitution_distance=section.substitution_distance_m, root_noise_std=section.root_noise_m)
    behaviour = replace(OWN, rounding=size.rounding, region=region)
    network = build_network(size.size, behaviour, topology, backend=size.sparse_backend)
    if section.metro_checkpoint is None:
        means = split_means(source.plain("train", plan.batch_size), topology)
        start_calmly(network.rcnet, float(means.scaled_depth))
    else:
        load_metro(network, section.metro_checkpoint, under="rcnet.")
    task = RootContactTask(
        topology=move_to(topology, device),
        loss_weights=section.loss_weights,
        pitch_m=section.scene_pitch_m,
        contact_voxel_weight=section.contact_voxel_weight,
        ignored_parts=find_card(section.dataset).ignored_parts,
    )
    files = [shards / INDEX_NAME, paths.bodies / TOPOLOGY_FILE, *filter(None, [section.metro_checkpoint])]
    resume = paths.models / ".train_rcnet.resume.pt"
    digest = digest_of(section, size, files=files)
    history = train(network.to(device), task, plan, training_data(source, plan), resume_file=resume, digest=digest)
    state = {f"rcnet.{name}": value.cpu() for name, value in network.rcnet.state_dict().items()}
    made = Checkpoint(network=state, stage="train_rcnet", epoch=plan.epochs, size=size.size, behaviour=behaviour)
    save_checkpoint(paths.models / "rcnet.pt", made)
    publish_text(paths.models / "rcnet_history.csv", history_csv(history))
    resume.unlink(missing_ok=True)
    log.info("train_rcnet: %d epochs on %s, %d tensors", plan.epochs, section.dataset, len(state))


if __name__ == "__main__":
    main()
