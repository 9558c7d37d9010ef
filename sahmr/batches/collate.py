"""Samples of one step, put together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sahmr.dimensions import CROP_SIZE, NUM_VERTICES
from sahmr.structures import Batch, Camera, Sample, Targets, pack_points


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples; images become 0..1 and scene points are packed.

    Ground truth is of the whole batch or of none of it: one sample without a body makes ``targets`` None. So a batch
    never mixes real targets with filler. Trainings refuse such samples beforehand
    (:class:`sahmr.batches.dataset.SampleDataset`), predictions look at no target.

    Raises:
        ValueError: if there are no samples.
    """
    if not samples:
        raise ValueError("collate needs at least one sample, got 0")
    return Batch(
        keys=tuple(sample.key for sample in samples),
        image=torch.stack([sample.image for sample in samples]).float() / 255,
        camera=Camera(
            intrinsics=torch.stack([sample.intrinsics for sample in samples]),
            camera_from_world=torch.stack([sample.camera_from_world for sample in samples]),
            crop_box=torch.stack([sample.crop_box for sample in samples]),
        ),
        scene=pack_points([sample.scene_camera for sample in samples]),
        targets=_targets(samples),
        datasets=tuple(sample.dataset for sample in samples),
    )


def empty_batch() -> Batch:
    """A batch without samples: what a rank has of a step that has fewer samples than ranks."""
    return Batch(
        keys=(),
        image=torch.zeros(0, 3, CROP_SIZE, CROP_SIZE),
        camera=Camera(
            intrinsics=torch.zeros(0, 3, 3), camera_from_world=torch.zeros(0, 4, 4), crop_box=torch.zeros(0, 4)
        ),
        scene=pack_points([]),
        targets=Targets(
            vertices_camera=torch.zeros(0, NUM_VERTICES, 3),
            vertex_contact=torch.zeros(0, NUM_VERTICES, dtype=torch.bool),
            has_contact=torch.zeros(0, dtype=torch.bool),
        ),
    )


def _targets(samples: Sequence[Sample]) -> Targets | None:
    vertices = [sample.vertices_camera for sample in samples if sample.vertices_camera is not None]
    if len(vertices) < len(samples):
        return None
    unknown = torch.zeros(NUM_VERTICES, dtype=torch.bool)
    contact = [unknown if sample.vertex_contact is None else sample.vertex_contact for sample in samples]
    return Targets(
        vertices_camera=torch.stack(vertices),
        vertex_contact=torch.stack(contact),
        has_contact=torch.tensor([sample.has_contact for sample in samples]),
    )
