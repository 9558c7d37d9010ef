"""Training the mesh network: its losses and the scores that are logged (method 8.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from sahmr.body.joints import H36M_TO_14
from sahmr.losses import mesh_losses, surface_losses
from sahmr.metrics import mesh_errors
from sahmr.network.precision import TrainingPrecision, reduced
from sahmr.network.sahmr import SahmrNet
from sahmr.settings import Weight, require_some, settings
from sahmr.structures import Batch, BodyTopology, MeshPrediction
from sahmr.targets import require_targets, target_pelvis
from sahmr.training.frozen import Frozen
from sahmr.training.tasks import PerSample

_SURFACE = ("edges", "edge_ratios", "normals")


@settings
class MeshWeights:
    """Weights of stage B's losses; the defaults are the reference's, which has none of the surface."""

    vertices: Weight = 1.0
    joints: Weight = 1.0
    contacts: Weight = 1.0
    global_vertices: Weight = 1.0
    edges: Weight = 0.0
    edge_ratios: Weight = 0.0
    normals: Weight = 0.0

    def __post_init__(self) -> None:
        """Something must be learnt."""
        require_some(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshTask:
    """Stage B: the mesh network on a frozen root-and-contact network.

    Attributes:
        topology: joint regressor and faces.
        loss_weights: of each term; weight 0 for all terms of the surface also saves computing them.
        mean_over_valid_contacts: see :func:`sahmr.losses.mesh_losses`; False is the reference's way.
        train_upsampling: whether the two layers 431 -> 1723 -> 6890 learn, as the reference's do; else they stay as
            they start.
        precision: of the networks in a training step.
        fixed_crops: whether training crops are the same in every epoch, so that the frozen network is asked of each
            once; of validation crops it always is.
        frozen: what it said.
    """

    topology: BodyTopology
    loss_weights: MeshWeights
    mean_over_valid_contacts: bool = False
    train_upsampling: bool = True
    precision: TrainingPrecision = "float32"
    fixed_crops: bool = False
    frozen: Frozen = field(default_factory=Frozen)
    stage: str = "train_sahmr"

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each loss that is computed."""
        weights = asdict(self.loss_weights)
        return weights if self.has_surface else {name: weights[name] for name in weights if name not in _SURFACE}

    @property
    def has_surface(self) -> bool:
        """Whether the terms of the surface are computed."""
        return any(getattr(self.loss_weights, name) for name in _SURFACE)

    def trained(self, network: SahmrNet) -> nn.Module:
        """The mesh network."""
        return network.metro_enhanced

    def parameters(self, network: SahmrNet) -> Iterable[nn.Parameter]:
        """All of it, or all but the up-sampling."""
        mesh = network.metro_enhanced
        if self.train_upsampling:
            return mesh.parameters()
        mesh.fold_upsampling()
        still = {*mesh.upsampling.parameters(), *mesh.upsampling2.parameters()}
        return [parameter for parameter in mesh.parameters() if parameter not in still]

    def losses(self, network: SahmrNet, batch: Batch, generator: torch.Generator) -> PerSample:
        """Terms of :func:`sahmr.losses.mesh_losses`; far-off roots are replaced in training."""
        root = target_pelvis(batch, self.topology)
        with reduced(self.precision, batch.image.device):
            if self.fixed_crops:
                anchor = self.frozen.ask(network.rcnet, batch)
                prediction = network.mesh_on(batch, *anchor, targets_root=root, generator=generator)
            else:
                _, prediction = network(batch, targets_root=root, generator=generator)
        return self._terms(batch, prediction)

    def judge(self, network: SahmrNet, batch: Batch) -> PerSample:
        """Losses on the predicted roots, and the mesh errors of the result tables."""
        prediction = network.mesh_on(batch, *self.frozen.ask(network.rcnet, batch))
        true = require_targets(batch).vertices_camera
        return {
            **self._terms(batch, prediction),
            **mesh_errors(prediction.vertices_camera, true, self.topology.joint_regressor, H36M_TO_14),
        }

    def _terms(self, batch: Batch, prediction: MeshPrediction) -> PerSample:
        """The reference's four losses; those of the surface if they count."""
        true = require_targets(batch).vertices_camera
        terms = mesh_losses(
            prediction,
            true,
            self.topology.joint_regressor,
            H36M_TO_14,
            mean_over_valid_contacts=self.mean_over_valid_contacts,
        )
        if self.has_surface:
            terms |= surface_losses(prediction.vertices_camera, true, self.topology.faces)
        return terms
