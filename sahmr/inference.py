"""Network and batches in, stored predictions out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from sahmr.network.precision import Precision, reduced
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, MeshPrediction, RootContact, move_to
from schemas.prediction import PredictionRecord


def predict_records(
    network: SahmrNet, batches: Iterable[Batch], precision: Precision = "float32"
) -> Iterator[list[PredictionRecord]]:
    """Run the network over batches; ground truth is not looked at.

    Args:
        network: on its device; put into evaluation mode.
        batches: on the CPU.
        precision: of products and convolutions.

    Yields:
        The records of one batch, in its order.
    """
    network.eval()
    device = next(network.parameters()).device
    for batch in batches:
        with torch.inference_mode(), reduced(precision, device):
            root_contact, mesh = network(move_to(batch, device))
        yield _records(batch, move_to(root_contact, "cpu"), move_to(mesh, "cpu"))


def _records(batch: Batch, root_contact: RootContact, mesh: MeshPrediction) -> list[PredictionRecord]:
    """One record per sample; padding of the contact points is left out."""
    records = []
    for row, key in enumerate(batch.keys):
        mask = root_contact.contacts.mask[row]
        records.append(
            PredictionRecord(
                key=key,
                crop_box=tuple(batch.camera.crop_box[row].tolist()),
                initial_root=tuple(root_contact.initial_root[row].tolist()),
                root=tuple(mesh.root[row].tolist()),
                vertices=tuple(mesh.vertices_camera[row].flatten().tolist()),
                contact_count=int(mask.sum()),
                contact_points=tuple(root_contact.contacts.xyz_camera[row][mask].flatten().tolist()),
                contact_parts=tuple(root_contact.contacts.part[row][mask].tolist()),
            )
        )
    return records
