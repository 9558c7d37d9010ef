"""The sheet shows meshes where the camera sees them, the near side in front."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sahmr.overlay import Tile, draw_sheet, paint, shade

FACES = np.array([[0, 1, 2], [0, 2, 3]])
GREEN = (72, 168, 124)  # a true mesh
LIT = 0.42 + 0.68 * 0.76  # of its color, of a face across the line of sight
PANEL, LEFT, TOP = 288, 12, 58  # the first panel


def square(x: float, y: float, side: float, depth: float = 1.0) -> np.ndarray:
    """Across the line of sight, its first corner at x, y."""
    return np.array([[x, y, depth], [x + side, y, depth], [x + side, y + side, depth], [x, y + side, depth]])


@pytest.fixture
def tile() -> Tile:
    """The crop is the unit square at a depth of one metre; a black image."""
    return Tile(
        caption="somebody",
        image=np.zeros((224, 224, 3), dtype=np.uint8),
        intrinsics=np.array([[223.0, 0, 0], [0, 223, 0], [0, 0, 1]]),
        crop_box=np.array([0.0, 0, 223, 223]),
        true=square(0.25, 0.5, 0.25),
        predicted=square(0.0, 0.0, 0.25),
        scene=np.zeros((0, 3)),
        contact=np.zeros((0, 3)),
    )


def sheet(tiles: list[Tile], folder: Path) -> np.ndarray:
    path = folder / "made" / "sheet.png"
    draw_sheet(tiles, FACES, path, title="two bodies")
    assert [found.name for found in path.parent.iterdir()] == ["sheet.png"]
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("faces", [FACES, FACES[:, ::-1]])
def test_light_by_hand_from_either_side(faces: np.ndarray) -> None:
    across = shade(square(0, 0, 1), faces, (100, 50, 0))
    assert across == pytest.approx(np.array([[100 * LIT, 50 * LIT, 0]] * 2))
    level = shade(square(0, 0, 1)[:, [0, 2, 1]], faces, (100, 50, 0))  # its normal points up: |y| of the light
    assert level == pytest.approx(np.array([[100, 50, 0]] * 2) * (0.42 + 0.68 * 0.55))


def test_a_face_without_area_has_only_the_soft_light() -> None:
    assert shade(np.zeros((3, 3)), FACES[:1], (100, 0, 0)).tolist() == [[42, 0, 0]]


def test_the_near_face_is_in_front_and_the_mask_covers_both() -> None:
    canvas = np.zeros((10, 10, 3), dtype=np.uint8)
    vertices = np.concatenate([square(1, 1, 6, 2.0), square(3, 3, 6, 1.0)])
    depth = vertices[:, 2].copy()
    vertices[4:] = vertices[4:, [0, 2, 1]]  # the near one is lit otherwise
    uv = np.concatenate([square(1, 1, 6)[:, :2], square(3, 3, 6)[:, :2]])
    mask = paint(canvas, uv, depth, vertices, np.concatenate([FACES, FACES + 4]), (100, 0, 0))
    assert canvas[2, 2, 0] == 94 and canvas[5, 5, 0] == canvas[8, 8, 0] == 79
    assert mask[2, 2] == mask[8, 8] == 255 and mask[0, 0] == mask[2, 9] == 0


def test_a_vertex_that_runs_away_takes_its_faces_along() -> None:
    canvas = np.zeros((10, 10, 3), dtype=np.uint8)
    uv = np.array([[1.0, 1], [8, 1], [8, 8], [1e9, 1e9]])
    mask = paint(canvas, uv, np.ones(4), square(0, 0, 1), FACES, (100, 0, 0))
    assert mask[2, 7] == 255 and mask[7, 2] == 0


def test_a_mesh_lies_where_the_camera_sees_it(tile: Tile, tmp_path: Path) -> None:
    panel = sheet([tile], tmp_path)[TOP : TOP + PANEL, LEFT : LEFT + PANEL]
    color = np.round(0.82 * np.round(np.array(GREEN) * LIT))
    rows, columns = np.nonzero(np.abs(panel - color).max(axis=2) <= 1)
    edges = (np.array([0.25, 0.5, 0.75]) * 223 + 0.5) / 224 * PANEL  # crop pixels' centres to panel pixels
    assert (columns.min(), columns.max() + 1) == pytest.approx(edges[:2], abs=1.5)
    assert (rows.min(), rows.max() + 1) == pytest.approx(edges[1:], abs=1.5)
    assert not panel[20:120, 20:60].any()


def test_a_mesh_behind_the_camera_is_not_drawn(tile: Tile, tmp_path: Path) -> None:
    panel = sheet([replace(tile, true=square(0.25, 0.5, 0.25, -1.0))], tmp_path)[
        TOP + 2 : TOP + 286, LEFT + 2 : LEFT + 286
    ]
    assert not panel.any()


@pytest.mark.parametrize(("count", "size"), [(1, (892, 396)), (2, (1772, 396)), (3, (1772, 722))])
def test_two_tiles_a_row(tile: Tile, count: int, size: tuple[int, int], tmp_path: Path) -> None:
    assert sheet([tile] * count, tmp_path).shape == (size[1], size[0], 3)


def test_the_side_view_shows_depth_to_the_right(tile: Tile, tmp_path: Path) -> None:
    """A contact point in front of the body, a scene point behind it."""
    body = square(-0.2, -0.2, 0.4, 3.0)
    seen = replace(tile, true=body, predicted=body, scene=np.array([[0, 0, 4.0]]), contact=np.array([[0, 0, 2.0]]))
    panel = sheet([seen], tmp_path)[TOP : TOP + PANEL, LEFT + 2 * (PANEL + 2) :][:, :PANEL]
    marked = np.abs(panel.astype(int) - 255).max(axis=2) > 30
    for part, depth in ((slice(2, 100), 2.0), (slice(188, PANEL - 2), 4.0)):
        rows, columns = np.nonzero(marked[2:-2, part])
        assert columns.mean() + part.start == pytest.approx(((depth - 3.0) / 1.35 + 1) / 2 * PANEL, abs=2)
        assert rows.mean() + 2 == pytest.approx(PANEL / 2, abs=2)
