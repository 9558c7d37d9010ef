"""A pinhole camera in the room, and rays through its pixels.

Pixel (i, j) has its *centre* at u = i, v = j: a point projects into the pixel it rounds to.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sahmr.geometry.rigid_numpy import apply_rigid, project, transpose_rigid, unproject

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCamera:
    """One camera.

    Attributes:
        intrinsics: K [3, 3], pixels of the picture as written.
        rotation, translation: ``x_camera = rotation @ x_room + translation``; x right, y down, z forward.
    """

    intrinsics: Array
    rotation: Array
    translation: Array
    width: int
    height: int

    @property
    def center(self) -> Array:
        """Where the camera stands, room frame."""
        return np.asarray(transpose_rigid(self.matrix)[:3, 3])

    @property
    def matrix(self) -> Array:
        """camera_from_room [4, 4]."""
        return np.block([[self.rotation, self.translation[:, None]], [np.array([0.0, 0.0, 0.0, 1.0])]])

    def to_camera(self, points: Array) -> Array:
        """Room points [n, 3] in camera axes."""
        return np.asarray(apply_rigid(self.matrix, points))

    def project(self, points: Array) -> Array:
        """Room points [n, 3] to pixels [n, 2]; points behind the camera become NaN."""
        camera = self.to_camera(points)
        return np.asarray(project(np.where(camera[:, 2:] > 0.05, camera, np.nan), self.intrinsics))

    def rays(self, pixels: Array) -> Array:
        """Directions [n, 3] in the room with unit depth, so that ray length = camera z."""
        return np.asarray(np.einsum("ji,nj->ni", self.rotation, unproject(pixels, 1.0, self.intrinsics)))


def look_at(eye: Array, target: Array, intrinsics: Array, size: tuple[int, int], roll: float = 0.0) -> RoomCamera:
    """A camera at ``eye`` whose optical axis meets ``target``, turned by ``roll`` about it (radians)."""
    forward = (target - eye) / np.sqrt(((target - eye) ** 2).sum())
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.sqrt((right**2).sum())
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    rotation = np.stack([c * right + s * down, -s * right + c * down, forward])
    translation = -np.einsum("ij,j->i", rotation, eye)
    return RoomCamera(intrinsics=intrinsics, rotation=rotation, translation=translation, width=size[0], height=size[1])
