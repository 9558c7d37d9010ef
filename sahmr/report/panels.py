"""The pictures of one person-image: photograph, meshes over it, and all of it in the shaded scene."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from PIL import Image

from sahmr.dimensions import CROP_SIZE
from sahmr.geometry.nearest import nearest
from sahmr.geometry.rigid_numpy import project
from sahmr.report.raster import front_triangles
from sahmr.report.shading import lit, shadow, smooth_normals, unit
from sahmr.report.surfels import Surfels
from sahmr.report.viewpoint import Viewpoint, find_viewpoint
from sahmr.structures import Sample

TRUE, PREDICTED, CONTACT, TOUCHED = (72, 168, 124), (232, 130, 56), (206, 24, 74), (122, 192, 158)
PAPER = (250, 250, 248)
SIDE, WIDE = 240, 320  # pixels: side of a square panel; width of the view of the scene
_FINE, _SCENE_FINE = 3, 2  # panels are drawn this much larger and reduced, for smooth edges
SCENE = (200, 199, 194)
_OPACITY = 0.86  # of meshes over the photograph
_NEAR_M = 0.1
_STRAY_M = 3.5  # from the true body: predicted vertices farther away are not looked for
_SHOWN = 0.53  # of the picture's size, from its middle: nothing farther out is drawn
_LAMP = np.array([-0.35, -0.62, -0.70])  # towards the lamp over photographs; x right, y down, z forward
_DARK = 0.55  # of the light is gone in a shadow
_DISC_M, _LIFT_M = 0.014, 0.008  # radius of a contact point's disc, and its height over the surface
_TOUCHED_M = 0.021  # a surfel nearer than this to a touched scene point is one
_LEVEL, _GROUND_M = 0.7, 0.15  # ground: its normal's share along up, and its height over the lowest vertex
_FADE_M = (1.7, 2.8)  # from the bodies' middle: the scene fades into the paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One person-image of the sheet; points in the camera frame, metres.

    Attributes:
        caption: text under it.
        image: RGB crop.
        intrinsics, crop_box: K and the crop (left, top, right, bottom), full-image pixels.
        true, predicted: vertices; no predicted ones: nothing was predicted; no true ones: there is no ground truth.
        up: against gravity, length 1.
        scene: surfaces round :attr:`middle`.
        contacts, true_contacts: scene points said to be touched, and those that are.
    """

    caption: str
    image: UInt8[ndarray, "224 224 3"]
    intrinsics: Float[ndarray, "3 3"]
    crop_box: Float[ndarray, "4"]
    true: Float[ndarray, "vertices 3"]
    predicted: Float[ndarray, "predicted 3"]
    up: Float[ndarray, "3"]
    scene: Surfels
    contacts: Float[ndarray, "claims 3"]
    true_contacts: Float[ndarray, "touched 3"]

    @property
    def middle(self) -> Float[ndarray, "3"]:
        """Of the true body, or where none is known of the predicted one."""
        found: Float[ndarray, "3"] = (self.true if len(self.true) else self.predicted).mean(axis=0)
        return found


SCENE_RADIUS_M = _FADE_M[1] + 0.3


def tile_without_truth(
    caption: str,
    sample: Sample,
    vertices: Float[ndarray, "6890 3"],
    contacts: Float[ndarray, "contacts 3"],
    up: Float[ndarray, "3"],
    scene: Surfels,
) -> Tile:
    """A predicted person whose true body nobody knows. Vertices, contacts, up and scene as :class:`Tile` has them."""
    nothing = np.zeros((0, 3))
    return Tile(
        caption=caption,
        image=sample.image.permute(1, 2, 0).numpy(),
        intrinsics=sample.intrinsics.double().numpy(),
        crop_box=sample.crop_box.double().numpy(),
        true=nothing,
        predicted=vertices.astype(np.float64),
        up=up,
        scene=scene,
        contacts=contacts.astype(np.float64),
        true_contacts=nothing,
    )


def photograph(tile: Tile) -> UInt8[ndarray, "side side 3"]:
    """The crop itself."""
    return _reduced(_enlarged(tile), SIDE)


def over_photograph(
    tile: Tile, vertices: Float[ndarray, "vertices 3"], color: tuple[int, int, int], faces: Int[ndarray, "faces 3"]
) -> UInt8[ndarray, "side side 3"]:
    """The crop with a mesh over it; the crop alone if a part of the mesh is not in front of the camera."""
    image = _enlarged(tile)
    if (vertices[:, 2] <= _NEAR_M).any():
        return _reduced(image, SIDE)
    unit_crop = (project(vertices, tile.intrinsics) - tile.crop_box[:2]) / (tile.crop_box[2:] - tile.crop_box[:2])
    cell = unit_crop * (CROP_SIZE - 1) + 0.5  # crop pixel centres -> their distance from the crop's edge
    canvas = image.copy()
    mask = paint(canvas, cell / CROP_SIZE * len(image) - 0.5, vertices[:, 2], vertices, faces, color)
    share = mask[..., None] / 255.0 * _OPACITY
    return _reduced(np.round(image * (1 - share) + canvas * share).astype(np.uint8), SIDE)


