"""Which triangle is in front at every pixel: a depth buffer in numpy, for many small triangles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

_TESTS = 1 << 20  # pixels tested at once
_FAR_OUT = 8  # canvas sides; a corner farther out (a vertex near the image plane runs away) takes its triangle along
_DEPTH_STEPS = float((1 << 31) - 1)  # of the inverse depth; the lower 32 bits of a pixel are the triangle's number
_ROUNDING = 1e-9  # of a triangle's area, so that neighbours leave no gap


def front_triangles(
    uv: Float[ndarray, "triangles 3 2"], depth: Float[ndarray, "triangles 3"], height: int, width: int
) -> Int[ndarray, "{height} {width}"]:
    """Number of the nearest triangle at every pixel, -1 where there is none; equally near: the lower number.

    Between corners the inverse depth is linear, as perspective has it. Triangles are left out that have no area, a
    corner that is not in front of the camera, or one that is eight canvas sides away.

    Args:
        uv: corners, pixels (x right, y down); pixel centres are whole numbers.
        depth: of the corners, along the line of sight.
        height, width: of the canvas, pixels.
    """
    nearest = np.full(height * width, -1, dtype=np.int64)
    edge = uv[:, 1:] - uv[:, :1]
    area = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
    low = np.maximum(np.ceil(uv.min(axis=1)), 0)  # [triangles, 2]
    high = np.minimum(np.floor(uv.max(axis=1)), (width - 1, height - 1))
    is_drawn = (low <= high).all(axis=1) & (area != 0) & (depth > 0).all(axis=1)
    numbers = np.flatnonzero(is_drawn & (np.abs(uv).max(axis=(1, 2)) < _FAR_OUT * max(height, width)))
    if len(numbers) == 0:
        return nearest.reshape(height, width)
    closeness = depth[numbers].min() / depth  # 0..1 where drawn
    sides = 2 ** np.ceil(np.log2((high - low)[numbers].max(axis=1) + 1)).astype(int)  # of a square that holds it
    for side in np.unique(sides).tolist():
        these = numbers[sides == side]
        for start in range(0, len(these), max(1, _TESTS // side**2)):
            some = these[start : start + max(1, _TESTS // side**2)]
            _mark(nearest, some, side, uv[some], area[some], closeness[some], low[some], high[some], width)
    found = np.where(nearest < 0, -1, (1 << 32) - 1 - (nearest & ((1 << 32) - 1)))
    return found.reshape(height, width)


def _mark(
    nearest: Int[ndarray, " pixels"],
    numbers: Int[ndarray, " some"],
    side: int,
    uv: Float[ndarray, "some 3 2"],
    area: Float[ndarray, " some"],
    closeness: Float[ndarray, "some 3"],
    low: Float[ndarray, "some 2"],
    high: Float[ndarray, "some 2"],
    width: int,
) -> None:
    """Test a square of pixels per triangle; write those in front into ``nearest``.

    Corners' weights, and so the closeness, are linear over the canvas: slopes along x and y, and the value at ``low``.
    """
    step = np.arange(side, dtype=float)
    size = (high - low)[:, :, None] + 0.5
    is_inside = (step[None, None, :] < size[:, 0, None]) & (
        step[None, :, None] < size[:, 1, None]
    )  # [some, side, side]
    total = np.zeros((3, len(numbers)))
    for corner in range(3):
        first, second = (uv[:, (corner + k) % 3] - low for k in (1, 2))  # [some, 2] each
        plane = np.stack(
            [
                first[:, 1] - second[:, 1],
                second[:, 0] - first[:, 0],
                first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0],
            ]
        )
        plane /= area
        is_inside &= _over(plane, step) >= -_ROUNDING
        total += plane * closeness[:, corner]
    which, row, column = np.nonzero(is_inside)
    pixel = (low[which, 1].astype(np.int64) + row) * width + low[which, 0].astype(np.int64) + column
    value = total[0, which] * column + total[1, which] * row + total[2, which]
    steps = np.round(value.clip(0, 1) * _DEPTH_STEPS).astype(np.int64)
    np.maximum.at(nearest, pixel, (steps << 32) | ((1 << 32) - 1 - numbers[which]))


def _over(plane: Float[ndarray, "3 some"], step: Float[ndarray, " side"]) -> Float[ndarray, "some side side"]:
    """A linear function at every pixel of a square."""
    along = plane[0, :, None] * step + plane[2, :, None]  # [some, side]
    values: Float[ndarray, "some side side"] = along[:, None, :] + (plane[1, :, None] * step)[:, :, None]
    return values
