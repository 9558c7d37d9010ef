"""From a checkpoint to the whole network it is for."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sahmr.dimensions import NUM_COARSE, NUM_JOINTS, NUM_VERTICES
from sahmr.errors import CheckpointError
from sahmr.network.checkpoint_keys import compare_keys, metro_sources
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import Behaviour, NetworkSize
from sahmr.structures import BodyTopology
from sahmr.training.build import SIZES, build_network
from sahmr.training.checkpoint import METRO, Checkpoint, load_state


def network_of(checkpoint: Checkpoint, topology: BodyTopology, *, backend: str, source: str) -> SahmrNet:
    """The network a checkpoint was made for, with its weights and its behaviour.

    Raises:
        CheckpointError: if the size is unknown here, or the weights do not fill the whole network.
    """
    _require_size(checkpoint, source)
    if checkpoint.stage == METRO:
        raise CheckpointError(
            f"{source}: METRO's weights are a start for training (network.initial_checkpoint), no SA-HMR network"
        )
    network = build_network(checkpoint.size, checkpoint.behaviour, topology, backend=backend)
    load_state(network, checkpoint.network, source=source)
    return network


def require_whole(checkpoint: Checkpoint, *, source: str) -> Checkpoint:
    """The same checkpoint, sure to fill the network it is for; entries in the network's order.

    Needs neither body tables nor memory for a network. METRO's weights must fill all but what SA-HMR added.

    Raises:
        CheckpointError: listing all missing, unknown, misshapen and non-finite entries.
    """
    _require_size(checkpoint, source)
    wanted = _empty_state(SIZES[checkpoint.size], checkpoint.behaviour)
    if checkpoint.stage == METRO:
        wanted = {theirs: wanted[ours] for ours, theirs in metro_sources(wanted, checkpoint.network).items()}
    used = compare_keys(checkpoint.network, wanted).require_complete(source)
    return replace(checkpoint, network={name: _compact(value) for name, value in used.items()})


def _compact(value: Tensor) -> Tensor:
    """Row-major and in memory of its own size: a view would be stored with all of the memory it looks into."""
    fresh = torch.empty_like(value, device="meta", memory_format=torch.contiguous_format)
    if value.stride() == fresh.stride() and value.untyped_storage().nbytes() == value.nbytes:
        return value
    return value.clone(memory_format=torch.contiguous_format)


def _require_size(checkpoint: Checkpoint, source: str) -> None:
    if checkpoint.size not in SIZES:
        raise CheckpointError(f"{source}: size is {checkpoint.size!r}, allowed are {sorted(SIZES)}")


def _empty_state(size: NetworkSize, behaviour: Behaviour) -> dict[str, Tensor]:
    """Names, shapes and types of a network's entries, without their values."""
    topology = BodyTopology(
        template_joints=torch.zeros(NUM_JOINTS, 3),
        template_coarse=torch.zeros(NUM_COARSE, 3),
        coarse_to_full=torch.zeros(NUM_COARSE, dtype=torch.long),
        joint_regressor=torch.zeros(17, NUM_VERTICES),
        part_full=torch.zeros(NUM_VERTICES, dtype=torch.long),
        part_coarse=torch.zeros(NUM_COARSE, dtype=torch.long),
        faces=torch.zeros(0, 3, dtype=torch.long),
    )
    with torch.device("meta"):
        return dict(SahmrNet(size, behaviour, topology).state_dict())
