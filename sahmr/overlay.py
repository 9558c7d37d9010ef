"""A picture to judge by: true and predicted meshes over the crops, and beside the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sahmr.dimensions import CROP_SIZE
from sahmr.files import publish_file
from sahmr.geometry.rigid_numpy import project

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_PANEL = 288  # side of one panel, pixels
_FINE = 3  # panels are drawn this much larger and reduced, for smooth edges
_GAP, _CAPTION = 12, 26
_COLUMNS = 2  # tiles side by side
_TRUE, _PREDICTED, _SCENE, _CONTACT = (72, 168, 124), (226, 128, 58), (176, 180, 188), (206, 34, 84)
_BACKGROUND, _INK = (250, 250, 248), (40, 42, 46)
_OPACITY = 0.82  # of meshes over the image
_LIGHT = np.array([-0.35, -0.55, -0.76])  # towards the light; camera axes (x right, y down, z forward)
_SIDE_RADIUS_M = 1.35  # half of what the side view shows
_SIDE_SLICE_M = 0.8  # scene points farther than this to the left or right of the body are not shown there


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One person-image of the sheet; points in the camera frame, metres.

    Attributes:
        caption: text under it.
        image: RGB crop [224, 224, 3].
        intrinsics, crop_box: K [3, 3] and the crop (left, top, right, bottom), full-image pixels.
        true, predicted: vertices [6890, 3].
        scene: scene points [n, 3].
        contact: predicted contact points [m, 3].
    """

    caption: str
    image: Pixels
    intrinsics: Array
    crop_box: Array
    true: Array
    predicted: Array
    scene: Array
    contact: Array


