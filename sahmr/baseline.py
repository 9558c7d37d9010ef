"""The predictor to beat: always the training data's mean body, at its mean depth, in the middle of the crop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.errors import ShardError
from sahmr.structures import Batch, BodyTopology
from sahmr.targets import require_targets, target_pelvis


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means over a split.

    Attributes:
        mesh: mesh with its H36M pelvis at the origin, camera axes, metres.
        scaled_depth: depth x crop width / focal length of the pelvis.
    """

    mesh: Float[Tensor, "6890 3"]
    scaled_depth: Float[Tensor, ""]


def split_means(batches: Iterable[Batch], topology: BodyTopology) -> Means:
    """Average a split; crops should not be jittered.

    Raises:
        ShardError: if there are no samples.
    """
    mesh, depth, count = torch.zeros(6890, 3, dtype=torch.double), 0.0, 0
    for batch in batches:
        root = target_pelvis(batch, topology)
        mesh += (require_targets(batch).vertices_camera - root[:, None]).double().sum(dim=0)
        depth += float((root[:, 2] * batch.camera.depth_scale).double().sum())
        count += len(root)
    if count == 0:
        raise ShardError("the training split holds no samples; check params.yaml: train_*.dataset and the stage frames")
    return Means(mesh=(mesh / count).float(), scaled_depth=torch.tensor(depth / count))
