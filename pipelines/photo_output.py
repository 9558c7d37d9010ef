"""The files of one photograph's prediction: meshes, npz and the page to be turned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from pipelines.photo_input import Photo
from sahmr.body.fit import SmplParams, move_params
from sahmr.body.model import load_clean
from sahmr.body.posed import smpl_tables
from sahmr.dimensions import NUM_VERTICES
from sahmr.export.meshes import write_mesh
from sahmr.files import publish_text
from sahmr.geometry.distance_field import sample_distance
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid
from sahmr.metrics import scene_errors
from sahmr.npz import save_npz
from sahmr.report.page import Group, Page, make_card, render
from sahmr.report.panels import SCENE_RADIUS_M, tile_without_truth
from sahmr.report.surfels import cloud_near, surfels_near
from sahmr.scenes.own_scan import OwnScan
from sahmr.scenes.store import Scene
from sahmr.sight.figures import Sight
from sahmr.sight.verdict import Verdict
from sahmr.structures import Sample

_UP_CAMERA = np.array([0.0, -1.0, 0.0])
_TEXTS = {"frame": "world", "model_type": "smpl", "gender": "neutral"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What was predicted.

    Attributes:
        vertices, contacts: camera frame, metres.
        root: world frame.
        faces: triangles.
        penetration_m: PenE of the vertices; None for a cloud, which has no distance field.
        residual_mm: of the SMPL body that was fitted.
    """

    vertices: Float[ndarray, "6890 3"]
    contacts: Float[ndarray, "contacts 3"]
    root: Float[ndarray, "3"]
    faces: Int[ndarray, "faces 3"]
    penetration_m: float | None
    residual_mm: float


def check_lines(scan: OwnScan, sight: Sight, verdict: Verdict) -> list[tuple[str, str]]:
    """What the check picture and the log say: (kind, text); kinds as :func:`sahmr.report.check.draw_check`."""
    height = "up is not known (--scan-up)" if sight.floor_m is None else f"{sight.floor_m:.2f} m above the floor"
    tall = "" if sight.person_m is None else f"; standing there, who fills the box is {sight.person_m:.2f} m tall"
    numbers = (
        f"{sight.image_share:.0%} of the image sees the scan; {sight.frustum_points:,} scene points in the box's "
        f"frustum; camera {height}{tall}"
    )
    return [("", numbers), *(("odd", text) for text in verdict.suspected), *(("wrong", text) for text in verdict.wrong)]


def write_person(
    folder: Path,
    row: Mapping[str, ndarray],
    scan: OwnScan,
    scene: Scene | None,
    photo: Photo,
    faces: Int[ndarray, "faces 3"],
    smpl_file: Path,
) -> Person:
    """Write ``person.glb``, ``person.ply`` and ``person.npz``, all in the scan's axes, metres.

    Args:
        folder: where to.
        row: of ``PREDICTION_SCHEMA``.
        scan, scene: the scan; its voxels and field, None for a cloud.
        photo: camera and box.
        faces: triangles of the body.
        smpl_file: the model that was fitted.
    """
    world_from_camera = invert_rigid(photo.view.camera_from_world)
    vertices = row["vertices_world"].reshape(NUM_VERTICES, 3)
    contacts = row["contact_points"].reshape(-1, 3).astype(np.float64)
    up = world_up(scan, photo)
    about = {"frame": "world", "axes": "of the scan", "unit": "m", "camera": photo.camera.name}
    for name in ("person.glb", "person.ply"):
        write_mesh(folder / name, vertices, faces, up=(float(up[0]), float(up[1]), float(up[2])), about=about)
    view = photo.view
    content = {
        "vertices": vertices, "joints": row["joints_world"].reshape(-1, 3), "root": row["root_world"], "faces": faces,
        "contact_points": apply_rigid(world_from_camera, contacts), "contact_parts": row["contact_parts"].astype(int),
        "intrinsics": view.intrinsics, "camera_from_world": view.camera_from_world, "up": up,
        "image_size": np.array(view.size), "person_box": np.array(view.box), "crop_box": view.crop,
        **_smpl_world(row, world_from_camera, smpl_file),
        **{name: np.asarray(text) for name, text in _TEXTS.items()},
    }  # fmt: skip
    save_npz(folder / "person.npz", content)
    return Person(
        vertices=row["vertices"].reshape(NUM_VERTICES, 3),
        contacts=contacts,
        root=row["root_world"],
        faces=faces,
        penetration_m=_penetration(scene, vertices),
        residual_mm=float(row["smpl_residual_mm"]),
    )


