"""A person-image in 3D, to be turned in a browser: ScenePic's commands for scene, both meshes and contact points."""

from __future__ import annotations

import importlib.metadata
import json
import re

import numpy as np
import scenepic
from jaxtyping import Bool, Float, Int, UInt
from numpy import ndarray

from sahmr.report.panels import CONTACT, PAPER, PREDICTED, SCENE, TOUCHED, TRUE, Tile, near, on_the_surface
from sahmr.report.shading import shadow, unit, vertex_normals
from sahmr.report.surfels import Surfels
from sahmr.report.viewpoint import Viewpoint, find_viewpoint

SIZE = (960, 600)  # of the canvas as it is declared; the page stretches it
LAYERS = ("scan", "ground truth", "prediction", "predicted contact points")
_RADIUS_M, _FADE_M = 2.4, 1.7  # of the scan round the true body, and where it begins to fade into the paper
_CELL_M = 0.04  # of the scan's squares, but where it is touched
_TOUCHED_M = 0.021
_STRAY_M = 6.0  # a predicted vertex farther from the true body is left where it is but not looked for
_STEP = 1 / 2048  # metres coordinates are rounded to, so that they pack well
_NORMAL_STEP, _SHADE_STEP = 1 / 64, 1 / 32
_DARK = 0.45  # of the light is gone in a shadow
_AHEAD = np.array([0, 0, 1], dtype=np.float32)
_DISC_M, _LIFT_M = 0.014, 0.006


def library() -> str:
    """ScenePic's script with its licence, to stand once in a page; it loads nothing."""
    found = re.sub(r"\n//# sourceMappingURL=\S*", "", scenepic.js_lib_src())
    assert "</script" not in found
    files = importlib.metadata.files("scenepic") or []
    licences = [file.read_text() for file in files if file.name == "LICENSE"]
    return f"/* ScenePic {scenepic.__version__}\n{''.join(licences)}*/\n{found}"


def commands(tile: Tile, faces: Int[ndarray, "faces 3"]) -> str:
    """What ScenePic draws, as JSON for its function ``scenepic``; the same tile gives the same text.

    The frame has y up and its origin between the bodies, metres. Surfaces that face away are left out, as in a doll's
    house.

    Args:
        tile: of the person-image.
        faces: triangles of the meshes, wound to face outwards.
    """
    stray = np.linalg.norm(tile.predicted - tile.middle, axis=1) > _STRAY_M
    bodies = np.concatenate([tile.true, tile.predicted[~stray]])
    view = find_viewpoint(bodies, tile.up, tile.scene.points, tile.scene.normals, SIZE)
    turn = _upright(tile.up)
    scene = scenepic.Scene("scene")
    scene.status_bar_visibility = "hidden"
    meshes = [
        *_scan(scene, tile, view, turn, bodies),
        *_bodies(scene, tile, faces, view, turn),
        *_discs(scene, tile, view, turn),
    ]
    canvas = scene.create_canvas_3d("canvas", *SIZE, html_id="", camera=_camera(view, turn), shading=_shading())
    layers = [name for name in LAYERS if name != "ground truth" or len(tile.true)]
    canvas.set_layer_settings({name: {"filled": True, "opacity": 1.0} for name in layers})
    frame = canvas.create_frame("frame", focus_point=np.zeros(3))
    for mesh in meshes:
        frame.add_mesh(mesh)
    return json.dumps(json.loads(scene.get_json()), separators=(",", ":"))


def _upright(up: Float[ndarray, "3"]) -> Float[ndarray, "3 3"]:
    """Rotation that takes ``up`` to y."""
    side = unit(np.cross(up, np.array([0.0, 0, 1]) if abs(up[2]) < 0.9 else np.array([0.0, 1, 0])))
    return np.stack([side, up, np.cross(side, up)])


