"""How much of a body the scan hides from the camera, read off its distance field."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_EVERY = 53  # of the vertices one is looked at: 130, all over the body
_STEPS = 64  # samples of a ray: 6 cm apart at 4 m, like the field's own
_BEFORE_M = 0.15  # what a vertex touches does not hide it
_DEEP_M = 0.02  # behind the surface, farther than a field rounds it


def ray_points(
    camera: Float[Tensor, "batch 3"], vertices: Float[Tensor, "batch 6890 3"]
) -> Float[Tensor, "batch rays steps 3"]:
    """Points on the rays from a camera to 130 vertices of a true mesh, 64 each, up to 15 cm before the vertex.

    Args:
        camera: its centre, metres.
        vertices: same frame.
    """
    goal = vertices[:, ::_EVERY].transpose(1, 2)  # [batch, 3, rays]
    ray = goal - camera[:, :, None]
    x, y, z = (ray * ray).unbind(dim=1)
    length = (x + y + z).sqrt()
    ray = ray * ((length - _BEFORE_M) / length).clamp(min=0)[:, None]
    steps = torch.linspace(0, 1, _STEPS, dtype=ray.dtype, device=ray.device)
    points = camera[:, :, None, None] + ray[..., None] * steps  # [batch, 3, rays, steps]
    return points.movedim(1, -1)


def hidden_share(distance: Float[Tensor, "batch rays steps"]) -> Float[Tensor, " batch"]:
    """Share of the rays that go through the scan's surface.

    A ray is hidden if it is in front of the surface somewhere and at least 2 cm behind it farther on. A camera that the
    scan takes to be behind a wall hides nobody by that wall.

    Args:
        distance: signed distance of every point of :func:`ray_points`, metres.
    """
    place = torch.arange(_STEPS, dtype=torch.int32, device=distance.device)
    first_free = torch.where(distance > 0, place, _STEPS).amin(dim=2)  # [batch, rays]
    last_deep = torch.where(distance < -_DEEP_M, place, -1).amax(dim=2)
    hidden = first_free < last_deep
    return hidden.sum(dim=1).double() / hidden.shape[1]
