"""Writes the RICH tree: tables, scans, calibrations, pictures, bodies and contact labels in the publishers' layout."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sahmr.body.model import BodyModel
from sahmr.body.skinning import BodyParams, rotation_matrix
from sahmr.demo.people.models import rest_joints, rotation_vector
from sahmr.demo.people.placement import Placed
from sahmr.demo.people.touching import ScanIndex, in_contact, nearest_surface
from sahmr.demo.pictures.figures import vertex_normals
from sahmr.demo.pictures.paint import paint
from sahmr.demo.pictures.render import to_bytes
from sahmr.demo.pictures.shoot import (
    Person,
    Studio,
    cast_person,
    find_body,
    find_hidden_body,
    open_studio,
    take_picture,
)
from sahmr.demo.places.captures import Capture, camera_view
from sahmr.demo.places.room import Room, Surface, scan_surface
from sahmr.demo.places.view import RoomCamera
from sahmr.demo.publishers import containers as files
from sahmr.demo.publishers.rich_plan import GENDERS, MOVING_CAMERA, SEQUENCES, DemoSize, Moment, Sequence, ViewPlan
from sahmr.geometry.rigid_numpy import apply_rigid, transpose_rigid
from sahmr.untrusted.pickles import load_pickle

Array = NDArray[np.float64]

# resource/imgext.json of the publishers' toolkit: format of the first release; the JPG release is .jpeg throughout.
_TABLE = ("sequence_name", "capture_name", "scan_name", "id", "moving_cam", "gender")
_TABLE_EVAL = ("scene", "action/scene-interaction", "subjects")


@dataclass(frozen=True, slots=True, kw_only=True)
class RichJob:
    """What one task needs to know; all paths are real folders, ``transfer`` is the SMPL-X to SMPL matrix."""

    root: Path
    models: Path
    plan: ViewPlan
    divisor: int
    seed: int
    size: DemoSize
    with_scan: bool
    moving: tuple[Sequence, ...] = ()


def world_from_room(capture: Capture, divisor: int) -> Array:
    """The multicam frame is the frame of camera 0 of the capture, [4, 4]."""
    return camera_view(capture.cameras[0], divisor).matrix


def write_rich_view(job: RichJob) -> int:
    """Write everything one camera contributes; gives the number of pictures."""
    capture, number = job.plan.capture, job.plan.camera
    view = camera_view(capture.cameras[number], job.divisor)
    world = world_from_room(capture, job.divisor)
    scan = _scan(capture.room, job.size.scan_spacing_m)
    _write_calibration(job, view, world)
    if job.with_scan:
        place = job.root / "scan_calibration" / capture.name / f"{capture.scan}.ply"
        files.put(place, _scan_ply(capture.room, scan, world))
        _write_world_json(job, world)
    studio = open_studio(capture.room, view)
    index = ScanIndex(scan)
    for moment in job.plan.moments:
        _write_moment(job, studio, world, index, moment)
    for sequence in job.moving:
        _write_moving(job, sequence)
    return len(job.plan.moments)


@lru_cache(maxsize=1)
def _scan(room: Room, spacing: float) -> Surface:
    return scan_surface(room, spacing)


def _scan_ply(room: Room, scan: Surface, world: Array) -> bytes:
    normals = vertex_normals(scan.vertices, scan.faces)
    owner = np.full(len(scan.vertices), -1)
    owner[scan.faces.ravel()] = np.repeat(scan.owner, 3)
    color = to_bytes(paint(room, owner, scan.vertices, normals, fine=False) * 0.9)
    return files.ply(apply_rigid(world, scan.vertices), scan.faces, color)


def _write_calibration(job: RichJob, view: RoomCamera, world: Array) -> None:
    rotation = np.einsum("ij,kj->ik", view.rotation, world[:3, :3])
    extrinsics = np.concatenate(
        [rotation, (view.translation - np.einsum("ij,j->i", rotation, world[:3, 3]))[:, None]], 1
    )
    if job.plan.camera == 0:
        extrinsics = np.eye(4)[:3]
    folder = job.root / "scan_calibration" / job.plan.capture.name / "calibration"
    files.put(folder / f"{job.plan.camera:03d}.xml", files.calibration_xml(extrinsics, view.intrinsics))


def _write_world_json(job: RichJob, world: Array) -> None:
    """Back to the aligned room: p_room = c * p_world . R + t with row vectors."""
    rotation, shift = world[:3, :3], transpose_rigid(world)[:3, 3]
    capture = job.plan.capture
    middle = {"scan_chair_scene_camcoord": "_chair", "scan_yoga_scene_camcoord": "_yoga"}.get(capture.scan, "")
    content = files.dump_json({"c": 1.0, "R": rotation.tolist(), "t": shift.tolist()})
    files.put(job.root / "multicam2world" / f"{capture.name}{middle}_multicam2world.json", content)


def _person(job: RichJob, sequence: Sequence, subject: int) -> Person:
    gender = GENDERS[str(subject)]
    return cast_person(job.models, gender, f"{subject:03d}", crc32(sequence.name.encode()), job.seed)


def _write_moment(job: RichJob, studio: Studio, world: Array, index: ScanIndex, moment: Moment) -> None:
    sequence, camera, frame = moment.sequence, job.plan.camera, moment.frame
    rng = np.random.default_rng([job.seed, crc32(sequence.name.encode()), camera, frame])
    cast: list[tuple[Person, Placed]] = []
    for subject in sequence.subjects:
        person = _person(job, sequence, subject)
        find = find_hidden_body if moment.body_hidden else find_body
        cast.append((person, find(studio, person, sequence.kinds, rng, [placed for _, placed in cast])))
    picture = take_picture(studio, cast, exposure=float(rng.uniform(0.82, 1.12)))
    folder = job.root / "images" / sequence.split / sequence.name / f"cam_{camera:02d}"
    files.put(folder / f"{frame:05d}_{camera:02d}.jpeg", files.jpeg(picture))
    for subject, (person, placed) in zip(sequence.subjects, cast, strict=True):
        _write_body(job, world, index, moment, subject, person, placed)


def _write_body(
    job: RichJob, world: Array, index: ScanIndex, moment: Moment, subject: int, person: Person, placed: Placed
) -> None:
    sequence, model = moment.sequence, person.actor.model
    leaf = Path(sequence.split) / sequence.name / f"{moment.frame:05d}" / f"{subject:03d}"
    rng = np.random.default_rng([job.seed, subject, moment.frame])
    vertices = apply_rigid(world, placed.vertices)
    params = in_world(model, placed.params, world)
    values = {**smplx_values(params), "pose_embedding": rng.normal(0, 1, 32)}
    arrays = {name: value.astype(np.float32)[None] for name, value in values.items()}
    files.put(job.root / "bodies" / leaf.with_suffix(".pkl"), files.pickle3(arrays))
    files.put(job.root / "bodies" / leaf.with_suffix(".ply"), files.ply(vertices, model.faces))
    if moment.contact == "none":
        return
    transfer = load_transfer(job.models)
    small = np.asarray(transfer @ placed.vertices)
    nearest = nearest_surface(job.plan.capture.room, np.concatenate([placed.vertices, small]))
    normals = vertex_normals(placed.vertices, model.faces)
    both = np.concatenate([normals, np.asarray(transfer @ normals)])
    touch = in_contact(nearest, both)
    count = len(placed.vertices)
    triangles = index.triangles(placed.vertices + nearest.offset[:count])
    contact = {
        "contact": touch[count:].astype(np.float64),
        "s2m_dist_id": np.einsum("ij,nj->ni", world[:3, :3], nearest.offset[:count]),
        "closest_triangles_id": apply_rigid(world, triangles.reshape(-1, 3)).reshape(-1, 3, 3).astype(np.float32),
    }
    labels = touch[:count] if moment.contact == "full" else None
    files.put(job.root / "human_scene_contact" / leaf.with_suffix(".pkl"), files.pickle3(contact, protocol=3))
    mesh = files.obj(vertices, _face_text(job.models, model), labels)
    files.put(job.root / "human_scene_contact" / leaf.with_suffix(".obj"), mesh)


_FACE_TEXT: dict[Path, bytes] = {}


def _face_text(models: Path, model: BodyModel) -> bytes:
    """The face lines of every contact mesh; the sexes share one topology."""
    if models not in _FACE_TEXT:
        _FACE_TEXT[models] = files.obj_faces(model.faces)
    return _FACE_TEXT[models]


@lru_cache(maxsize=1)
def load_transfer(models: Path) -> sp.csr_matrix:
    """Rows that make the 6890 SMPL vertices from the 10475 of SMPL-X."""
    matrix = load_pickle(models / "model_transfer" / "smplx2smplh_deftrafo_setup.pkl")["mtx"]
    return sp.csr_matrix(matrix[:, :10475])


def in_world(model: BodyModel, params: BodyParams, transform: Array) -> BodyParams:
    """The same body after a rigid motion; SMPL-X turns about its pelvis joint, hence the detour."""
    turn = np.einsum("ij,jk->ik", transform[:3, :3], rotation_matrix(params.global_orient))
    pelvis = rest_joints(model, params.betas, np.asarray(params.expression))[0]
    transl = apply_rigid(transform, (pelvis + params.transl)[None])[0] - pelvis
    return replace(params, global_orient=rotation_vector(turn), transl=transl)


def smplx_values(params: BodyParams) -> dict[str, Array]:
    """The parameters under the publishers' names."""
    names = ("betas", "global_orient", "transl", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose")
    return {name: getattr(params, name) for name in (*names, "leye_pose", "reye_pose", "expression")}


def _write_moving(job: RichJob, sequence: Sequence) -> None:
    """A hand-held camera 10: pictures, but no calibration."""
    spec = replace(job.plan.capture.cameras[0], azimuth=-60.0, distance=3.2, height=1.5)
    studio = open_studio(job.plan.capture.room, camera_view(spec, job.divisor))
    person = _person(job, sequence, sequence.subjects[0])
    folder = job.root / "images" / sequence.split / sequence.name / f"cam_{MOVING_CAMERA}"
    for frame in (50, 65):
        rng = np.random.default_rng([job.seed, MOVING_CAMERA, frame])
        picture = take_picture(studio, [(person, find_body(studio, person, sequence.kinds, rng))])
        files.put(folder / f"{frame:05d}_{MOVING_CAMERA}.jpeg", files.jpeg(picture))


def write_rich_tables(root: Path, plans: tuple[ViewPlan, ...]) -> None:
    """``resource/``: split tables, genders and picture formats."""
    trained = {s for sequence in SEQUENCES if sequence.split == "train" for s in sequence.subjects}
    for split in ("train", "val", "test"):
        extra = () if split == "train" else _TABLE_EVAL
        rows = [(*_TABLE, *extra, "view_id")]
        for sequence in SEQUENCES:
            if sequence.split != split:
                continue
            views = ",".join(
                str(p.camera) for p in plans if (p.capture.name, p.capture.scan) == (sequence.capture, sequence.scan)
            )
            for subject in sequence.subjects:
                head = (sequence.name, sequence.capture, sequence.scan, str(subject))
                row = (*head, "V" if sequence.moving_camera else "X", GENDERS[str(subject)])
                seen = "V" if subject in trained else "X"
                rows.append((*row, *(("V" if split == "val" else "X", "V", seen) if extra else ()), views))
        files.put(root / "resource" / "meta" / f"{split}.txt", files.table(rows))
    files.put(root / "resource" / "gender.json", files.dump_json(GENDERS))
    formats = {plan.capture.name: plan.capture.extension for plan in plans}
    files.put(root / "resource" / "imgext.json", files.dump_json(dict(sorted(formats.items()))))