def _placed(points: Float[ndarray, "n 3"], view: Viewpoint, turn: Float[ndarray, "3 3"]) -> Float[ndarray, "n 3"]:
    """In the viewer's frame, rounded."""
    moved = np.einsum("ij,nj->ni", turn, points - view.target)
    placed: Float[ndarray, "n 3"] = np.round(moved / _STEP).astype(np.float32) * np.float32(_STEP)
    return placed


def _turned(normals: Float[ndarray, "n 3"], turn: Float[ndarray, "3 3"]) -> Float[ndarray, "n 3"]:
    turned: Float[ndarray, "n 3"] = np.round(np.einsum("ij,nj->ni", turn, normals) / _NORMAL_STEP) * _NORMAL_STEP
    return turned.astype(np.float32)


def _camera(view: Viewpoint, turn: Float[ndarray, "3 3"]) -> scenepic.Camera:
    eye = np.einsum("ij,j->i", turn, view.eye - view.target)
    angle = 2 * np.rad2deg(np.arctan(SIZE[1] / 2 / view.focal))
    return scenepic.Camera(
        center=np.round(eye, 3), look_at=np.zeros(3), up_dir=np.array([0.0, 1, 0]), fov_y_degrees=angle,
        aspect_ratio=SIZE[0] / SIZE[1],
    )  # fmt: skip


def _shading() -> scenepic.Shading:
    paper = np.array(PAPER) / 255
    return scenepic.Shading(
        bg_color=paper,
        ambient_light_color=np.full(3, 0.72),
        directional_light_color=np.full(3, 0.34),
        directional_light_dir=np.array([0.5, 1.0, 0.6]),
    )


def _bodies(
    scene: scenepic.Scene,
    tile: Tile,
    faces: Int[ndarray, "faces 3"],
    view: Viewpoint,
    turn: Float[ndarray, "3 3"],
) -> list[scenepic.Mesh]:
    """Prediction, and truth where it is known."""
    truth = [_body(scene, "ground truth", tile.true, TRUE, faces, view, turn)] if len(tile.true) else []
    return [*truth, _body(scene, "prediction", tile.predicted, PREDICTED, faces, view, turn)]


def _body(
    scene: scenepic.Scene,
    name: str,
    vertices: Float[ndarray, "vertices 3"],
    color: tuple[int, int, int],
    faces: Int[ndarray, "faces 3"],
    view: Viewpoint,
    turn: Float[ndarray, "3 3"],
) -> scenepic.Mesh:
    mesh = scene.create_mesh(name, layer_id=name, shared_color=np.array(color) / 255, double_sided=True)
    placed, triangles = _placed(vertices, view, turn), faces.astype(np.uint32)
    normals = _turned(vertex_normals(vertices, faces), turn)
    mesh.add_mesh_with_normals(placed, normals, triangles, add_wireframe=False)
    return mesh


def _scan(
    scene: scenepic.Scene, tile: Tile, view: Viewpoint, turn: Float[ndarray, "3 3"], bodies: Float[ndarray, "n 3"]
) -> list[scenepic.Mesh]:
    """Squares of two sizes: small ones where the body truly touches."""
    surface = tile.scene
    close = np.linalg.norm(surface.points - tile.middle, axis=1) < _RADIUS_M
    touched = near(surface.points, tile.true_contacts, _TOUCHED_M)
    lamp = unit(tile.up - 0.28 * view.axes[0] - 0.22 * view.axes[2])
    found = []
    for name, part, pitch, color in (
        ("scan", _thinned(surface, close & ~touched, turn), _CELL_M, SCENE),
        ("touched", _thinned(surface, touched), surface.pitch, TOUCHED),
    ):
        if len(part.points):
            light = (0.62 + 0.38 * part.openness) * (1 - _DARK * shadow(part.points, bodies, lamp))
            away = np.linalg.norm(part.points - tile.middle, axis=1)
            fade = np.clip((away - _FADE_M) / (_RADIUS_M - _FADE_M), 0, 1)
            light, fade = (np.round(share / _SHADE_STEP)[:, None] * _SHADE_STEP for share in (light, fade))
            colors = (np.array(color) * light * (1 - fade) + np.array(PAPER) * fade) / 255
            mesh = scene.create_mesh(name, layer_id=LAYERS[0], shared_color=np.ones(3))
            mesh.add_mesh_with_normals(*_square(pitch * 0.64))
            mesh.enable_instancing(*_instances(part, view, turn), colors.astype(np.float32))
            found.append(mesh)
    return found


