"""Network and batches in, stored predictions out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from sahmr.body.fit import SmplFit, fit_smpl, smpl_vertices
from sahmr.body.posed import SmplTables
from sahmr.body.stored import body_columns
from sahmr.errors import CheckpointError
from sahmr.network.precision import Precision, reduced
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, MeshPrediction, RootContact, move_to
from schemas.prediction import SceneContact, prediction_table

Mesh = Literal["network", "smpl"]


def predict_tables(
    network: SahmrNet,
    batches: Iterable[Batch],
    precision: Precision = "float32",
    *,
    joint_regressor: Float[Tensor, "17 6890"],
    smpl: SmplTables | None = None,
    mesh: Mesh = "network",
) -> Iterator[pa.Table]:
    """Run the network over batches; ground truth is not looked at.

    Args:
        network: on its device; put into evaluation mode.
        batches: on the CPU.
        precision: of products and convolutions.
        joint_regressor: H36M regressor, on the CPU.
        smpl: the model whose parameters are fitted to the predicted vertices; None: none are.
        mesh: which vertices are stored: the network's, or, with ``smpl`` alone, those of the body fitted to them.

    Yields:
        The rows of ``PREDICTION_SCHEMA`` of one batch, in its order.

    Raises:
        CheckpointError: if a mesh is not finite; nobody could score it, and tables with such numbers are refused.
    """
    network.eval()
    device = next(network.parameters()).device
    for batch in batches:
        with torch.inference_mode(), reduced(precision, device):
            root_contact, found = network(move_to(batch, device))
        with torch.inference_mode():  # ends before whoever takes the table goes on
            table = _table(batch, move_to(root_contact, "cpu"), move_to(found, "cpu"), joint_regressor, smpl, mesh)
        yield table


def _table(
    batch: Batch,
    root_contact: RootContact,
    mesh: MeshPrediction,
    joint_regressor: Float[Tensor, "17 6890"],
    smpl: SmplTables | None,
    kept: Mesh,
) -> pa.Table:
    """One row per sample; padding of the contact points is left out."""
    contacts = root_contact.contacts
    cameras, vertices = batch.camera.camera_from_world.double().numpy(), mesh.vertices_camera.numpy()
    finite = np.isfinite(vertices).all(axis=(1, 2))
    if not finite.all():
        raise CheckpointError(
            f"the network's mesh of {batch.keys[int(finite.argmin())]} has numbers that are not finite; "
            "predict with precision float32, or with another checkpoint"
        )
    fitted = {}
    if smpl is not None:
        fit = fit_smpl(smpl, mesh.vertices_camera)
        fitted = smpl_columns(fit)
        if kept == "smpl":
            vertices = smpl_vertices(smpl, fit.params).numpy()
    known = body_columns(cameras, mesh.root.numpy(), vertices, joint_regressor.numpy()) | fitted
    return prediction_table(
        batch.keys,
        crop_box=batch.camera.crop_box.numpy(),
        initial_root=root_contact.initial_root.numpy(),
        root=mesh.root.numpy(),
        vertices=vertices,
        contact_count=contacts.mask.sum(dim=1).numpy(),
        contact_points=contacts.xyz_camera[contacts.mask].numpy(),
        contact_parts=contacts.part[contacts.mask].numpy(),
        scene=scene_contact(root_contact),
        known=known,
    )


def scene_contact(found: RootContact) -> SceneContact:
    """Probability of contact of the scene points near the root: that of the voxel they lie in, 1 - p(part 0)."""
    voxel = found.voxel_of_point
    logits = found.voxel_part.float()
    touched = logits.softmax(dim=1)[:, 1:].sum(dim=1)  # a subtraction would round small ones away
    part = logits.argmax(dim=1) if len(logits) else voxel.new_zeros(0)
    return SceneContact(
        count=np.diff(found.points.ends(len(found.root))),
        points=found.points.xyz.numpy(),
        probability=touched[voxel].numpy(),
        parts=part[voxel].numpy(),
    )


def smpl_columns(fit: SmplFit) -> dict[str, Float[ndarray, "..."]]:
    """A fit as columns of ``PREDICTION_SCHEMA``."""
    params = {f"smpl_{field.name}": getattr(fit.params, field.name).numpy() for field in fields(fit.params)}
    return {**params, "smpl_residual_mm": fit.residual_mm.numpy()}
