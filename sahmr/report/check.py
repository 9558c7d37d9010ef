"""The check picture: a scan's depth and edges over the photograph, and both from above, before any prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from sahmr.files import publish_file
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid, unproject
from sahmr.report.panels import PAPER
from sahmr.report.shading import unit

_TALL, _GAP, _LINE = 460, 14, 21  # pixels: of both panels; between them; of a line of text
_TOP, _ABOVE = 44, 460  # of the title; width of the view from above
_INK, _SOFT_INK, _WRONG, _ODD = (40, 42, 46), (110, 112, 116), (190, 30, 50), (176, 104, 10)
_BOX, _EDGE, _CAMERA = (250, 204, 21), (255, 255, 255), (36, 98, 200)
_NEAR, _FAR = np.array([253.0, 160, 60]), np.array([60.0, 20, 120])
_TINT = 0.45  # of the depth's color over the photograph
_ROUND_M, _SIGHT_M = 0.6, 12.5  # paper round scan and camera; how far sight lines go at most
_CEILING_M = 2.2  # voxels higher over the floor are left out from above


def draw_check(
    path: Path,
    image: UInt8[ndarray, "height width 3"],
    depth: Float[ndarray, "rows columns"],
    edges: ndarray,
    voxels: Float[ndarray, "voxels 3"],
    camera: tuple[Float[ndarray, "3 3"], Float[ndarray, "4 4"]],
    box: tuple[float, float, float, float],
    up: Float[ndarray, "3"] | None,
    *,
    title: str,
    lines: Sequence[tuple[str, str]],
) -> None:
    """Write the picture as one PNG.

    Args:
        path: of the PNG.
        image: the photograph without distortion.
        depth, edges: of the scan in it, reduced; depth infinite where there is none.
        voxels: of the scan, world frame, metres.
        camera: K of the photograph, camera from world.
        box: of the person, pixels of the photograph.
        up: of the scan, length 1; None: that of the photograph is taken.
        title: above all.
        lines: below; (kind, text): "" for a number, "odd" for what is suspected, "wrong" for what is refused.
    """
    left = _over_photograph(image, depth, edges, box)
    right = _from_above(voxels, camera, (image.shape[1], image.shape[0]), box, up)
    width = left.width + right.width + 3 * _GAP
    sheet = Image.new("RGB", (width, _TOP + _TALL + 30 + _LINE * len(lines) + _GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 10), title, fill=_INK, font=ImageFont.load_default(20))
    sheet.paste(left, (_GAP, _TOP))
    sheet.paste(right, (left.width + 2 * _GAP, _TOP))
    font = ImageFont.load_default(14)
    below = _TOP + _TALL + 5
    draw.text(
        (_GAP, below), "scan over the photograph: near orange, far violet; edges white", fill=_SOFT_INK, font=font
    )
    draw.text((left.width + 2 * _GAP, below), "from above: camera blue, box yellow", fill=_SOFT_INK, font=font)
    colors = {"": _INK, "odd": _ODD, "wrong": _WRONG}
    for number, (kind, text) in enumerate(lines):
        draw.text((_GAP, below + 25 + number * _LINE), text, fill=colors[kind], font=font)
    with publish_file(path) as partial:
        sheet.save(partial, format="PNG", compress_level=6)


def _over_photograph(
    image: UInt8[ndarray, "height width 3"],
    depth: Float[ndarray, "rows columns"],
    edges: ndarray,
    box: tuple[float, float, float, float],
) -> Image.Image:
    height, width = image.shape[:2]
    scale = _TALL / height
    size = (max(1, round(width * scale)), _TALL)
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(float)
    known = np.isfinite(depth)
    if known.any():
        low, high = np.quantile(depth[known], (0.02, 0.98))
        share = ((depth - low) / max(high - low, 1e-6)).clip(0, 1)
        color = _NEAR * (1 - share[..., None]) + _FAR * share[..., None]
        tint = np.where(known, _TINT, 0.0)
        color, tint = cv2.resize(color, size), cv2.resize(tint, size)[..., None]
        canvas = canvas * (1 - tint) + color * tint
        lines = cv2.resize(edges.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
        canvas[lines] = _EDGE
    made = Image.fromarray(np.round(canvas).astype(np.uint8))
    corners = [(number + 0.5) * scale - 0.5 for number in box]
    ImageDraw.Draw(made).rectangle(corners, outline=_BOX, width=3)
    return made


def _from_above(
    voxels: Float[ndarray, "voxels 3"],
    camera: tuple[Float[ndarray, "3 3"], Float[ndarray, "4 4"]],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    up: Float[ndarray, "3"] | None,
) -> Image.Image:
    """The scan below head height, the camera's angle of view and the box's; ahead is up."""
    intrinsics, camera_from_world = camera
    world_from_camera = invert_rigid(camera_from_world)
    center, axes = world_from_camera[:3, 3], world_from_camera[:3, :3].T  # rows: camera axes in the world
    upward = -axes[1] if up is None else up
    ahead = axes[2] if abs(axes[2] @ upward) < 0.95 else -axes[1]
    ahead = unit(ahead - (ahead @ upward) * upward)
    right = np.cross(ahead, upward)
    plan = np.stack([right, ahead])
    points = voxels.astype(np.float64)
    heights = points @ upward
    floor = float(np.quantile(heights, 0.01)) if len(heights) else 0.0
    low = points[heights < floor + _CEILING_M]
    order = np.argsort(low @ upward, kind="stable")
    flat, height = (low @ plan.T)[order], (low @ upward - floor)[order]
    here = plan @ center
    all_low = np.minimum(np.quantile(flat, 0.005, axis=0), here) - _ROUND_M
    all_high = np.maximum(np.quantile(flat, 0.995, axis=0), here) + _ROUND_M
    scale = min(_ABOVE / (all_high[0] - all_low[0]), _TALL / (all_high[1] - all_low[1]))
    middle = (all_low + all_high) / 2

    def place(where: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        made: Float[ndarray, "n 2"] = (where - middle) * scale * [1, -1] + [_ABOVE / 2, _TALL / 2]
        return made

    canvas = np.full((_TALL, _ABOVE, 3), PAPER, dtype=np.uint8)
    spots = place(flat).astype(int)
    inside = ((spots >= 0) & (spots < (_ABOVE, _TALL))).all(axis=1)
    shade = 215 - 130 * (height / _CEILING_M).clip(0, 1)
    canvas[spots[inside, 1], spots[inside, 0]] = np.round(shade[inside])[:, None].astype(np.uint8)
    made = Image.fromarray(canvas)
    draw = ImageDraw.Draw(made)
    sides = (
        (_CAMERA, (0.0, size[0] - 1.0), (size[1] - 1) / 2, 2),
        (_BOX, (box[0], box[2]), (box[1] + box[3]) / 2, 3),
    )
    for color, columns, row, wide in sides:
        for column in columns:
            ray = unproject(np.array([[column, row]]), 1.0, intrinsics)
            there = apply_rigid(world_from_camera, ray * _SIGHT_M)[0]
            ends = place(np.stack([here, plan @ there]))
            draw.line([tuple(ends[0]), tuple(ends[1])], fill=color, width=wide)
    x, y = place(here[None])[0]
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=_CAMERA)
    draw.line([(12, _TALL - 14), (12 + scale, _TALL - 14)], fill=_INK, width=3)
    draw.text((12, _TALL - 34), "1 m", fill=_INK, font=ImageFont.load_default(13))
    return made
