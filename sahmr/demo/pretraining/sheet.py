"""A picture to look at before hours of training: random crops, each with its true mesh beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sahmr.files import publish_file
from sahmr.geometry.rigid_numpy import apply_rigid, project
from sahmr.shards.crop import stored_from_image
from sahmr.shards.decode import StoredSample

Pixels = NDArray[np.uint8]

_SIDE = 256  # of a tile, pixels
_COLUMNS = 4
_MESH, _TOUCH = np.array((72.0, 168.0, 124.0)), (206, 34, 84)


def draw_crops(samples: Sequence[StoredSample], faces: NDArray[np.int64], path: Path) -> None:
    """Write a PNG: of every sample the stored crop, and over it the true mesh, vertices in contact red.

    Args:
        samples: with ground truth.
        faces: triangles [f, 3] of the 6890 vertices.
        path: of the picture.
    """
    tiles = [np.hstack([_fit(sample.image), _fit(_with_mesh(sample, faces))]) for sample in samples]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    with publish_file(path) as partial:
        done, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
        assert done
        partial.write_bytes(data.tobytes())


def _fit(image: Pixels) -> Pixels:
    """The image in the middle of a white square, enlarged or reduced to it."""
    scale = _SIDE / max(image.shape[:2])
    height, width = (min(_SIDE, round(side * scale)) for side in image.shape[:2])
    square = np.full((_SIDE, _SIDE, 3), 255, dtype=np.uint8)
    top, left = (_SIDE - height) // 2, (_SIDE - width) // 2
    square[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return square


def _with_mesh(sample: StoredSample, faces: NDArray[np.int64]) -> Pixels:
    """Triangles from far to near, shaded by how much they face the camera, half transparent."""
    assert sample.vertices_world is not None and sample.contact is not None
    camera = apply_rigid(sample.camera_from_world, sample.vertices_world.astype(np.float64))  # [6890, 3]
    height, width = sample.image.shape[:2]
    affine = stored_from_image(sample.region, width, height)
    pixels = project(camera, sample.intrinsics) @ affine[:, :2].T + affine[:, 2]  # [6890, 2]
    corners = camera[faces]  # [f, 3, 3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = -(normals * corners[:, 0]).sum(1) / np.linalg.norm(normals, axis=1) / np.linalg.norm(corners[:, 0], axis=1)
    drawn = sample.image.copy()
    for face in np.argsort(-corners[:, :, 2].mean(1)):
        if facing[face] > 0:
            shape = np.round(pixels[faces[face]] * 16).astype(np.int32)
            cv2.fillConvexPoly(drawn, shape, tuple(_MESH * (0.45 + 0.55 * facing[face])), cv2.LINE_AA, shift=4)
    mixed = np.asarray(cv2.addWeighted(drawn, 0.7, sample.image, 0.3, 0.0), dtype=np.uint8)
    for u, v in pixels[sample.contact]:
        cv2.circle(mixed, (round(u), round(v)), 0, _TOUCH, -1)
    return mixed
