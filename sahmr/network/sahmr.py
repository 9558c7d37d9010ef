"""The whole network: root and contact first, then the mesh that hangs on them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sahmr.network.batch_check import require_finite
from sahmr.network.mesh import MeshNet
from sahmr.network.root_contact import RootContactNet, substitute_far_roots
from sahmr.network.size import Behaviour, NetworkSize
from sahmr.structures import Batch, BodyTopology, ContactPoints, MeshPrediction, RootContact


class SahmrNet(nn.Module):
    """Root-and-contact network and mesh network; state-dict names are the reference's.

    Args:
        size: widths and depths, e.g. ``PAPER`` or ``DEMO``.
        behaviour: ``REFERENCE`` for released weights, ``OWN`` for new ones.
        topology: template and part tables; kept as non-persistent buffers, never in the state dict.
        backend: sparse convolution backend, see :func:`sahmr.sparse.backend.resolve_backend`.
    """

    def __init__(
        self, size: NetworkSize, behaviour: Behaviour, topology: BodyTopology, *, backend: str = "native"
    ) -> None:
        super().__init__()
        self.behaviour = behaviour
        self.rcnet = RootContactNet(size, behaviour, backend=backend)
        self.metro_enhanced = MeshNet(size, behaviour, topology)

    def forward(
        self,
        batch: Batch,
        *,
        targets_root: Float[Tensor, "batch 3"] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[RootContact, MeshPrediction]:
        """Predict root, contact and mesh.

        Args:
            batch: images, cameras and scene points.
            targets_root: true pelvis, camera frame, metres. Only read by a part that is in training mode: the
                root-and-contact network replaces far anchors, the mesh network far roots (method 8.1).
            generator: source of every random draw; a fixed seed when None.

        Raises:
            BatchError: for what :func:`sahmr.network.batch_check.check_batch` refuses; or, in evaluation mode, if a
                root or a vertex is not finite. Names the sample.
        """
        root_contact = self.rcnet(batch, targets_root=targets_root, generator=generator)
        mesh = self.mesh_on(
            batch, root_contact.root, root_contact.contacts, targets_root=targets_root, generator=generator
        )
        return root_contact, mesh

    def mesh_on(
        self,
        batch: Batch,
        root: Float[Tensor, "batch 3"],
        contacts: ContactPoints,
        *,
        targets_root: Float[Tensor, "batch 3"] | None = None,
        generator: torch.Generator | None = None,
    ) -> MeshPrediction:
        """Predict the mesh alone, on a root and contact points that are known. Arguments and errors as ``forward``."""
        if self.metro_enhanced.training and targets_root is not None:
            region = self.behaviour.region
            root = substitute_far_roots(
                root.detach(), targets_root, region.substitution_distance, region.mesh_root_noise_std, generator
            )
        crop_m = root[:, 2] * batch.camera.depth_scale
        mesh: MeshPrediction = self.metro_enhanced(batch.image, root, contacts, crop_m)
        if not self.metro_enhanced.training:
            require_finite(batch.keys, root=root, mesh=mesh.vertices_camera)
        return mesh
