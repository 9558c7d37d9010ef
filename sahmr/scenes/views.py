"""A scene as one camera sees it, kept: a crop of that camera then costs little more than copying its points.

Which points a crop has, their order and their bits are those of :func:`sahmr.scenes.visible.visible_points`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from sahmr.remote import Place
from sahmr.scenes.visible import BlockedPoints, in_depth, load_blocks, to_camera, to_pixels

KEPT_BYTES = 2**28  # of views, per process; a million points in front of a camera have 12 MB
_BLOCK = 64  # points; smaller blocks leave fewer points to be looked at, and are more themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Points in front of a camera. Camera frame, metres.

    Attributes:
        xyz: those between 0.5 m and 12.5 m depth, in the scene's order.
        low, high: least and largest (u, v) of every 64 of them, full-image pixels.
        intrinsics: K, full-image pixels.
    """

    xyz: Float[ndarray, "points 3"]
    low: Float[ndarray, "2 blocks"]
    high: Float[ndarray, "2 blocks"]
    intrinsics: Float[Tensor, "3 3"]

    @property
    def nbytes(self) -> int:
        """Of its arrays."""
        return self.xyz.nbytes + self.low.nbytes + self.high.nbytes


def make_view(scene: BlockedPoints, intrinsics: Float[Tensor, "3 3"], camera_from_world: Float[Tensor, "4 4"]) -> View:
    """A scene as a camera sees it. Arguments as :func:`sahmr.scenes.visible.visible_points`."""
    columns = to_camera(scene.xyz.numpy().reshape(-1, 3), camera_from_world)
    kept = np.flatnonzero(in_depth(columns[2]))
    x, y, depth = (column.take(kept) for column in columns)
    pixels, starts = to_pixels(x, y, depth, intrinsics), np.arange(0, len(kept), _BLOCK)
    low, high = (np.stack([end.reduceat(axis, starts) if len(kept) else axis for axis in pixels])
                 for end in (np.minimum, np.maximum))  # fmt: skip
    return View(xyz=np.stack([x, y, depth], axis=1), low=low, high=high, intrinsics=intrinsics)


def points_in_crop(view: View, crop_box: Float[Tensor, "4"]) -> Float[Tensor, "visible 3"]:
    """Points that a crop, (left, top, right, bottom) in full-image pixels, can see; camera frame, metres."""
    box = crop_box.numpy()
    least, most = box[:2, None], box[2:, None]
    touched = ((view.high >= least) & (view.low <= most)).all(axis=0)
    whole = ((view.low >= least) & (view.high <= most)).all(axis=0)
    inside = np.repeat(whole, _BLOCK)[: len(view.xyz)]
    rows = (np.flatnonzero(touched & ~whole)[:, None] * _BLOCK + np.arange(_BLOCK)).ravel()
    rows = rows[: np.searchsorted(rows, len(view.xyz))]  # the last block may be shorter
    x, y, depth = np.ascontiguousarray(view.xyz.take(rows, axis=0).T)
    u, v = to_pixels(x, y, depth, view.intrinsics)
    inside[rows] = (u >= box[0]) & (u <= box[2]) & (v >= box[1]) & (v <= box[3])
    return torch.from_numpy(view.xyz.take(np.flatnonzero(inside), axis=0))


class Views:
    """Views of stored scenes, kept until they take too much memory; then those looked through last stay.

    Args:
        most_bytes: of all that are kept; one that is larger alone is made each time.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self.most_bytes, self.nbytes = most_bytes, 0
        self._kept: OrderedDict[tuple[Place, str, bytes], tuple[BlockedPoints, View]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self,
        store: Place,
        scene_key: str,
        intrinsics: Float[Tensor, "3 3"],
        camera_from_world: Float[Tensor, "4 4"],
    ) -> View:
        """A scene as a camera sees it. Errors as :func:`sahmr.scenes.visible.load_blocks`."""
        key = (store, scene_key, intrinsics.numpy().tobytes() + camera_from_world.numpy().tobytes())
        scene = load_blocks(store, scene_key)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                of, view = self._kept[key]
                if of is scene:  # not of an earlier reading
                    return view
        view = make_view(scene, intrinsics, camera_from_world)
        with self._lock:
            self._keep(key, scene, view)
        return view

    def _keep(self, key: tuple[Place, str, bytes], scene: BlockedPoints, view: View) -> None:
        if key in self._kept:
            self.nbytes -= self._kept.pop(key)[1].nbytes
        if view.nbytes <= self.most_bytes:
            self._kept[key] = scene, view
            self.nbytes += view.nbytes
        while self.nbytes > self.most_bytes:
            self.nbytes -= self._kept.popitem(last=False)[1][1].nbytes


VIEWS = Views()  # this process's
