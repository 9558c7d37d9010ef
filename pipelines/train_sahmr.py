"""Stage ``train_sahmr``: train the mesh network on a frozen root-and-contact network (stage B)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from pipelines.conversion.parallel import Parallel
from pipelines.conversion.receipts import Training, finish, parse_others, plan_training
from pipelines.stage import log, stage
from sahmr.body.topology import load_topology
from sahmr.network.sahmr import SahmrNet
from sahmr.settings import Flag, ModelFile, Paths, load_section, settings
from sahmr.share import LOCAL, Share
from sahmr.structures import BodyTopology, move_to
from sahmr.training.build import Network, build_network
from sahmr.training.checkpoint import Checkpoint, load_state, read_checkpoint
from sahmr.training.foreign import REFUSED, Others
from sahmr.training.initial import load_initial, share_trunk, start_as_template
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.progress import Row
from sahmr.training.setup import TrainingSettings, require_peak, training_data
from sahmr.training.source import Source
from sahmr.training.state import Keeping
from sahmr.training.team import Team
from sahmr.training.trainer import train

_EXAMPLES = 256  # people that the up-sampling is fitted to
VERSION = 6  # raise when the same data and settings give other weights (tests/training/test_golden_steps.py)


@settings
class TrainSahmr(TrainingSettings):
    """Section ``train_sahmr`` of params.yaml.

    Attributes:
        loss_weights: of each term.
        mean_over_valid_contacts: divide the contact loss by the number of real contact points, not of all places.
        train_upsampling: whether the two dense layers 431 -> 1723 -> 6890, most of a small network's weights, learn.
        rcnet_checkpoint: the root-and-contact network to freeze, from ``paths.models`` on.
    """

    loss_weights: MeshWeights
    mean_over_valid_contacts: Flag
    train_upsampling: Flag
    rcnet_checkpoint: ModelFile


def run(
    section: TrainSahmr,
    network: Network,
    paths: Paths,
    parallel: Parallel,
    share: Share = LOCAL,
    others: Others = REFUSED,
) -> None:
    """Write ``sahmr.pt`` (both networks) and ``sahmr_history.csv``, or link them from the work store if they are there.

    Raises:
        CheckpointError: if ``rcnet_checkpoint`` is missing or does not fit.
    """
    training = plan_training("train_sahmr", VERSION, "sahmr", section, network, paths, parallel, share, others)
    finish(training, paths, partial(_train, section, network, paths))


def _train(
    section: TrainSahmr,
    size: Network,
    paths: Paths,
    training: Training,
    keeping: Keeping,
    team: Team,
) -> tuple[Checkpoint, list[Row]]:
    """The whole training; see :func:`pipelines.conversion.receipts.finish`."""
    plan, topology, source, device = section.plan(), load_topology(paths.bodies), training.source, training.device
    data = training_data(source, plan, team)
    require_peak("train_sahmr", plan, data)
    network = _untrained(section, size, topology, paths, source)
    task = MeshTask(
        topology=move_to(topology, device),
        loss_weights=section.loss_weights,
        mean_over_valid_contacts=section.mean_over_valid_contacts,
        train_upsampling=section.train_upsampling,
        precision=section.precision,
        fixed_crops=section.fixed_crops,
    )
    network.to(device)
    if section.fixed_crops:
        start = time.perf_counter()
        task.frozen.look_at(network.rcnet, source.walk(plan.batch_size, plan.seed, team), team)
        if team.is_first:
            seconds = time.perf_counter() - start
            log.info("train_sahmr: the frozen network saw %d crops once, %.1f s", len(task.frozen), seconds)
    history = train(network, task, plan, data, keeping=keeping, team=team)
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    made = Checkpoint(network=state, stage=task.stage, epoch=len(history), size=size.size, behaviour=network.behaviour)
    return made, history


def _untrained(section: TrainSahmr, size: Network, topology: BodyTopology, paths: Paths, source: Source) -> SahmrNet:
    """The given root-and-contact network, and a mesh network from ``initial_checkpoint`` or as the template body."""
    rcnet = paths.model(section.rcnet_checkpoint, "train_sahmr.rcnet_checkpoint")
    first = read_checkpoint(rcnet)
    network = build_network(size.size, first.behaviour, topology, backend=size.sparse_backend)
    if size.initial_checkpoint is not None:
        start = read_checkpoint(size.initial_checkpoint)
        load_initial(network, start, size=size.size, under="metro_enhanced.", source=str(size.initial_checkpoint))
    load_state(network, first.network, source=str(rcnet), under="rcnet.")
    if size.initial_checkpoint is None:
        start_as_template(network.metro_enhanced, paths.bodies, source.bodies(_EXAMPLES))
        share_trunk(network)
    return network


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Train as params.yaml says."""
    others = parse_others(argv, what=__doc__)
    section, network = load_section("train_sahmr", TrainSahmr), load_section("network", Network)
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