def paint(
    canvas: UInt8[ndarray, "height width 3"],
    uv: Float[ndarray, "vertices 2"],
    depth: Float[ndarray, " vertices"],
    vertices: Float[ndarray, "vertices 3"],
    faces: Int[ndarray, "faces 3"],
    color: tuple[int, int, int],
) -> UInt8[ndarray, "height width"]:
    """Paint a shaded mesh into a canvas; returns where it is, as a mask 0/255.

    Args:
        canvas: RGB, painted into.
        uv: vertices on the canvas, pixels.
        depth: of the vertices, along the line of sight, more than 0.
        vertices: the same in 3D, camera axes (x right, y down, z forward), for the light.
        faces: triangles.
        color: RGB.
    """
    found = front_triangles(uv[faces], depth[faces], *canvas.shape[:2])
    normals = _towards(smooth_normals(vertices, faces), vertices[faces].mean(axis=1), np.zeros(3))
    shaded = lit(normals, np.full((len(faces), 3), color, dtype=float), np.array([0.0, -1, 0]), unit(_LAMP))
    canvas[found >= 0] = np.round(shaded[found[found >= 0]]).astype(np.uint8)
    return np.where(found >= 0, 255, 0).astype(np.uint8)


def in_the_scene(tile: Tile, faces: Int[ndarray, "faces 3"]) -> UInt8[ndarray, "side wide 3"]:
    """The meshes and the contact points in the shaded scene, from aside and above.

    Surfaces that face away are left out, as in a doll's house.
    """
    is_near = np.linalg.norm(tile.predicted - tile.middle, axis=1) < _STRAY_M
    bodies = np.concatenate([tile.true, tile.predicted[is_near]])
    size = (WIDE * _SCENE_FINE, SIDE * _SCENE_FINE)
    solid = np.linalg.norm(tile.scene.points - tile.middle, axis=1) < _FADE_M[0]
    view = find_viewpoint(bodies, tile.up, tile.scene.points[solid], tile.scene.normals[solid], size)
    lamp = unit(tile.up - 0.28 * view.axes[0] - 0.22 * view.axes[2])  # high, from the left behind the viewer
    meshes = [(body, color) for body, color in ((tile.true, TRUE), (tile.predicted, PREDICTED)) if len(body)]
    pieces = [
        _scene(tile, view, lamp, bodies),
        _discs(tile),
        *(_mesh(vertices, color, faces, view, tile.up, lamp) for vertices, color in meshes),
    ]
    corners, colors = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    uv, depth = view.look(corners)
    found = front_triangles(uv, depth, view.size[1], view.size[0])
    canvas = np.full((view.size[1], view.size[0], 3), PAPER, dtype=np.uint8)
    canvas[found >= 0] = np.round(colors[found[found >= 0]]).astype(np.uint8)
    return _reduced(canvas, WIDE)


_Piece = tuple[Float[ndarray, "triangles 3 3"], Float[ndarray, "triangles 3"]]  # corners, camera frame; colors


def _scene(tile: Tile, view: Viewpoint, lamp: Float[ndarray, "3"], bodies: Float[ndarray, "vertices 3"]) -> _Piece:
    """Surfaces that face the viewer, lit, in the bodies' shadow, tinted where they are truly touched."""
    scene = tile.scene
    shown = np.flatnonzero(_is_shown(scene, view, tile.up, lowest=float((bodies @ tile.up).min())))
    points, normals = scene.points[shown], scene.normals[shown]
    color = np.full((len(points), 3), SCENE, dtype=float)
    color[near(points, tile.true_contacts, _TOUCHED_M)] = TOUCHED
    shaded = lit(normals, color, tile.up, lamp) * (0.6 + 0.4 * scene.openness[shown])[:, None]
    shaded *= (1 - _DARK * shadow(points, bodies, lamp))[:, None]
    away = np.linalg.norm(points - view.target, axis=1)
    fade = np.clip((away - _FADE_M[0]) / (_FADE_M[1] - _FADE_M[0]), 0, 1)[:, None]
    colors = shaded * (1 - fade) + np.array(PAPER) * fade
    return _squares(points, normals, scene.pitch * 0.8), np.repeat(colors, 2, axis=0)


def _is_shown(scene: Surfels, view: Viewpoint, up: Float[ndarray, "3"], lowest: float) -> Bool[ndarray, " surfels"]:
    """Surfaces in the picture that face the viewer; what has begun to fade stays behind the bodies, but for the ground.

    Args:
        scene: surfaces.
        view: of the picture.
        up: against gravity.
        lowest: height of the lowest vertex along it, metres.
    """
    uv, depth = view.look(scene.points)
    is_seen = (depth > 0) & (np.abs(uv / np.array(view.size) - 0.5) < _SHOWN).all(axis=1)
    is_facing = ((view.eye - scene.points) * scene.normals).sum(axis=1) > 0
    has_faded = np.linalg.norm(scene.points - view.target, axis=1) > _FADE_M[0]
    is_before = depth < (view.target - view.eye) @ view.axes[2]
    is_ground = (scene.normals @ up > _LEVEL) & (scene.points @ up < lowest + _GROUND_M)
    shown: Bool[ndarray, " surfels"] = is_seen & is_facing & (is_ground | ~(has_faded & is_before))
    return shown


