"""What the trainer asks of a training, and the first one: root and contact (method 8.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sahmr.losses import root_contact_losses
from sahmr.metrics import cell_errors, part_map_errors, root_errors, voxel_part_scores
from sahmr.network.sahmr import SahmrNet
from sahmr.settings import Weight, require_some, settings
from sahmr.structures import Batch, BodyTopology, RootContact, RootContactTargets
from sahmr.targets import make_targets, target_pelvis

PerSample = dict[str, Float[Tensor, " batch"]]


@settings
class RootContactWeights:
    """Weights of stage A's losses; the defaults are the reference's."""

    heatmap: Weight = 1.0
    scaled_depth: Weight = 10.0
    voxel_part: Weight = 1.0
    voxel_offset: Weight = 1.0
    root: Weight = 1.0
    part_maps: Weight = 1.0
    part_maps_flipped: Weight = 1.0

    def __post_init__(self) -> None:
        """Something must be learnt."""
        require_some(self)


@runtime_checkable
class Task(Protocol):
    """One training, as the trainer sees it."""

    @property
    def stage(self) -> str:
        """Name of the stage."""
        ...

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each loss."""
        ...

    def trained(self, network: SahmrNet) -> nn.Module:
        """The part of the network that learns; the rest is frozen, in evaluation mode."""
        ...

    def parameters(self, network: SahmrNet) -> Iterable[nn.Parameter]:
        """What of that part moves."""
        ...

    def losses(self, network: SahmrNet, batch: Batch, generator: torch.Generator) -> PerSample:
        """Loss terms of a training step; every random draw comes from the generator or torch's global one."""
        ...

    def judge(self, network: SahmrNet, batch: Batch) -> PerSample:
        """Loss terms without noise, and the scores that validation logs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RootContactTask:
    """Stage A: the root-and-contact network.

    Attributes:
        topology: joint regressor and part ids.
        loss_weights: weight 0 for ``part_maps_flipped`` also saves computing it.
        pitch_m: spacing of the scene's points.
        ignored_parts: by data set, see :func:`sahmr.targets.make_targets`; of one that is not named, every part counts.
        contact_voxel_weight: see :func:`sahmr.losses.root_contact_losses`.
    """

    topology: BodyTopology
    loss_weights: RootContactWeights
    pitch_m: float
    ignored_parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    contact_voxel_weight: float = 1.0
    stage: str = "train_rcnet"

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each loss."""
        return asdict(self.loss_weights)

    def trained(self, network: SahmrNet) -> nn.Module:
        """The root-and-contact network."""
        return network.rcnet

    def parameters(self, network: SahmrNet) -> Iterable[nn.Parameter]:
        """All of it."""
        return network.rcnet.parameters()

    def losses(self, network: SahmrNet, batch: Batch, generator: torch.Generator) -> PerSample:
        """Terms of :func:`sahmr.losses.root_contact_losses`, the mirrored image included."""
        root = target_pelvis(batch, self.topology)
        prediction: RootContact = network.rcnet(batch, targets_root=root, generator=generator)
        mirrored = network.rcnet.part_maps_of(batch.image.flip(3)) if self.loss_weights.part_maps_flipped else None
        targets = self._targets(batch, prediction, generator)
        return root_contact_losses(prediction, targets, mirrored, contact_voxel_weight=self.contact_voxel_weight)

    def judge(self, network: SahmrNet, batch: Batch) -> PerSample:
        """Losses but for the mirrored image; errors of both roots, of the voxels' parts and of the part maps."""
        prediction: RootContact = network.rcnet(batch)
        targets = self._targets(batch, prediction, None)
        part = prediction.voxel_part.argmax(dim=1)
        sample = prediction.voxel_centers.sample
        return {
            **root_contact_losses(prediction, targets, None, contact_voxel_weight=self.contact_voxel_weight),
            "root_cells": cell_errors(prediction.root_map, targets.root_map),
            "initial_root_mm": root_errors(prediction.initial_root, targets.root),
            "root_mm": root_errors(prediction.root, targets.root),
            **voxel_part_scores(part, targets.voxel_part, sample, len(batch.keys)),
            **part_map_errors(prediction.part_maps, targets.part_maps),
        }

    def _targets(self, batch: Batch, prediction: RootContact, generator: torch.Generator | None) -> RootContactTargets:
        """Targets for the voxels the network chose."""
        return make_targets(
            batch,
            prediction.voxel_centers,
            self.topology,
            pitch_m=self.pitch_m,
            ignored_parts=[self.ignored_parts.get(name, ()) for name in batch.datasets],
            generator=generator,
        )
