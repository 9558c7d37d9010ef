"""Stage ``train_rcnet``: train the root-and-contact network (stage A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

from pipelines.conversion.parallel import Parallel
from pipelines.conversion.receipts import Training, finish, parse_others, plan_training
from pipelines.stage import stage
from sahmr.body.topology import load_topology
from sahmr.datasets import find_card
from sahmr.network.size import OWN, RootRegion
from sahmr.settings import Between, Listed, Paths, load_section, settings
from sahmr.share import LOCAL, Share
from sahmr.structures import move_to
from sahmr.training.build import Network, build_network
from sahmr.training.checkpoint import METRO, Checkpoint, read_checkpoint
from sahmr.training.foreign import REFUSED, Others
from sahmr.training.initial import load_initial, mean_scaled_depth, start_calmly
from sahmr.training.progress import Row
from sahmr.training.setup import TrainingSettings, require_peak, training_data
from sahmr.training.state import Keeping
from sahmr.training.tasks import RootContactTask, RootContactWeights
from sahmr.training.team import Team
from sahmr.training.trainer import train

VERSION = 2  # raise when the same data and settings give other weights (tests/training/test_golden_steps.py)


@settings
class TrainRcnet(TrainingSettings):
    """Section ``train_rcnet`` of params.yaml.

    Attributes:
        substitution_distance_m: a predicted root farther than this from the truth is replaced by the truth plus noise
            before the region of interest is cut; 0: always.
        root_noise_m: standard deviation of that noise along camera x, y, z.
        contact_voxel_weight: how many times more a voxel in contact counts; reference: 1.
        loss_weights: of each term.
    """

    substitution_distance_m: Annotated[float, Between(0, 100)]
    root_noise_m: Annotated[
        tuple[Annotated[float, Between(0, 10)], Annotated[float, Between(0, 10)], Annotated[float, Between(0, 10)]],
        Listed(least=3, most=3, may_repeat=True),
    ]
    contact_voxel_weight: Annotated[float, Between(0.001, 10_000)]
    loss_weights: RootContactWeights


def run(
    section: TrainRcnet,
    network: Network,
    paths: Paths,
    parallel: Parallel,
    share: Share = LOCAL,
    others: Others = REFUSED,
) -> None:
    """Write ``rcnet.pt`` and ``rcnet_history.csv``, unless the work store has them: then link them from there."""
    training = plan_training("train_rcnet", VERSION, "rcnet", section, network, paths, parallel, share, others)
    finish(training, paths, partial(_train, section, network, paths))


def _train(
    section: TrainRcnet,
    size: Network,
    paths: Paths,
    training: Training,
    keeping: Keeping,
    team: Team,
) -> tuple[Checkpoint, list[Row]]:
    """The whole training; see :func:`pipelines.conversion.receipts.finish`."""
    plan, topology, source, device = section.plan(), load_topology(paths.bodies), training.source, training.device
    data = training_data(source, plan, team)
    require_peak("train_rcnet", plan, data)
    region = RootRegion(substitution_distance=section.substitution_distance_m, root_noise_std=section.root_noise_m)
    behaviour = replace(OWN, rounding=size.rounding, size_head=size.size_head, region=region)
    first = read_checkpoint(size.initial_checkpoint) if size.initial_checkpoint else None
    if first is not None and first.stage != METRO:
        behaviour = replace(first.behaviour, region=region)
    network = build_network(size.size, behaviour, topology, backend=size.sparse_backend)
    if first is None:
        start_calmly(network.rcnet, mean_scaled_depth(source.plain("train", plan.batch_size), topology))
    else:
        load_initial(network, first, size=size.size, under="rcnet.", source=str(size.initial_checkpoint))
    task = RootContactTask(
        topology=move_to(topology, device),
        loss_weights=section.loss_weights,
        pitch_m=source.voxel_pitch_m(),
        contact_voxel_weight=section.contact_voxel_weight,
        ignored_parts={name: find_card(name).ignored_parts for name in section.datasets},
        precision=section.precision,
    )
    history = train(network.to(device), task, plan, data, keeping=keeping, team=team)
    state = {f"rcnet.{name}": value.cpu() for name, value in network.rcnet.state_dict().items()}
    made = Checkpoint(network=state, stage=task.stage, epoch=len(history), size=size.size, behaviour=behaviour)
    return made, history


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Train as params.yaml says."""
    others = parse_others(argv, what=__doc__)
    section, network = load_section("train_rcnet", TrainRcnet), load_section("network", Network)
    run(
        section,
        network,
        load_section("paths", Paths),
        load_section("parallel", Parallel),
        load_section("share", Share),
        others,
    )


if __name__ == "__main__":
    main()
