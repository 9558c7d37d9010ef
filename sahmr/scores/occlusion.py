"""How much of a body the scan hides from the camera, read off its distance field."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.geometry.distance_field import sample_distance
from sahmr.scenes.store import Scene

_EVERY = 53  # of the vertices one is looked at: 130, all over the body
_STEPS = 64  # samples of a ray: 6 cm apart at 4 m, like the field's own
_BEFORE_M = 0.15  # what a vertex touches does not hide it
_DEEP_M = 0.02  # behind the surface, farther than a field rounds it


def occluded_share(scene: Scene, camera_world: Float[Tensor, "3"], vertices_world: Float[Tensor, "6890 3"]) -> float:
    """Share of a true mesh's vertices, 130 of them, whose ray from the camera goes through the scan's surface.

    A ray is hidden if it is in front of the surface somewhere and at least 2 cm behind it farther on, 15 cm or more
    before the vertex. A camera that the scan takes to be behind a wall hides nobody by that wall.

    Args:
        scene: with its distance field.
        camera_world: its centre, world frame, metres.
        vertices_world: world frame, metres.
    """
    ray = (vertices_world[::_EVERY].double() - camera_world).T  # [3, rays]
    length = ray.square().sum(dim=0).sqrt()
    reach = ((length - _BEFORE_M) / length).clamp(min=0) * ray  # [3, rays], where a ray ends
    steps = torch.linspace(0, 1, _STEPS, dtype=torch.float64)
    points = (camera_world[:, None, None] + reach[:, :, None] * steps).movedim(0, -1)  # [rays, steps, 3]
    distance = sample_distance(scene.sdf, scene.sdf_min, scene.sdf_max, points)  # [rays, steps]
    was_free = (distance > 0).cummax(dim=1).values
    hidden = (was_free & (distance < -_DEEP_M)).any(dim=1)
    return float(hidden.sum()) / len(hidden)
