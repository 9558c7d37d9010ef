"""One person-image as a strip of panels: what is stored of it, and what was predicted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from sahmr.files import publish_file
from sahmr.geometry.rigid_numpy import project
from sahmr.report.panels import (
    CONTACT,
    PAPER,
    PREDICTED,
    SIDE,
    TOUCHED,
    TRUE,
    Tile,
    in_the_scene,
    over_photograph,
    photograph,
)

_GAP, _TOP, _BOTTOM = 12, 58, 30  # pixels
_INK, _SOFT_INK, _BOX = (40, 42, 46), (110, 112, 116), (250, 204, 21)
_NEAR, _FAR = np.array([253.0, 231, 37]), np.array([68.0, 1, 84])  # colors of the nearest and the farthest voxel


def draw_preview(
    tile: Tile,
    voxels: Float[ndarray, "voxels 3"],
    person_box: Float[ndarray, "4"],
    faces: Int[ndarray, "faces 3"],
    path: Path,
    *,
    title: str,
) -> None:
    """Write the panels that the sample has data for as one PNG.

    Args:
        tile: the sample; what it lacks is not drawn.
        voxels: of the scene, in view of the crop, camera frame, metres.
        person_box: (left, top, right, bottom), full-image pixels.
        faces: triangles of the meshes.
        path: of the PNG.
        title: above all; the tile's caption stands below it.
    """
    panels = list(_panels(tile, voxels, person_box, faces))
    width = sum(panel.shape[1] + _GAP for _, panel in panels) + _GAP
    sheet = Image.new("RGB", (width, _TOP + SIDE + _BOTTOM), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 8), title, fill=_INK, font=ImageFont.load_default(20))
    draw.text((_GAP, 36), tile.caption, fill=_SOFT_INK, font=ImageFont.load_default(14))
    left = _GAP
    for name, panel in panels:
        sheet.paste(Image.fromarray(panel), (left, _TOP))
        draw.text((left, _TOP + SIDE + 6), name, fill=_SOFT_INK, font=ImageFont.load_default(14))
        left += panel.shape[1] + _GAP
    _legend(draw, width, tile)
    with publish_file(path) as partial:
        sheet.save(partial, format="PNG", compress_level=6)


def _panels(
    tile: Tile, voxels: Float[ndarray, "voxels 3"], person_box: Float[ndarray, "4"], faces: Int[ndarray, "faces 3"]
) -> Iterator[tuple[str, UInt8[ndarray, "side wide 3"]]]:
    """Name and picture of each panel."""
    yield "crop and person box", _with_box(tile, person_box)
    yield f"{len(voxels)} scene voxels in view", _with_voxels(tile, voxels)
    if len(tile.true):
        yield "ground truth", over_photograph(tile, tile.true, TRUE, faces)
    if len(tile.predicted):
        yield "prediction", over_photograph(tile, tile.predicted, PREDICTED, faces)
    if len(tile.true) or len(tile.predicted):
        yield "in the scan, with contact", in_the_scene(tile, faces)


def _to_panel(tile: Tile, pixels: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
    """Full-image pixels to those of a square panel."""
    place: Float[ndarray, "n 2"] = (pixels - tile.crop_box[:2]) / (tile.crop_box[2:] - tile.crop_box[:2]) * SIDE
    return place


def _with_box(tile: Tile, person_box: Float[ndarray, "4"]) -> UInt8[ndarray, "side wide 3"]:
    image = Image.fromarray(photograph(tile))
    corners = _to_panel(tile, person_box.reshape(2, 2)).clip(0, SIDE - 1)
    ImageDraw.Draw(image).rectangle([*corners[0], *corners[1]], outline=_BOX, width=2)
    return np.asarray(image)


def _with_voxels(tile: Tile, voxels: Float[ndarray, "voxels 3"]) -> UInt8[ndarray, "side wide 3"]:
    """The faded crop with a dot for each voxel, the farthest first."""
    canvas: UInt8[ndarray, "side wide 3"] = (0.35 * photograph(tile) + 0.65 * np.array(PAPER)).astype(np.uint8)
    if len(voxels) == 0:
        return canvas
    ordered = voxels[np.argsort(-voxels[:, 2], kind="stable")]
    place = _to_panel(tile, project(ordered, tile.intrinsics)).astype(np.int64)
    low, high = ordered[:, 2].min(), ordered[:, 2].max()
    share = ((ordered[:, 2] - low) / max(high - low, 1e-6))[:, None]
    inside = ((place >= 0) & (place < SIDE)).all(axis=1)
    canvas[place[inside, 1], place[inside, 0]] = (_NEAR * (1 - share) + _FAR * share).astype(np.uint8)[inside]
    return canvas


def _legend(draw: ImageDraw.ImageDraw, width: int, tile: Tile) -> None:
    """Colors, from the right end of the title's line to the left."""
    font, left = ImageFont.load_default(13), width - _GAP
    parts = [(TOUCHED, "truly touched"), (CONTACT, "predicted contact"), (PREDICTED, "prediction"), (TRUE, "truth")]
    shown = {TRUE: len(tile.true), PREDICTED: len(tile.predicted), CONTACT: len(tile.contacts)}
    for color, text in parts:
        if shown.get(color, len(tile.true_contacts)):
            left -= round(draw.textlength(text, font=font))
            draw.text((left, 37), text, fill=_INK, font=font)
            draw.rectangle((left - 17, 40, left - 6, 51), fill=color)
            left -= 30