def near(points: Float[ndarray, "n 3"], others: Float[ndarray, "m 3"], distance_m: float) -> Bool[ndarray, " n"]:
    """Which points have another one nearby."""
    found, some = np.zeros(len(points), dtype=bool), _in_the_box(points, others, distance_m)
    if len(some):
        gap, _ = nearest(torch.from_numpy(points[some]), torch.from_numpy(others))
        found[some] = gap.numpy() < distance_m
    return found


def _in_the_box(points: Float[ndarray, "n 3"], others: Float[ndarray, "m 3"], margin_m: float) -> Int[ndarray, " some"]:
    """Numbers of the points in the box round others, widened by a margin; none if there are no others."""
    if len(others) == 0:
        return np.zeros(0, dtype=np.int64)
    low, high = others.min(axis=0) - margin_m, others.max(axis=0) + margin_m
    return np.flatnonzero(((points > low) & (points < high)).all(axis=1))


def _squares(
    points: Float[ndarray, "n 3"], normals: Float[ndarray, "n 3"], half: float
) -> Float[ndarray, "triangles 3 3"]:
    """Two triangles each, across the normal."""
    one, two = _across(normals)
    ring = [points + half * (a * one + b * two) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    both = np.stack([np.stack(ring[:3], axis=1), np.stack([ring[0], ring[2], ring[3]], axis=1)], axis=1)
    return both.reshape(-1, 3, 3)


def _across(normals: Float[ndarray, "n 3"]) -> tuple[Float[ndarray, "n 3"], Float[ndarray, "n 3"]]:
    """Two directions at right angles to each normal and each other."""
    axis = np.eye(3)[np.abs(normals).argmin(axis=1)]
    one = unit(np.cross(normals, axis))
    return one, np.cross(normals, one)


def _discs(tile: Tile) -> _Piece:
    """Predicted contact points as hexagons lying on the scene's surface."""
    points, normals = on_the_surface(tile.contacts, tile.scene, tile.up)
    one, two = _across(normals)
    points = points + _LIFT_M * normals
    angles = np.arange(7) * np.pi / 3
    ring = [points + _DISC_M * (np.cos(angle) * one + np.sin(angle) * two) for angle in angles]
    corners = np.stack([np.stack([points, ring[k], ring[k + 1]], axis=1) for k in range(6)], axis=1)
    return corners.reshape(-1, 3, 3), np.full((6 * len(points), 3), CONTACT, dtype=float)


def on_the_surface(
    points: Float[ndarray, "n 3"], scene: Surfels, up: Float[ndarray, "3"]
) -> tuple[Float[ndarray, "n 3"], Float[ndarray, "n 3"]]:
    """Each point's nearest surfel, if it is at hand: its place and normal; else the point itself, level."""
    some = _in_the_box(scene.points, points, 2 * scene.pitch)
    if len(some) == 0:
        return points, np.tile(up, (len(points), 1))
    gap, index = nearest(torch.from_numpy(points), torch.from_numpy(scene.points[some]))
    found, is_near = some[index.numpy()], (gap.numpy() < 2 * scene.pitch)[:, None]
    return np.where(is_near, scene.points[found], points), np.where(is_near, scene.normals[found], up)


def _mesh(
    vertices: Float[ndarray, "vertices 3"],
    color: tuple[int, int, int],
    faces: Int[ndarray, "faces 3"],
    view: Viewpoint,
    up: Float[ndarray, "3"],
    lamp: Float[ndarray, "3"],
) -> _Piece:
    corners = vertices[faces]
    normals = _towards(smooth_normals(vertices, faces), corners.mean(axis=1), view.eye)
    return corners, lit(normals, np.full((len(faces), 3), color, dtype=float), up, lamp)


def _towards(
    normals: Float[ndarray, "n 3"], points: Float[ndarray, "n 3"], eye: Float[ndarray, "3"]
) -> Float[ndarray, "n 3"]:
    """Normals turned to the side that is seen: raw meshes differ in their winding."""
    return np.where((((eye - points) * normals).sum(axis=1) < 0)[:, None], -normals, normals)


def _enlarged(tile: Tile) -> UInt8[ndarray, "fine fine 3"]:
    fine = SIDE * _FINE
    return np.asarray(Image.fromarray(tile.image).resize((fine, fine), Image.Resampling.BICUBIC))


def _reduced(canvas: UInt8[ndarray, "height width 3"], wide: int) -> UInt8[ndarray, "side {wide} 3"]:
    """Average down to a panel."""
    return np.asarray(cv2.resize(canvas, (wide, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
