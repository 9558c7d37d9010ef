"""A network by the names that ``params.yaml`` and checkpoints use, on the device that is there."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from sahmr.dimensions import NUM_COARSE, NUM_JOINTS, NUM_VERTICES
from sahmr.errors import CheckpointError, SettingsError
from sahmr.network.checkpoint_keys import compare_keys, metro_sources
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import DEMO, PAPER, Behaviour, NetworkSize
from sahmr.settings import settings
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import BodyTopology
from sahmr.training.checkpoint import METRO, Checkpoint, load_state

log = logging.getLogger("sahmr")

SIZES = {"demo": DEMO, "paper": PAPER}


@settings
class Network:
    """Section ``network`` of params.yaml.

    Attributes:
        size: widths and depths.
        sparse_backend: which code runs the sparse convolutions.
        rounding: how ``train_rcnet`` halves voxel coordinates, see :class:`sahmr.network.size.Behaviour`; stored in the
            checkpoint, by which everything later goes.
    """

    size: Literal["demo", "paper"]
    sparse_backend: Literal["native", "torchsparse", "auto"]
    rounding: Rounding


def build_network(size: str, behaviour: Behaviour, topology: BodyTopology, *, backend: str) -> SahmrNet:
    """A network with random weights, on the CPU.

    Args:
        size: name in ``SIZES``.
        behaviour: e.g. ``OWN``, or a checkpoint's.
        topology: tables of the body.
        backend: of the sparse convolutions.

    Raises:
        SettingsError: if the backend is not installed.
    """
    try:
        return SahmrNet(SIZES[size], behaviour, topology, backend=backend)
    except ImportError as error:
        raise SettingsError(
            f"params.yaml: sparse_backend: {backend} cannot be used here ({error}); use native"
        ) from error


def network_of(checkpoint: Checkpoint, topology: BodyTopology, *, backend: str, source: str) -> SahmrNet:
    """The network a checkpoint was made for, with its weights and its behaviour.

    Raises:
        CheckpointError: if the size is unknown here, or the weights do not fill the whole network.
    """
    _require_size(checkpoint, source)
    if checkpoint.stage == METRO:
        raise CheckpointError(
            f"{source}: METRO's weights are a start for training (metro_checkpoint), no SA-HMR network"
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


def prepare_torch(threads: int, seed: int = 0) -> torch.device:
    """Make runs repeatable on one machine; returns the device to work on.

    Args:
        threads: of the CPU; sums depend on their number in the last bit.
        seed: of torch's global generator.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a module property
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    log.info("device: %s, %d threads", device, threads)
    return device
