"""Network and batches in, stored predictions out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import torch

from sahmr.network.precision import Precision, reduced
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, MeshPrediction, RootContact, move_to
from schemas.prediction import prediction_table


def predict_tables(network: SahmrNet, batches: Iterable[Batch], precision: Precision = "float32") -> Iterator[pa.Table]:
    """Run the network over batches; ground truth is not looked at.

    Args:
        network: on its device; put into evaluation mode.
        batches: on the CPU.
        precision: of products and convolutions.

    Yields:
        The rows of ``PREDICTION_SCHEMA`` of one batch, in its order.
    """
    network.eval()
    device = next(network.parameters()).device
    for batch in batches:
        with torch.inference_mode(), reduced(precision, device):
            root_contact, mesh = network(move_to(batch, device))
        yield _table(batch, move_to(root_contact, "cpu"), move_to(mesh, "cpu"))


def _table(batch: Batch, root_contact: RootContact, mesh: MeshPrediction) -> pa.Table:
    """One row per sample; padding of the contact points is left out."""
    contacts = root_contact.contacts
    return prediction_table(
        batch.keys,
        crop_box=batch.camera.crop_box.numpy(),
        initial_root=root_contact.initial_root.numpy(),
        root=mesh.root.numpy(),
        vertices=mesh.vertices_camera.numpy(),
        contact_count=contacts.mask.sum(dim=1).numpy(),
        contact_points=contacts.xyz_camera[contacts.mask].numpy(),
        contact_parts=contacts.part[contacts.mask].numpy(),
    )