def world_up(scan: OwnScan, photo: Photo) -> Float[ndarray, "3"]:
    """The scan's up; where that is not known, the photograph's."""
    found: Float[ndarray, "3"] = photo.view.camera_from_world[:3, :3].T @ _UP_CAMERA if scan.up is None else scan.up
    return found


def _smpl_world(row: Mapping[str, ndarray], world_from_camera: ndarray, smpl_file: Path) -> dict[str, ndarray]:
    """Parameters under the names ``smplx.SMPL`` takes them by, world frame."""
    tables = smpl_tables(load_clean(smpl_file))
    names = ("betas", "global_orient", "body_pose", "transl")
    params = SmplParams(**{name: torch.from_numpy(row[f"smpl_{name}"]).float()[None] for name in names})
    moved = move_params(tables, params, torch.from_numpy(world_from_camera)[None])
    residual = {"residual_mm": np.asarray(row["smpl_residual_mm"])}
    return {**{name: getattr(moved, name)[0].numpy() for name in names}, **residual}


def _penetration(scene: Scene | None, vertices: Float[ndarray, "6890 3"]) -> float | None:
    if scene is None:
        return None
    points = torch.from_numpy(vertices.astype(np.float32))
    distance = sample_distance(scene.sdf, scene.sdf_min, scene.sdf_max, points)[None]
    return float(scene_errors(distance, torch.zeros_like(distance, dtype=torch.bool))["penetration_m"])


def write_page(
    folder: Path,
    title: str,
    sample: Sample,
    person: Person,
    scan: OwnScan,
    scene: Scene | None,
    voxels: Float[ndarray, "voxels 3"],
    pitch_m: float,
) -> None:
    """Write ``view.html``: photograph, mesh over it, and both in the scan, to be turned."""
    camera_from_world = sample.camera_from_world.double().numpy()
    up = _UP_CAMERA if scan.up is None else camera_from_world[:3, :3] @ scan.up
    middle = person.vertices.mean(axis=0).astype(np.float64)
    if scene is None:
        surface = cloud_near(voxels, pitch_m, camera_from_world, middle, SCENE_RADIUS_M)
    else:
        surface = surfels_near(scene, camera_from_world, middle, SCENE_RADIUS_M)
    tile = tile_without_truth(title, sample, person.vertices, person.contacts, up, surface)
    penetration = "no distance field: a cloud" if person.penetration_m is None else f"{person.penetration_m:.2f} m"
    facts = (
        ("scene points in view", f"{len(sample.scene_camera):,}"),
        ("contact points", f"{len(person.contacts)}"),
        ("distance", f"{np.linalg.norm(middle):.2f} m"),
        ("PenE", penetration),
        ("SMPL fit", f"{person.residual_mm:.0f} mm"),
    )
    page = Page(
        title=title,
        subtitle=f"The person of {title}, predicted in {'a cloud of points' if scan.is_cloud else 'the scan'}",
        report=None,
        frames_title="",
        groups=(Group(title="", cards=(make_card(0, sample.key, facts, tile, person.faces),)),),
        notice="Photograph and scan belong to whoever took them.",
        has_truth=False,
    )
    publish_text(folder / "view.html", render(page))
