"""Which panels a preview has, and where box and voxels are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sahmr.report.preview import draw_preview
from sahmr.report.surfels import Surfels
from tests.report.tiles import FACES, NONE, floor, tile

LEFT, TOP, SIDE, GAP = 12, 58, 240, 12
BOX = np.array([55.75, 111.5, 111.5, 167.25])  # a quarter of the crop's side from its left, half from its top
_NOTHING = Surfels(points=NONE, normals=NONE, openness=np.zeros(0), pitch=0.02)
VOXELS = np.array([[0.5, 0.25, 1.0], [0.25, 0.75, 2.0]])


def _drawn(path: Path, **changes: object) -> np.ndarray:
    draw_preview(tile(**{"scene": floor(), **changes}), VOXELS, BOX, FACES, path, title="one")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    ("changes", "squares", "wide"),
    [
        ({}, 4, 1),
        ({"predicted": NONE}, 3, 1),
        ({"true": NONE}, 3, 1),
        ({"true": NONE, "scene": _NOTHING}, 3, 1),  # no scan point is round the person
        ({"predicted": NONE, "true": NONE}, 2, 0),
    ],
)
def test_panels_are_those_there_is_something_for(
    tmp_path: Path, changes: dict[str, object], squares: int, wide: int
) -> None:
    picture = _drawn(tmp_path / "a.png", **changes)
    assert picture.shape[1] == squares * (SIDE + GAP) + wide * (320 + GAP) + GAP


def test_box_and_voxels_lie_where_they_project(tmp_path: Path) -> None:
    picture = _drawn(tmp_path / "a.png", predicted=NONE, true=NONE)
    panel = picture[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    yellow = np.argwhere((panel == (250, 204, 21)).all(axis=-1))
    assert yellow.min(axis=0).tolist() == [120, 60] and yellow.max(axis=0).tolist() == [180, 120]
    voxels = picture[TOP : TOP + SIDE, LEFT + SIDE + GAP :][:, :SIDE]
    assert voxels[60, 120].tolist() == [253, 231, 37]  # nearest: x 0.5, y 0.25 of the crop at one metre
    assert voxels[90, 30].tolist() == [68, 1, 84]  # farthest: half of 0.25 and 0.75 at two


def test_its_bytes_repeat(tmp_path: Path) -> None:
    _drawn(tmp_path / "a.png")
    _drawn(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
