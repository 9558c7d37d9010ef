"""The sheet: best, median and worst person-images, each a strip of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from sahmr.files import publish_file
from sahmr.report.panels import (
    CONTACT,
    PAPER,
    PREDICTED,
    SIDE,
    TOUCHED,
    TRUE,
    WIDE,
    Tile,
    in_the_scene,
    over_photograph,
    photograph,
)

Group = tuple[str, int]  # heading, number of tiles
_COLUMNS = 2  # strips side by side
_GAP, _SEAM = 16, 3  # between strips, between panels; pixels
_TITLE, _HEADING, _CAPTION = 76, 54, 28  # heights
_STRIP = 3 * (SIDE + _SEAM) + WIDE
_INK, _SOFT_INK, _LINE = (40, 42, 46), (110, 112, 116), (214, 214, 210)
_PANELS = ("photograph", "ground truth", "prediction", "both in the scan")


def choose(errors: Float[ndarray, " images"], count: int) -> dict[str, list[int]]:
    """Numbers of the best, the median and the worst images: a third each, what is left over to the median ones.

    Args:
        errors: of every image; of equal ones the first is the better.
        count: how many are wanted; at most all, none twice.

    Returns:
        ``best`` from the best on, ``median`` and ``worst`` from the better to the worse; a group may be empty.
    """
    order = np.argsort(errors, kind="stable")
    count = min(count, len(order))
    outer = (count + 1) // 3
    start = outer + (len(order) - outer - outer - (count - 2 * outer)) // 2
    groups = {
        "best": order[:outer],
        "median": order[start : start + count - 2 * outer],
        "worst": order[len(order) - outer :],
    }
    return {name: numbers.tolist() for name, numbers in groups.items()}


def draw_sheet(
    groups: Sequence[Group], tiles: Iterable[Tile], faces: Int[ndarray, "faces 3"], path: Path, *, title: str
) -> None:
    """Write all tiles as one PNG: photograph, true mesh, predicted mesh, and both with contact points in the scan.

    Args:
        groups: heading and number of tiles of each, in order; one without tiles is left out.
        tiles: of all groups, one after the other; one is in memory at a time.
        faces: triangles of the meshes.
        path: of the PNG.
        title: above all.
    """
    groups = [(heading, count) for heading, count in groups if count]
    columns = min(_COLUMNS, max([count for _, count in groups], default=1))
    row = SIDE + _CAPTION + _GAP
    height = _TITLE + sum(_HEADING + -(-count // columns) * row for _, count in groups)
    sheet = Image.new("RGB", (columns * (_STRIP + _GAP) + _GAP, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 14), title, fill=_INK, font=ImageFont.load_default(24))
    _legend(draw, _GAP, 49)
    left_over, top = iter(tiles), _TITLE
    for heading, count in groups:
        _head(draw, heading, top, columns)
        top += _HEADING
        for place in range(count):
            left = _GAP + place % columns * (_STRIP + _GAP)
            _put(sheet, draw, next(left_over), faces, left, top + place // columns * row)
        top += -(-count // columns) * row
    with publish_file(path) as partial:
        sheet.save(partial, format="PNG", compress_level=6)


def _put(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, faces: Int[ndarray, "faces 3"], left: int, top: int
) -> None:
    """One strip and its caption."""
    panels = (
        photograph(tile),
        over_photograph(tile, tile.true, TRUE, faces),
        over_photograph(tile, tile.predicted, PREDICTED, faces),
        in_the_scene(tile, faces),
    )
    for number, panel in enumerate(panels):
        place = left + number * (SIDE + _SEAM)
        sheet.paste(Image.fromarray(panel), (place, top))
        draw.rectangle((place, top, place + panel.shape[1] - 1, top + SIDE - 1), outline=_LINE)
    draw.text((left, top + SIDE + 5), tile.caption, fill=_INK, font=ImageFont.load_default(15))


def _head(draw: ImageDraw.ImageDraw, heading: str, top: int, columns: int) -> None:
    """Name of a group, and of its panels."""
    draw.text((_GAP, top + 4), heading, fill=_INK, font=ImageFont.load_default(19))
    for column in range(columns):
        for number, name in enumerate(_PANELS):
            left = _GAP + column * (_STRIP + _GAP) + number * (SIDE + _SEAM)
            draw.text((left + 1, top + 34), name, fill=_SOFT_INK, font=ImageFont.load_default(14))


def _legend(draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """Colors of the sheet."""
    font = ImageFont.load_default(14)
    for color, text in (
        (TRUE, "ground truth"),
        (PREDICTED, "prediction"),
        (CONTACT, "predicted contact points"),
        (TOUCHED, "where the body truly touches"),
    ):
        draw.rectangle((left, top + 3, left + 12, top + 15), fill=color)
        draw.text((left + 19, top), text, fill=_INK, font=font)
        left += 36 + round(draw.textlength(text, font=font))
