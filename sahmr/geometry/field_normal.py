"""Normals of the surface a distance field describes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.geometry.distance_field import sample_distance

_FLAT = 1e-3  # slope of a distance is 1, of a flat place the rounding error of two equal numbers


def field_normals(
    sdf: Float[Tensor, "nx ny nz"],
    sdf_min: Float[Tensor, "3"],
    sdf_max: Float[Tensor, "3"],
    points_world: Float[Tensor, "points 3"],
) -> Float[Tensor, "points 3"]:
    """Direction in which the distance grows fastest: the surface's normal, towards the free side.

    Central differences over one grid step either way.

    Args:
        sdf, sdf_min, sdf_max: as :func:`sahmr.geometry.distance_field.sample_distance` has them.
        points_world: near the surface, world frame, metres.

    Returns:
        Length 1; zero where the field is flat.
    """
    step = (sdf_max - sdf_min) / (torch.tensor(sdf.shape) - 1)  # [3]
    offsets = torch.diag(step)  # [3, 3]
    around = points_world[:, None] + torch.stack([offsets, -offsets])[:, None]  # [2, points, 3, 3]
    ahead, behind = sample_distance(sdf, sdf_min, sdf_max, around)  # [points, 3] each
    slope = (ahead - behind) / (2 * step)
    steepness = slope.norm(dim=1, keepdim=True)
    normals: Tensor = torch.where(steepness > _FLAT, slope / steepness.clamp(min=_FLAT), 0)
    return normals
