"""A network by the names that ``params.yaml`` and checkpoints use, on the device that is there."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

import torch

from sahmr.errors import CheckpointError, SettingsError
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import DEMO, OWN, PAPER, REFERENCE, Region
from sahmr.settings import settings
from sahmr.structures import BodyTopology
from sahmr.training.checkpoint import Checkpoint, load_state

log = logging.getLogger("sahmr")

SIZES = {"demo": DEMO, "paper": PAPER}
BEHAVIOURS = {"own": OWN, "reference": REFERENCE}


@settings
class Network:
    """Section ``network`` of params.yaml.

    Attributes:
        size: widths and depths.
        sparse_backend: which code runs the sparse convolutions.
    """

    size: Literal["demo", "paper"]
    sparse_backend: Literal["native", "torchsparse", "auto"]


def build_network(
    size: str, behaviour: str, topology: BodyTopology, *, backend: str, region: Region | None = None
) -> SahmrNet:
    """A network with random weights, on the CPU.

    Args:
        size, behaviour: names in ``SIZES`` and ``BEHAVIOURS``.
        topology: tables of the body.
        backend: of the sparse convolutions.
        region: replaces the behaviour's own numbers of training-time substitution.

    Raises:
        SettingsError: if the backend is not installed.
    """
    try:
        chosen = BEHAVIOURS[behaviour]
        chosen = chosen if region is None else replace(chosen, region=region)
        return SahmrNet(SIZES[size], chosen, topology, backend=backend)
    except ImportError as error:
        raise SettingsError(
            f"params.yaml: sparse_backend: {backend} cannot be used here ({error}); use native"
        ) from error


def network_of(checkpoint: Checkpoint, topology: BodyTopology, *, backend: str, source: str) -> SahmrNet:
    """The network a checkpoint was made for, with its weights.

    Raises:
        CheckpointError: if size or behaviour are unknown here, or the weights do not fill the whole network.
    """
    for name, value, known in (("size", checkpoint.size, SIZES), ("behaviour", checkpoint.behaviour, BEHAVIOURS)):
        if value not in known:
            raise CheckpointError(f"{source}: {name} is {value!r}, allowed are {sorted(known)}")
    network = build_network(checkpoint.size, checkpoint.behaviour, topology, backend=backend)
    load_state(network, checkpoint.network, source=source)
    return network


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
