"""Meshes lie where the camera sees them, contact points on the floor, unless a body hides them."""

from __future__ import annotations

import numpy as np
import pytest

from sahmr.report.panels import (
    CONTACT,
    PAPER,
    SIDE,
    TOUCHED,
    TRUE,
    WIDE,
    in_the_scene,
    over_photograph,
    paint,
    photograph,
)
from sahmr.report.surfels import Surfels
from tests.report.tiles import FACES, floor, no_scene, square, tile

FLAT = 0.36 + 0.17 + 0.46 * 0.70 / np.linalg.norm([0.35, 0.62, 0.70])  # of a face across the line of sight
STANDING = {
    "true": square(-0.2, -0.5, 0.4, 3.0),
    "predicted": square(-0.2, -0.5, 0.4, 3.1),
}  # above the floor


def like(panel: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Pixels whose color points the same way as another, however bright, and is no grey."""
    wanted, found = np.array(color, dtype=float), panel.astype(float)
    cosine = (found @ wanted) / (np.linalg.norm(found, axis=2) * np.linalg.norm(wanted)).clip(1e-9)
    return (cosine > 0.985) & (np.ptp(found, axis=2) > 40)


@pytest.mark.parametrize("faces", [FACES, FACES[:, ::-1]])
def test_a_mesh_lies_where_the_camera_sees_it_whatever_its_winding(faces: np.ndarray) -> None:
    seen = tile()
    panel = over_photograph(seen, seen.true, TRUE, faces)
    color = np.round(0.86 * np.round(np.array(TRUE) * FLAT))
    rows, columns = np.nonzero(np.abs(panel - color).max(axis=2) <= 1)
    edges = (np.array([0.25, 0.5, 0.75]) * 223 + 0.5) / 224 * SIDE  # crop pixels' centres to panel pixels
    assert (columns.min(), columns.max() + 1) == pytest.approx(edges[:2], abs=1.5)
    assert (rows.min(), rows.max() + 1) == pytest.approx(edges[1:], abs=1.5)
    assert not panel[20:100, 20:50].any()


def test_a_mesh_behind_the_camera_is_not_drawn() -> None:
    assert not over_photograph(tile(), square(0.25, 0.5, 0.25, -1.0), TRUE, FACES).any()


def test_the_photograph_is_the_crop() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    panel = photograph(tile(image=image))
    assert panel.shape == (SIDE, SIDE, 3)
    assert np.abs(panel[:, :, 0].mean() - image[:, :, 0].mean()) < 2


def test_the_near_mesh_is_in_front_and_the_mask_covers_both() -> None:
    canvas = np.zeros((10, 10, 3), dtype=np.uint8)
    vertices = np.concatenate([square(1, 1, 6, 2.0), square(3, 3, 6, 1.0)])
    depth = vertices[:, 2].copy()
    vertices[4:] = vertices[4:, [0, 2, 1]]  # the near one is lit otherwise
    uv = np.concatenate([square(1, 1, 6)[:, :2], square(3, 3, 6)[:, :2]])
    mask = paint(canvas, uv, depth, vertices, np.concatenate([FACES, FACES + 4]), (100, 0, 0))
    assert canvas[2, 2, 0] != canvas[5, 5, 0] == canvas[8, 8, 0] > 0
    assert mask[2, 2] == mask[8, 8] == 255 and mask[0, 0] == mask[2, 9] == 0


def test_contact_points_lie_on_the_floor() -> None:
    """Said at one side of the body, true at the other."""
    patch = np.array([[0.5 + 0.02 * i, 0.5, 2.6 + 0.02 * j] for i in range(8) for j in range(8)])
    said, true = patch, patch + np.array([0, 0, 0.6])
    shown = in_the_scene(tile(**STANDING, scene=floor(), contacts=said, true_contacts=true), FACES)
    assert shown.shape == (SIDE, WIDE, 3)
    places = {name: np.argwhere(like(shown, color)) for name, color in (("said", CONTACT), ("true", TOUCHED))}
    body = np.argwhere(like(shown, TRUE))
    assert len(places["said"]) > 20 and len(places["true"]) > 20
    assert places["said"][:, 0].min() > body[:, 0].mean()  # below the body
    assert abs(places["said"][:, 1].mean() - places["true"][:, 1].mean()) > 20
    without = in_the_scene(tile(**STANDING, scene=floor()), FACES)
    changed = np.argwhere(np.abs(shown.astype(int) - without).max(axis=2) > 12)
    assert set(map(tuple, places["said"])) <= set(map(tuple, changed))


def test_a_body_hides_what_lies_behind_it() -> None:
    """Contact points inside a closed box of the person's size."""
    corner = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.6, 0.6) for z in (2.5, 3.5)], dtype=float)
    quads = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    faces = np.array([[q[0], q[1], q[2]] for q in quads] + [[q[0], q[2], q[3]] for q in quads])
    box = {"true": corner, "predicted": corner, "scene": floor()}
    inside = np.array([[0.0, 0.5, 3.0], [0.1, 0.5, 3.1]])
    assert not like(in_the_scene(tile(**box, contacts=inside), faces), CONTACT).any()
    round_it = inside[0] + np.array([[1.0, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]])
    assert like(in_the_scene(tile(**box, contacts=round_it), faces), CONTACT).any()


def test_the_floor_is_darker_below_a_body_and_paper_where_nothing_is() -> None:
    roof = np.array([[x, 0.0, z] for x in np.linspace(-0.3, 0.3, 31) for z in np.linspace(2.7, 3.3, 31)])
    bodies = {name: np.concatenate([vertices, roof]) for name, vertices in STANDING.items()}
    lit = in_the_scene(tile(**bodies, scene=floor()), FACES).astype(int)
    assert lit[-3, WIDE // 2].max() < min(PAPER) - 5  # floor in front
    grey = np.ptp(lit, axis=2) < 12
    assert lit[grey].min() < 0.7 * lit[-3, WIDE // 2].min()
    assert (in_the_scene(tile(**STANDING), FACES)[2, 2] == PAPER).all()


def test_surfaces_that_face_away_are_left_out() -> None:
    below = floor()
    turned = type(below)(points=below.points, normals=-below.normals, openness=below.openness, pitch=0.02)
    with_it, without = (in_the_scene(tile(**STANDING, scene=scene), FACES) for scene in (turned, no_scene()))
    assert np.array_equal(with_it, without)


def test_a_wall_far_before_the_bodies_does_not_hide_them() -> None:
    """Walls two metres away on all sides, that face outwards: whoever looks from outside sees their outer face."""
    y, along = (each.ravel() for each in np.meshgrid(np.arange(-3, 0.5, 0.02), np.arange(-2, 2, 0.02)))
    walls, normals = [], []
    for x, z in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        outwards = np.array([x, 0.0, z])
        aside = np.array([-z, 0.0, x])
        walls.append(np.array([0, 0, 3.0]) + 2 * outwards + np.outer(along, aside) + np.outer(y, [0, 1, 0]))
        normals.append(np.tile(outwards, (len(y), 1)))
    points = np.concatenate(walls)
    scene = Surfels(points=points, normals=np.concatenate(normals), openness=np.ones(len(points)), pitch=0.02)
    assert like(in_the_scene(tile(**STANDING, scene=scene), FACES), TRUE).sum() > 500


def test_a_prediction_far_away_leaves_the_truth_in_the_picture() -> None:
    far = STANDING | {"predicted": square(30.0, -0.5, 0.4, 90.0)}
    assert like(in_the_scene(tile(**far, scene=floor()), FACES), TRUE).sum() > 500
