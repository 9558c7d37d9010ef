"""Whether a camera sees the fronts or the backs of a scan's faces: behind a wall it sees backs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sahmr.geometry.rays import Caster
from sahmr.scenes.voxels import cross, dot

NEAR_M, FAR_M = 0.15, 60.0  # of a depth picture
_BACKS, _INWARD = 0.5, 0.6
_COLUMNS = 48  # of a picture that only the share of backs is counted in: 1700 rays, 2 % at most beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a camera sees of a scan's faces.

    Attributes:
        depth: along the line of sight, metres; infinite where there is none.
        back_share: of the rays that meet a face, those that meet its back; None if none meets any.
    """

    depth: Float[ndarray, "rows columns"]
    back_share: float | None


class Walls:
    """A scan's faces, to be looked at from many cameras."""

    def __init__(self, vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> None:
        """Vertices in metres, world frame; one face or more, whose winding says which side is the front."""
        self._vertices, self._faces, self._caster = vertices, faces, Caster(vertices, faces)

    @cached_property
    def inward_share(self) -> float:
        """Of all faces, by area, those that face the scan's middle: below a half, the normals are turned round."""
        a, b, c = (self._vertices[self._faces[:, corner]] for corner in range(3))
        normal, middle = cross(b - a, c - a), (a + b + c) / 3
        area = np.sqrt(dot(normal, normal)).clip(1e-30)
        inward = dot(np.median(middle, axis=0) - middle, normal) > 0
        return float(area[inward].sum() / area.sum())

    def seen(
        self,
        intrinsics: Float[ndarray, "3 3"],
        camera_from_world: Float[ndarray, "4 4"],
        size: tuple[int, int],
        columns: int = _COLUMNS,
    ) -> Seen:
        """What a camera sees, in a picture reduced to at most so many columns.

        Args:
            intrinsics, camera_from_world: of the photograph; pixels, metres.
            size: (width, height) of the photograph.
            columns: of the reduced picture, each of whose pixels is a ray.
        """
        scale, wide, high = reduced(size, columns)
        row, column = np.mgrid[0:high, 0:wide]
        pixel = (np.stack([column, row], axis=2).reshape(-1, 2) + 0.5) / scale - 0.5
        toward = np.ones((high * wide, 3))
        toward[:, :2] = (pixel - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]]
        turn = camera_from_world[:3, :3]
        toward = toward @ turn
        length, face, _ = self._caster.first(-turn.T @ camera_from_world[:3, 3], toward)  # as deep as long
        depth = np.where((length > NEAR_M) & (length < FAR_M), length, np.inf)
        hit = face >= 0
        backs = self._is_back(face[hit], toward[hit])
        return Seen(depth=depth.reshape(high, wide), back_share=float(backs.mean()) if len(backs) else None)

    def _is_back(self, face: Int[ndarray, " n"], toward: Float[ndarray, "n 3"]) -> Bool[ndarray, " n"]:
        a, b, c = (self._vertices[self._faces[face, corner]] for corner in range(3))
        is_back: Bool[ndarray, " n"] = dot(cross(b - a, c - a), toward) > 0
        return is_back


def reduced(size: tuple[int, int], columns: int) -> tuple[float, int, int]:
    """Scale, columns and rows of a picture of at most so many columns."""
    scale = min(1.0, columns / size[0])
    return scale, max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def behind_a_wall(back_share: float | None, inward_share: float) -> tuple[str | None, str | None]:
    """What is certain, and what is only suspected: the scan's faces may be turned round.

    Returns:
        For people; None: it is not so.
    """
    if back_share is None or back_share <= _BACKS:
        return None, None
    if inward_share >= _INWARD:
        found = f"{back_share:.0%} of what it sees are the backs of surfaces"
        return f"the camera is behind a wall of the scan: {found}", None
    found = f"{back_share:.0%} of what the camera sees are backs: it is behind a wall"
    return None, f"{found}, or the scan's faces are turned round (then penetration means nothing)"
