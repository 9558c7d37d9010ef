"""Writes the PROX tree: mirrored pictures, calibrations, scenes with distance fields, MoSH and PROXD fits."""

import math
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sahmr.body.model import BodyModel
from sahmr.demo.people.models import leading_joints, load_body_model
from sahmr.demo.pictures.figures import vertex_normals
from sahmr.demo.pictures.paint import paint
from sahmr.demo.pictures.render import to_bytes
from sahmr.demo.pictures.shoot import Studio, cast_person, find_body, open_studio, take_picture
from sahmr.demo.places.captures import CameraSpec, prox_rooms
from sahmr.demo.places.room import Room, scan_surface
from sahmr.demo.places.view import RoomCamera, look_at
from sahmr.demo.publishers import containers as files
from sahmr.demo.publishers.rich import in_world, smplx_values
from sahmr.demo.publishers.rich_plan import DemoSize
from sahmr.geometry.rigid_numpy import apply_rigid, transpose_rigid

Array = NDArray[np.float64]

FULL_SIZE = (1920, 1080)
# Color.json of the publishers: focal lengths and principal point of the mirrored-back color image, pixels.
FOCAL, PRINCIPAL = (1060.531764702488, 1060.3856705041237), (951.2999547224418, 536.7703598373467)
_FEMALE = ("162", "3452", "159", "3403")  # subjects of the qualitative part; all others are men


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording; ``part`` is quantitative or qualitative."""

    part: str
    name: str
    scene: str
    subject: str


RECORDINGS = (
    Recording(part="quantitative", name="vicon_03301_01", scene="vicon", subject="03301"),
    Recording(part="quantitative", name="vicon_03301_02", scene="vicon", subject="03301"),
    Recording(part="qualitative", name="N0Sofa_00034_01", scene="N0Sofa", subject="00034"),
    Recording(part="qualitative", name="N0Sofa_00162_01", scene="N0Sofa", subject="00162"),
    Recording(part="qualitative", name="MPH1Library_00145_01", scene="MPH1Library", subject="00145"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxJob:
    """One scene of one part, with all its recordings."""

    root: Path
    models: Path
    scene: str
    divisor: int
    seed: int
    size: DemoSize

    @property
    def part(self) -> str:
        """quantitative or qualitative."""
        return "quantitative" if self.scene == "vicon" else "qualitative"


def prox_divisor(image_divisor: int) -> int:
    """PROX pictures are smaller to begin with: half the reduction of RICH's keeps people equally large."""
    return max(1, image_divisor // 2)


def prox_view(spec: CameraSpec, divisor: int) -> RoomCamera:
    """The static camera of a scene, in the mirrored-back image."""
    width, height = FULL_SIZE[0] // divisor, FULL_SIZE[1] // divisor
    scale = width / FULL_SIZE[0]
    intrinsics = np.array(
        [
            [FOCAL[0] * scale, 0.0, (PRINCIPAL[0] + 0.5) * scale - 0.5],
            [0.0, FOCAL[1] * scale, (PRINCIPAL[1] + 0.5) * scale - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )
    angle = np.radians(spec.azimuth)
    eye = np.array([spec.distance * math.cos(angle), spec.distance * math.sin(angle), spec.height])
    return look_at(eye, np.array([0.0, 0.0, 0.7]), intrinsics, (width, height), roll=0.02)


def world_from_room(scene: str) -> Array:
    """Each scan has its own frame: z up, turned and shifted by numbers drawn from the name, [4, 4]."""
    rng = np.random.default_rng([1920, crc32(scene.encode())])
    angle = rng.uniform(-np.pi, np.pi)
    matrix = np.eye(4)
    matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    matrix[:3, 3] = rng.uniform([-1.5, -1.5, -1.2], [1.5, 1.5, 0.4])
    return matrix


def world_from_vicon() -> Array:
    """``vicon2scene.json``: the motion-capture frame is y up and somewhere else."""
    rotation = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    angle = 0.7
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3] = np.einsum("ij,jk->ik", turn, rotation)
    matrix[:3, 3] = (0.8, -1.1, -0.35)
    return matrix


def write_prox_scene(job: ProxJob) -> int:
    """Write one scene and all its recordings; gives the number of pictures."""
    room, spec = prox_rooms()[job.scene]
    view, world = prox_view(spec, job.divisor), world_from_room(job.scene)
    base = job.root / job.part
    _write_scene(job, room, world, base)
    camera_from_world = np.einsum("ij,jk->ik", view.matrix, transpose_rigid(world))
    files.put(base / "cam2world" / f"{job.scene}.json", files.dump_json(transpose_rigid(camera_from_world).tolist()))
    studio = open_studio(room, view)
    count = 0
    for recording in RECORDINGS:
        if recording.scene == job.scene:
            count += _write_recording(job, studio, recording, camera_from_world)
    return count


def _write_scene(job: ProxJob, room: Room, world: Array, base: Path) -> None:
    scan = scan_surface(room, job.size.scan_spacing_m)
    normals = vertex_normals(scan.vertices, scan.faces)
    owner = np.full(len(scan.vertices), -1)
    owner[scan.faces.ravel()] = np.repeat(scan.owner, 3)
    color = to_bytes(paint(room, owner, scan.vertices, normals, fine=False) * 0.9)
    vertices = apply_rigid(world, scan.vertices)
    files.put(base / "scenes" / f"{job.scene}.ply", files.ply(vertices, scan.faces, color))
    low, high, side = vertices.min(0) - 0.3, vertices.max(0) + 0.3, job.size.sdf_side
    axes = [np.linspace(low[k], high[k], side) for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    distance = room.distance(apply_rigid(transpose_rigid(world), grid)).astype(np.float32).reshape(side, side, side)
    slope = np.stack(np.gradient(distance, *axes), -1).astype(np.float32)
    slope /= np.maximum(np.sqrt((slope**2).sum(-1, keepdims=True)), 1e-6)
    info = {"max": high.tolist(), "dim": side, "min": low.tolist()}
    files.put(base / "sdf" / f"{job.scene}.json", files.dump_json(info))
    _save(base / "sdf" / f"{job.scene}_sdf.npy", distance)
    _save(base / "sdf" / f"{job.scene}_normals.npy", slope)


def _save(path: Path, array: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array.reshape(-1, *array.shape[3:]))


def _write_recording(job: ProxJob, studio: Studio, recording: Recording, camera_from_world: Array) -> int:
    gender = "female" if recording.subject.lstrip("0") in _FEMALE else "male"
    person = cast_person(job.models, gender, recording.subject, crc32(recording.name.encode()), job.seed)
    quantitative = recording.part == "quantitative"
    count = job.size.quantitative if quantitative else job.size.qualitative
    for number in range(1, count + 1):
        stem = _stem(recording, number)
        rng = np.random.default_rng([job.seed, crc32(recording.name.encode()), number])
        placed = find_body(studio, person, ("stand", "walk", "sit", "lie", "lean", "squat", "reach"), rng)
        picture = take_picture(studio, [(person, placed)], exposure=float(rng.uniform(0.85, 1.1)))
        folder = job.root / recording.part / "recordings" / recording.name
        files.put(folder / "Color" / f"{stem}.jpg", files.jpeg(np.ascontiguousarray(picture[:, ::-1])))
        camera = in_world(person.actor.model, placed.params, studio.view.matrix)
        values = {name: value.astype(np.float32)[None] for name, value in smplx_values(camera).items()}
        values |= {"pose_embedding": rng.normal(0, 1, (1, 32)).astype(np.float32)}
        values |= {
            "camera_rotation": np.eye(3, dtype=np.float32)[None],
            "camera_translation": np.zeros((1, 3), np.float32),
        }
        if quantitative:
            vicon_from_world, world_from_camera = map(transpose_rigid, (world_from_vicon(), camera_from_world))
            vicon_from_camera = np.einsum("ij,jk->ik", vicon_from_world, world_from_camera)
            vicon = in_world(person.actor.model, camera, vicon_from_camera)
            values = {name: value.astype(np.float32)[None] for name, value in smplx_values(vicon).items()}
            mesh = files.ply(apply_rigid(studio.view.matrix, placed.vertices), person.actor.model.faces)
            base = job.root / recording.part / "fittings" / "mosh" / recording.name
            files.put(base / "meshes" / stem / "000.ply", mesh)
            files.put(base / "results" / stem / "000.pkl", files.pickle2(values))
            overlay = files.png(np.ascontiguousarray(picture[::2, ::2]))
            files.put(base / "images" / stem / "000.png", overlay)
        elif number != 2 or recording is not RECORDINGS[2]:  # one fit is missing
            if recording is RECORDINGS[3] and number == 1:  # one did not converge
                values["body_pose"][:] = np.nan
            base = job.root / recording.part / "PROXD" / recording.name
            files.put(base / "results" / stem / "000.pkl", files.pickle3(values))
    return count


def _stem(recording: Recording, number: int) -> str:
    """Frame names of the two parts; both hold dots and double underscores."""
    milliseconds = number * 23
    if recording.part == "quantitative":
        return f"s001_frame_{number:05d}__00.00.{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
    return f"s001_frame_{number:05d}__00.00.{number // 30:02d}.{number * 33 % 1000:03d}"


def write_prox_common(root: Path, models: Path, divisor: int) -> None:
    """What all scenes of a part share: calibration, contact parts, Vicon alignment."""
    body = load_body_model(models, "male")
    for part in ("quantitative", "qualitative"):
        base = root / part
        view = prox_view(next(iter(prox_rooms().values()))[1], divisor)
        k = view.intrinsics
        color = {
            "f": [k[0, 0], k[1, 1]],
            "c": [k[0, 2], k[1, 2]],
            "k": [0.0, 0.0, 0.0, 0.0, 0.0],
            "camera_mtx": k.tolist(),
            "view_mtx": np.eye(4)[:3].tolist(),
            "R": [0.0, 0.0, 0.0],
            "T": [0.0, 0.0, 0.0],
        }
        infrared = {**color, "f": [365.4, 365.4], "c": [256.4, 209.6], "T": [-0.052, 0.0, 0.0]}
        infrared["camera_mtx"] = [[365.4, 0.0, 256.4], [0.0, 365.4, 209.6], [0.0, 0.0, 1.0]]
        infrared["view_mtx"] = [[1.0, 0.0, 0.0, -0.052], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
        files.put(base / "calibration" / "Color.json", files.dump_json(color))
        files.put(base / "calibration" / "IR.json", files.dump_json(infrared))
        for name, vertices in _segments(body).items():
            files.put(base / "body_segments" / f"{name}.json", files.dump_json({"verts_ind": vertices}))
        mask = np.flatnonzero(leading_joints(body) < 22).tolist()
        files.put(base / "body_segments" / "body_mask.json", files.dump_json(mask))
    files.put(root / "quantitative" / "vicon2scene.json", files.dump_json(world_from_vicon().tolist()))


def _segments(body: BodyModel) -> dict[str, list[int]]:
    """SMPL-X vertices of the contact-prone parts, under the publishers' file names."""
    part, (_, _, z) = leading_joints(body), body.v_template.T
    behind = z < -0.03
    chosen = {
        "L_Leg": np.isin(part, (7, 10)),
        "R_Leg": np.isin(part, (8, 11)),
        "L_Hand": (part == 20) | ((part >= 25) & (part < 40)),
        "R_Hand": (part == 21) | (part >= 40),
        "back": np.isin(part, (3, 6, 9)) & behind,
        "gluteus": (part == 0) & behind,
        "thighs": np.isin(part, (1, 2)) & behind,
    }
    return {name: np.flatnonzero(which).tolist() for name, which in chosen.items()}
