"""Trilinear look-up of a scene's signed distance field."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def sample_distance(
    sdf: Float[Tensor, "nx ny nz"],
    sdf_min: Float[Tensor, "3"],
    sdf_max: Float[Tensor, "3"],
    points_world: Float[Tensor, "*batch 3"],
) -> Float[Tensor, "*batch"]:
    """Read the signed distance at any number of points.

    Args:
        sdf: signed distance at the samples, metres, negative inside or behind the surface; index order [x][y][z].
        sdf_min, sdf_max: centres of the first and the last sample, world frame, metres (align-corners convention).
        points_world: points, same frame; one outside the grid gets the nearest border value.

    Returns:
        Signed distance per point, metres.

    Source: the publishers' look-up (method 9.2): ``grid_sample`` with ``align_corners=True`` and border padding;
    it takes its coordinates last axis first, hence the flip.
    """
    unit = points_world - sdf_min
    unit /= sdf_max - sdf_min
    unit *= 2
    unit -= 1
    grid = torch.stack(unit.to(sdf.dtype).unbind(dim=-1)[::-1], dim=-1).reshape(1, 1, 1, -1, 3)
    values = functional.grid_sample(sdf[None, None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    return values.reshape(torch.Size(points_world.shape[:-1]))
