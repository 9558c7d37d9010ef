"""Rigid transforms and the pinhole camera in numpy's float64, for whatever ends in files: no BLAS, no LAPACK, no torch.

BLAS rounds as the processor and the number of threads please. ``einsum`` of these small products and element by element
arithmetic do not, so the same input gives the same bytes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def apply_rigid(transform: Float[ndarray, "4 4"], points: Float[ndarray, "points 3"]) -> Float[ndarray, "points 3"]:
    """Move points: ``x_camera = camera_from_world @ x_world``.

    The three products are added in an order that goes by the memory order of ``points``: x, y, z where columns lie
    together (also the faster one), x, z, y where rows do. The two differ by the last bit.

    Args:
        transform: rotation and translation, metres; the last row is not read.
        points: in the frame the transform starts from, metres.
    """
    moved: Float[ndarray, "points 3"] = np.einsum("ij,nj->ni", transform[:3, :3], points) + transform[:3, 3]
    return moved


def invert_rigid(transform: Float[ndarray, "4 4"]) -> Float[ndarray, "4 4"]:
    """Inverse by cofactors, exact for every affine transform.

    Published rotations are rounded to about 1e-5; the transpose would be wrong by as much.
    """
    after, last = [1, 2, 0], [2, 0, 1]
    b, c = transform[after, :3], transform[last, :3]  # the two rows after each
    rows = b[:, after] * c[:, last] - b[:, last] * c[:, after]  # cross products; np.cross takes ten times as long
    rows = np.ascontiguousarray(rows)  # einsum adds in memory's order
    inverse = np.eye(4)
    inverse[:3, :3] = rows.T / np.einsum("i,i->", transform[0, :3], rows[0])
    inverse[:3, 3] = -np.einsum("ij,j->i", inverse[:3, :3], transform[:3, 3])
    return inverse


def transpose_rigid(transform: Float[ndarray, "4 4"]) -> Float[ndarray, "4 4"]:
    """Inverse where the rotation is orthonormal to the last bits: a computed one, not one read from a file."""
    inverse = np.eye(4)
    inverse[:3, :3] = transform[:3, :3].T
    inverse[:3, 3] = -np.einsum("ji,j->i", transform[:3, :3], transform[:3, 3])
    return inverse


def project(points_camera: Float[ndarray, "points 3"], intrinsics: Float[ndarray, "3 3"]) -> Float[ndarray, "points 2"]:
    """Project points to full-image pixels; no distortion, zero skew.

    Args:
        points_camera: camera frame, metres; z must not be 0.
        intrinsics: K, pixels; focal lengths and principal point are read.
    """
    focal, center = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    pixels: Float[ndarray, "points 2"] = points_camera[:, :2] / points_camera[:, 2:] * focal + center
    return pixels


def unproject(
    pixels: Float[ndarray, "points 2"], depth: Float[ndarray, " points"] | float, intrinsics: Float[ndarray, "3 3"]
) -> Float[ndarray, "points 3"]:
    """Inverse of :func:`project`: full-image pixels lifted to the camera frame at a depth along z, metres."""
    focal, center = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    depth = np.broadcast_to(depth, len(pixels))[:, None]
    return np.concatenate([(pixels - center) / focal * depth, depth], axis=1)
