"""Numbers of a camera in a scan: what it sees, how high it stands, which way is up, whether walls face it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from sahmr.geometry.rigid_numpy import invert_rigid
from sahmr.scenes.own_scan import OwnScan
from sahmr.scenes.visible import block_points, visible_points
from sahmr.shards.crop import crop_box
from sahmr.sight.depth import WIDE, depth_edges, depth_picture, edge_agreement
from sahmr.sight.walls import Walls

_FLOOR = 0.01  # of the voxels along up: stray ones lie below the floor
_FEET = 0.15  # of the box's height, from below


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A photograph without distortion, its camera in the scan's frame, and the box of a person in it.

    Attributes:
        intrinsics, camera_from_world: pixels, metres.
        size: (width, height).
        box: (left, top, right, bottom), pixels.
    """

    intrinsics: Float[ndarray, "3 3"]
    camera_from_world: Float[ndarray, "4 4"]
    size: tuple[int, int]
    box: tuple[float, float, float, float]

    @property
    def center(self) -> Float[ndarray, "3"]:
        """Where the camera stands, world frame, metres."""
        place: Float[ndarray, "3"] = invert_rigid(self.camera_from_world)[:3, 3]
        return place

    @property
    def crop(self) -> Float[ndarray, "4"]:
        """The square the network sees."""
        return crop_box(np.array(self.box, dtype=np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a camera sees of a scan.

    Attributes:
        depth: see :func:`depth_picture`; of a mesh, exact, where voxels that are near make steps of several pixels.
        edges: see :func:`depth_edges`.
        image_share: of the photograph that sees the scan.
        frustum_points: voxels in the crop's frustum, which the network gets.
        outside_m: from the camera to the scan's box; 0 inside.
        floor_m: of the camera above the scan's lowest points; None: up is not known.
        tilt_deg: between the photograph's up and the scan's; None: up is not known, or it looks steeply up or down.
        back_share, inward_share: see :class:`sahmr.sight.walls.Walls`; None and a half for a cloud.
        person_m: height of what fills the box if it stands where the scan is seen at its lower end; None: unknown.
        agreement, mirrored_agreement: see :func:`edge_agreement`.
    """

    depth: Float[ndarray, "rows columns"]
    edges: Bool[ndarray, "rows columns"]
    image_share: float
    frustum_points: int
    outside_m: float
    floor_m: float | None
    tilt_deg: float | None
    back_share: float | None
    inward_share: float
    person_m: float | None
    agreement: float
    mirrored_agreement: float


def look(
    scan: OwnScan,
    voxels: Float[ndarray, "voxels 3"],
    pitch_m: float,
    view: View,
    image: UInt8[ndarray, "height width 3"],
) -> Sight:
    """All numbers of a view.

    Args:
        scan: metres, with its up axis where that is known.
        voxels: its voxel centres, world frame, metres.
        pitch_m: their side.
        view: camera and box.
        image: the photograph without distortion.
    """
    camera = (view.intrinsics, view.camera_from_world, view.size)
    if scan.is_cloud:
        depth, back, inward = depth_picture(voxels, pitch_m, *camera), None, 0.5
    else:
        walls = Walls(scan.vertices, scan.faces)
        seen = walls.seen(*camera, columns=WIDE)
        depth, back, inward = seen.depth, seen.back_share, walls.inward_share
    edges = depth_edges(depth)
    here, there = edge_agreement(image, edges)
    return Sight(
        depth=depth,
        edges=edges,
        image_share=float(np.isfinite(depth).mean()),
        frustum_points=_count(voxels, view),
        outside_m=outside(voxels, view.center),
        floor_m=floor_height(scan, voxels, view.center),
        tilt_deg=tilt(scan, view.camera_from_world),
        back_share=back,
        inward_share=inward,
        person_m=_person_height(depth, view),
        agreement=here,
        mirrored_agreement=there,
    )


def _count(voxels: Float[ndarray, "voxels 3"], view: View) -> int:
    numbers = (torch.from_numpy(value).float() for value in (view.intrinsics, view.camera_from_world, view.crop))
    return len(visible_points(block_points(torch.from_numpy(voxels)), *numbers))


def outside(points: Float[ndarray, "n 3"], place: Float[ndarray, "3"]) -> float:
    """Distance of a place from the box round points."""
    low, high = points.min(axis=0), points.max(axis=0)
    off = np.maximum(0.0, np.maximum(low - place, place - high))
    return float(np.sqrt((off * off).sum()))


def floor_height(scan: OwnScan, voxels: Float[ndarray, "voxels 3"], place: Float[ndarray, "3"]) -> float | None:
    """Of a place above the scan's lowest points; None where up is not known."""
    if scan.up is None:
        return None
    heights = voxels.astype(np.float64) @ scan.up
    return float(place @ scan.up - np.quantile(heights, _FLOOR))


def tilt(scan: OwnScan, camera_from_world: Float[ndarray, "4 4"]) -> float | None:
    """Angle between the photograph's up and the scan's in the picture's plane, degrees."""
    if scan.up is None:
        return None
    x, y, ahead = camera_from_world[:3, :3] @ scan.up
    return None if abs(ahead) > 0.9 else float(np.degrees(np.arctan2(abs(x), -y)))


def _person_height(depth: Float[ndarray, "rows columns"], view: View) -> float | None:
    """Of what fills the box, where the scan is seen in its lower end."""
    left, top, right, bottom = view.box
    if bottom >= view.size[1] - 2:  # cut off: its feet are not in the photograph
        return None
    scale = depth.shape[1] / view.size[0]
    low, high = (int((bottom - share * (bottom - top)) * scale) for share in (_FEET, 0.0))
    columns = slice(
        max(0, int((left * 0.8 + right * 0.2) * scale)), max(1, int((left * 0.2 + right * 0.8) * scale)) + 1
    )
    seen = depth[max(0, low) : max(1, high) + 1, columns]
    seen = seen[np.isfinite(seen)]
    return float(np.median(seen) * (bottom - top) / view.intrinsics[1, 1]) if len(seen) else None
