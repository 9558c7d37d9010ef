"""A pinhole camera in the room, and rays through its pixels.

Pixel (i, j) has its *centre* at u = i, v = j: a point projects into the pixel it rounds to.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
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
        return np.asarray(-np.einsum("ji,j->i", self.rotation, self.translation))

    @property
    def matrix(self) -> Array:
        """camera_from_room [4, 4]."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.translation
        return matrix

    def to_camera(self, points: Array) -> Array:
        """Room points [n, 3] in camera axes."""
        return np.asarray(np.einsum("ij,nj->ni", self.rotation, points) + self.translation)

    def project(self, points: Array) -> Array:
        """Room points [n, 3] to pixels [n, 2]; points behind the camera become NaN."""
        camera = self.to_camera(points)
        depth = np.where(camera[:, 2:] > 0.05, camera[:, 2:], np.nan)
        k = self.intrinsics
        return np.asarray(camera[:, :2] / depth * [k[0, 0], k[1, 1]] + [k[0, 2], k[1, 2]])

    def rays(self, pixels: Array) -> Array:
        """Directions [n, 3] in the room with unit depth, so that ray length = camera z."""
        k = self.intrinsics
        x = (pixels[:, 0] - k[0, 2]) / k[0, 0]
        y = (pixels[:, 1] - k[1, 2]) / k[1, 1]
        camera = np.stack([x, y, np.ones_like(x)], 1)
        return np.asarray(np.einsum("ji,nj->ni", self.rotation, camera))


def look_at(eye: Array, target: Array, intrinsics: Array, size: tuple[int, int], roll: float = 0.0) -> View:
    """A camera at ``eye`` whose optical axis meets ``target``, turned by ``roll`` about it (radians)."""
    forward = (target - eye) / np.sqrt(((target - eye) ** 2).sum())
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.sqrt((right**2).sum())
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    rotation = np.stack([c * right + s * down, -s * right + c * down, forward])
    translation = -np.einsum("ij,j->i", rotation, eye)
    return View(intrinsics=intrinsics, rotation=rotation, translation=translation, width=size[0], height=size[1])
