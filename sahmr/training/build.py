"""A network by the names that ``params.yaml`` and checkpoints use, on the device that is there."""

from __future__ import annotations

import logging
from typing import Literal

import torch

from sahmr.errors import SettingsError
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import DEMO, PAPER, Behaviour
from sahmr.settings import AnyPath, Flag, settings
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import BodyTopology

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
        size_head: whether the mesh network has the layer that scales its meshes, see
            :class:`sahmr.network.mesh.SizeHead`; stored in the same way.
        initial_checkpoint: what both trainings start from: METRO's 3DPW weights, raw or converted, or any SA-HMR
            checkpoint of the same size, whose behaviour is kept; null: ``train_rcnet`` starts at random with calm maps,
            ``train_sahmr`` as the template body.
    """

    size: Literal["demo", "paper"]
    sparse_backend: Literal["native", "torchsparse", "auto"]
    rounding: Rounding
    size_head: Flag = False
    initial_checkpoint: AnyPath | None = None


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


def prepare_torch(threads: int, seed: int = 0) -> torch.device:
    """Make runs repeatable on one machine; returns the device to work on.

    Args:
        threads: of the CPU; sums depend on their number in the last bit.
        seed: of torch's global generator.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms would import the compiler: a second
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a module property
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    log.info("device: %s, %d threads", device, threads)
    return device
