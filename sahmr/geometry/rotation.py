"""Rotations in torch: axis-angles to matrices and back, and the rotation nearest to a matrix."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_matrices(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Axis times angle, radians, to matrices; zero is no special case.

    Source: by way of the unit quaternion (cos a/2, axis sin a/2).
    """
    angle = axis_angle.norm(dim=-1, keepdim=True)
    vector = axis_angle * torch.sinc(angle / (2 * math.pi)) / 2  # sinc(x) = sin(pi x) / (pi x)
    (w,), (x, y, z) = (angle / 2).cos().unbind(-1), vector.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def axis_angles(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Rotation matrices to axis times angle, radians, 0..pi; as exact near pi as near 0.

    Source: Shepperd, 1978: of the four ways to a quaternion, the one that divides by its largest component.
    """
    a, b, c = (rotation[..., i, i] for i in range(3))
    # The four quaternions are the rows of 4 q q^T, each the same one times a component of it.
    wx, wy, wz = (rotation[..., j, i] - rotation[..., i, j] for i, j in ((1, 2), (2, 0), (0, 1)))
    xy, yz, zx = (rotation[..., j, i] + rotation[..., i, j] for i, j in ((0, 1), (1, 2), (2, 0)))
    rows = (
        (1 + a + b + c, wx, wy, wz),
        (wx, 1 + a - b - c, xy, zx),
        (wy, xy, 1 - a + b - c, yz),
        (wz, zx, yz, 1 - a - b + c),
    )
    outer = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)  # [..., 4, 4]
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)[..., None, None].expand(*outer.shape[:-2], 1, 4)
    quaternion = torch.nn.functional.normalize(outer.gather(-2, largest)[..., 0, :], dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    vector, w = quaternion[..., 1:], quaternion[..., :1]
    sine = vector.norm(dim=-1, keepdim=True)
    return torch.where(sine > 0, vector / sine.clamp_min(1e-30), vector) * 2 * torch.atan2(sine, w)


def nearest_rotations(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The proper rotation R of largest trace(R^T matrix): for a sum of ``target source^T`` the one that aligns best.

    Source: Kabsch, 1976; a reflection is excluded by flipping the weakest singular vector.
    """
    u, _, vt = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vt).sign()
    rotation: Tensor = (u * sign[..., None, :]) @ vt
    return rotation