def draw_sheet(tiles: Sequence[Tile], faces: NDArray[np.int64], path: Path, *, title: str) -> None:
    """Write all tiles as one PNG: true mesh, predicted mesh, and both from the side with scene and contact points."""
    width = 3 * _PANEL + 2 * 2
    rows = -(-len(tiles) // _COLUMNS)
    columns = min(_COLUMNS, max(1, len(tiles)))
    head = 58
    size = (columns * (width + _GAP) + _GAP, head + rows * (_PANEL + _CAPTION + _GAP) + _GAP)
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 10), title, fill=_INK, font=ImageFont.load_default(20))
    _legend(draw, _GAP, 38)
    font = ImageFont.load_default(14)
    for place, tile in enumerate(tiles):
        left = _GAP + (place % _COLUMNS) * (width + _GAP)
        top = head + (place // _COLUMNS) * (_PANEL + _CAPTION + _GAP)
        panels = (
            _over_image(tile, tile.true, _TRUE, faces),
            _over_image(tile, tile.predicted, _PREDICTED, faces),
            _from_the_side(tile, faces),
        )
        for number, panel in enumerate(panels):
            sheet.paste(Image.fromarray(panel), (left + number * (_PANEL + 2), top))
        draw.text((left, top + _PANEL + 5), tile.caption, fill=_INK, font=font)
    with publish_file(path) as partial:
        sheet.save(partial, format="PNG", optimize=True)


def shade(vertices: Array, faces: NDArray[np.int64], color: tuple[int, int, int]) -> NDArray[np.float64]:
    """Color of every face under one soft light, 0..255, [faces, 3]."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-12)
    lambert = np.abs(normal @ _LIGHT)  # both sides: raw meshes differ in their winding
    return np.clip(np.outer(0.42 + 0.68 * lambert, color), 0, 255)


def paint(
    canvas: Pixels, uv: Array, depth: Array, vertices: Array, faces: NDArray[np.int64], color: tuple[int, int, int]
) -> Pixels:
    """Paint a mesh far to near; returns where it is, as a mask 0/255.

    Args:
        canvas: RGB, painted into.
        uv: vertices on the canvas, pixels [v, 2].
        depth: larger is farther [v].
        vertices: the same vertices in 3D, for the shading.
        faces: triangles.
        color: RGB.
    """
    layers = np.dstack([canvas, np.zeros_like(canvas[..., 0])])  # RGB and the mask: one fill paints all four
    corners = np.round(uv[faces] * 16).astype(np.int64)
    bounded = np.abs(corners).max(axis=(1, 2)) < 16 * 8 * max(canvas.shape)  # a vertex on the image plane runs away
    order = np.argsort(-depth[faces].mean(axis=1), kind="stable")
    order = order[bounded[order]]
    colors = shade(vertices, faces, color)[order].tolist()
    for triangle, shaded in zip(corners[order].astype(np.int32), colors, strict=True):
        cv2.fillConvexPoly(layers, triangle, (*shaded, 255), lineType=cv2.LINE_8, shift=4)
    canvas[:] = layers[..., :3]
    return layers[..., 3].copy()


def _over_image(tile: Tile, vertices: Array, color: tuple[int, int, int], faces: NDArray[np.int64]) -> Pixels:
    """The crop with a mesh over it."""
    side = _PANEL * _FINE
    image = np.asarray(Image.fromarray(tile.image).resize((side, side), Image.Resampling.BICUBIC))
    canvas = image.copy()
    if (vertices[:, 2] > 0.1).all():
        pixels = project(vertices, tile.intrinsics)
        unit = (pixels - tile.crop_box[:2]) / (tile.crop_box[2:] - tile.crop_box[:2])
        cell = unit * (CROP_SIZE - 1) + 0.5  # crop pixel centres -> their distance from the crop's edge
        uv = cell / CROP_SIZE * side - 0.5
        mask = paint(canvas, uv, vertices[:, 2], vertices, faces, color)
        share = (mask[..., None] / 255.0) * _OPACITY
        canvas = np.round(image * (1 - share) + canvas * share).astype(np.uint8)
    return _reduce(canvas)


def _from_the_side(tile: Tile, faces: NDArray[np.int64]) -> Pixels:
    """Both meshes from the person's side, the camera to the left: depth runs right, the image's up is up; parallel."""
    side = _PANEL * _FINE
    canvas = np.full((side, side, 3), 255, dtype=np.uint8)
    both = np.concatenate([tile.true, tile.predicted])
    middle = (both.min(axis=0) + both.max(axis=0)) / 2
    radius = max(_SIDE_RADIUS_M, 0.55 * float(np.ptp(both[:, 1:], axis=0).max()))

    def place(points: Array) -> Array:
        across = np.stack([points[:, 2] - middle[2], points[:, 1] - middle[1]], axis=1)
        placed: Array = (across / radius + 1) / 2 * side
        return placed

    near = tile.scene[np.abs(tile.scene[:, 0] - middle[0]) < _SIDE_SLICE_M]
    _dots(canvas, place(near), _SCENE, 2)
    for vertices, color in ((tile.true, _TRUE), (tile.predicted, _PREDICTED)):
        layer = canvas.copy()
        turned = np.stack([vertices[:, 2], vertices[:, 1], -vertices[:, 0]], axis=1)
        mask = paint(layer, place(vertices), -vertices[:, 0], turned, faces, color)
        share = (mask[..., None] / 255.0) * 0.72
        canvas = np.round(canvas * (1 - share) + layer * share).astype(np.uint8)
    _dots(canvas, place(tile.contact), _CONTACT, 4)
    return _reduce(canvas)


def _dots(canvas: Pixels, uv: Array, color: tuple[int, int, int], radius: int) -> None:
    """Filled dots, those outside left out."""
    for u, v in np.round(uv).astype(int).tolist():
        if 0 <= u < canvas.shape[1] and 0 <= v < canvas.shape[0]:
            cv2.circle(canvas, (u, v), radius, color, thickness=-1)


def _reduce(canvas: Pixels) -> Pixels:
    """Average down to a panel, with a thin frame."""
    panel: Pixels = np.asarray(cv2.resize(canvas, (_PANEL, _PANEL), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    cv2.rectangle(panel, (0, 0), (_PANEL - 1, _PANEL - 1), (214, 214, 210), 1)
    return panel


def _legend(draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """Colors of the sheet."""
    font = ImageFont.load_default(13)
    for color, text in (
        (_TRUE, "ground truth"),
        (_PREDICTED, "prediction"),
        (_SCENE, "scene"),
        (_CONTACT, "predicted contact points"),
    ):
        draw.rectangle((left, top + 2, left + 11, top + 13), fill=color)
        draw.text((left + 17, top - 1), text, fill=_INK, font=font)
        left += 30 + round(draw.textlength(text, font=font))