def _thinned(surface: Surfels, chosen: Bool[ndarray, " surfels"], turn: Float[ndarray, "3 3"] | None = None) -> Surfels:
    """Some of a surface; with ``turn`` one mean square a cell and side of the upright axes it faces."""
    points, normals, openness = surface.points[chosen], surface.normals[chosen], surface.openness[chosen]
    if turn is not None and len(points):
        cells = np.floor(np.einsum("ij,nj->ni", turn, points) / _CELL_M).astype(np.int64)
        upright = np.einsum("ij,nj->ni", turn, normals)
        axis = np.abs(upright).argmax(axis=1)
        side = axis * 2 + (upright[np.arange(len(axis)), axis] > 0)
        _, group, count = np.unique(np.column_stack([cells, side]), axis=0, return_inverse=True, return_counts=True)

        def mean(values: Float[ndarray, "n columns"]) -> Float[ndarray, "cells columns"]:
            sums = [np.bincount(group.ravel(), column, minlength=len(count)) for column in values.T]
            return np.stack(sums, axis=1) / count[:, None]

        points, normals, openness = mean(points), unit(mean(normals)), mean(openness[:, None])[:, 0]
    return Surfels(points=points, normals=normals, openness=openness, pitch=surface.pitch)


def _discs(scene: scenepic.Scene, tile: Tile, view: Viewpoint, turn: Float[ndarray, "3 3"]) -> list[scenepic.Mesh]:
    """Predicted contact points as hexagons lying on the scan's surface."""
    if not len(tile.contacts):
        return []
    points, normals = on_the_surface(tile.contacts, tile.scene, tile.up)
    angles = np.arange(6) * np.pi / 3
    ring = _DISC_M * np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    triangles = np.array([[0, k, k + 1] for k in range(1, 5)], dtype=np.uint32)
    mesh = scene.create_mesh("contacts", layer_id=LAYERS[3], shared_color=np.array(CONTACT) / 255, double_sided=True)
    mesh.add_mesh_with_normals(ring.astype(np.float32), np.tile(_AHEAD, (6, 1)), triangles)
    lifted = Surfels(points=points + _LIFT_M * normals, normals=normals, openness=np.ones(len(points)), pitch=0.0)
    mesh.enable_instancing(*_instances(lifted, view, turn))
    return [mesh]


def _square(half: float) -> tuple[Float[ndarray, "4 3"], Float[ndarray, "4 3"], UInt[ndarray, "2 3"]]:
    """Across z: corners, normals, triangles."""
    corners = np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]], dtype=np.float32)
    return corners, np.tile(_AHEAD, (4, 1)), np.array([[0, 1, 2], [0, 2, 3]], dtype=np.uint32)


def _instances(
    surface: Surfels, view: Viewpoint, turn: Float[ndarray, "3 3"]
) -> tuple[Float[ndarray, "n 3"], Float[ndarray, "n 4"]]:
    """Places, and quaternions (x, y, z, w) that turn z to the normals."""
    normals = _turned(surface.normals, turn).astype(np.float64)
    flipped = normals[:, 2] < -0.999
    around = np.stack([-normals[:, 1], normals[:, 0], np.zeros(len(normals)), 1 + normals[:, 2]], axis=1)
    around[flipped] = (1, 0, 0, 0)
    turned = np.round(unit(around) / _NORMAL_STEP) * _NORMAL_STEP
    return _placed(surface.points, view, turn), unit(turned).astype(np.float32)
