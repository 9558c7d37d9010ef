"""A scene as small squares with normals, made from its voxels and its distance field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from sahmr.geometry.distance_field import sample_distance
from sahmr.geometry.field_normal import field_normals
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid
from sahmr.scenes.store import Scene

_OPEN_M = 0.15  # so far before an open surface the distance is as large; before a corner it is smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfels:
    """Squares that cover a surface. Camera frame, metres.

    Attributes:
        points: middles.
        normals: towards the free side, length 1; zero where the field is flat.
        openness: 0 in narrow corners, 1 on open surfaces.
        pitch: distance of neighbours.
    """

    points: Float[ndarray, "surfels 3"]
    normals: Float[ndarray, "surfels 3"]
    openness: Float[ndarray, " surfels"]
    pitch: float


def cloud_near(
    points: Float[ndarray, "points 3"],
    pitch_m: float,
    camera_from_world: Float[ndarray, "4 4"],
    middle: Float[ndarray, "3"],
    radius_m: float,
) -> Surfels:
    """The same of a cloud, which has no surface: squares that face the photograph's camera.

    Args:
        points: voxel centres, world frame, metres.
        pitch_m: side of the voxels.
        camera_from_world, middle, radius_m: as in :func:`surfels_near`.
    """
    center = apply_rigid(invert_rigid(camera_from_world), middle[None])[0]
    close = points[((points - center) ** 2).sum(axis=1) < radius_m**2]
    found = apply_rigid(camera_from_world, close.astype(np.float64))
    length = np.sqrt((found * found).sum(axis=1, keepdims=True))
    return Surfels(points=found, normals=-found / length.clip(1e-9), openness=np.ones(len(found)), pitch=pitch_m)


def surfels_near(
    scene: Scene, camera_from_world: Float[ndarray, "4 4"], middle: Float[ndarray, "3"], radius_m: float
) -> Surfels:
    """The part of a scene round a point.

    Voxels lie up to half a diagonal off the surface; the distance field says how far, and they are moved there.

    Args:
        scene: with its distance field.
        camera_from_world: rigid, metres.
        middle: camera frame, metres.
        radius_m: of a ball round it.
    """
    center = torch.from_numpy(apply_rigid(invert_rigid(camera_from_world), middle[None])[0]).float()
    points = scene.points[(scene.points - center).norm(dim=1) < radius_m]
    pitch = float(scene.attributes["voxel_pitch_m"])
    field = (scene.sdf, scene.sdf_min, scene.sdf_max)
    normals = field_normals(*field, points)
    off = sample_distance(*field, points).clamp(-pitch, pitch)
    points = points - off[:, None] * normals
    openness = (sample_distance(*field, points + _OPEN_M * normals) / _OPEN_M).clamp(0, 1)
    return Surfels(
        points=apply_rigid(camera_from_world, points.double().numpy()),
        normals=np.einsum("ij,nj->ni", camera_from_world[:3, :3], normals.double().numpy()),
        openness=openness.double().numpy(),
        pitch=pitch,
    )
