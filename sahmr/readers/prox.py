"""Raw PROX: one mirrored color camera per recording; MoSH bodies (quantitative) or PROXD fits (qualitative)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from sahmr.files import file_sha256
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid
from sahmr.readers.base import (
    IMAGE_SUFFIXES,
    BodyTask,
    BodyUnusableError,
    Listing,
    Measured,
    Selection,
    Tally,
    View,
    list_names,
    sorted_listing,
    task_inputs,
)
from sahmr.readers.bodies import smpl_vertices_of_mesh, smpl_vertices_of_params
from sahmr.readers.calibration import (
    Calibration,
    read_json_transform,
    read_prox_intrinsics,
)
from sahmr.readers.images import Region, read_record_image
from sahmr.readers.measure import drop_body, measure_body
from sahmr.settings import Between, Keyed, Listed, refuse, settings
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]
PARTS: tuple[Literal["quantitative"], Literal["qualitative"]] = ("quantitative", "qualitative")
SITE = "https://prox.is.tue.mpg.de"
_SPLIT = {"quantitative": "test", "qualitative": "train"}
_FEMALE = (159, 162, 3403, 3452)  # subject ids; all others are male (formats c)
_FRAME_NUMBER = re.compile(r"frame_(\d+)")
_PROXD = ("PROXD", "qualitative/PROXD")


@settings
class ProxRules(Selection):
    """Group ``frames.prox`` of params.yaml: which raw frames are used.

    Attributes:
        parts: to read; quantitative -> test, qualitative -> train.
        interval: per part: a frame is kept if ``frame mod interval == 0``.
    """

    parts: Annotated[tuple[Literal["quantitative", "qualitative"], ...], Listed(least=1)] = PARTS
    interval: Annotated[dict[str, Annotated[int, Between(1, 10_000)]], Keyed(PARTS, all_needed=False)] = field(
        default_factory=lambda: dict.fromkeys(PARTS, 1)
    )

    def __post_init__(self) -> None:
        """Each part that is read needs its interval."""
        if missing := [part for part in self.parts if part not in self.interval]:
            refuse("interval", self.interval, f"a mapping that has {' and '.join(missing)} too, as parts does")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxReader:
    """Reads PROX as its publishers ship it. World = frame of the scan.

    Attributes:
        root: folder holding ``quantitative``, ``qualitative`` and (here or inside the latter) ``PROXD``.
        bodies: output folder of the stage ``bodies``.
        rules: which parts and frames are listed.
    """

    root: Path
    bodies: Path
    rules: ProxRules = field(default_factory=ProxRules)
    dataset: str = field(default="prox", init=False)

    def recordings(self, part: str) -> list[str]:
        """Names of the recordings with color images or fits, sorted."""
        places = [self.root / part / "recordings", *(place for place, _ in self._fits(part))]
        return sorted({d.name for place in places if place.is_dir() for d in place.iterdir() if d.is_dir()})

    def _fits(self, part: str) -> list[tuple[Path, str]]:
        """Folders of fits, the preferred first, and where below ``<REC>`` a frame's file lies."""
        if part == "quantitative":
            mosh = self.root / part / "fittings" / "mosh"
            return [(mosh, "meshes/{frame}/000.ply"), (mosh, "results/{frame}/000.pkl")]
        return [(self.root / place, "results/{frame}/000.pkl") for place in _PROXD]

    def check(self) -> list[str]:
        """Every missing or misplaced raw file, one line each."""
        if not self.root.is_dir():
            return [f"{self.root}: no such folder; point raw.prox of params.yaml at PROX ({SITE})"]
        return [problem for part in self.rules.parts for problem in self._check_part(part)]

    def _check_part(self, part: str) -> list[str]:
        base = self.root / part
        if part not in PARTS or not base.is_dir():
            return [f"{base}: missing; PROX {part}, {SITE}; or remove it from frames.prox.parts (allowed: {PARTS})"]
        wanted = {base / "calibration" / "Color.json": "color camera", base / "recordings": "color images"}
        for scene in sorted({_scene(recording) for recording in self.recordings(part)}):
            wanted[base / "cam2world" / f"{scene}.json"] = "camera pose"
            wanted[base / "scenes" / f"{scene}.ply"] = "scan"
            sdf = base / "sdf" / f"{scene}_sdf.npy"
            if sdf.exists() or (base / "sdf" / f"{scene}.json").exists():
                wanted[sdf], wanted[base / "sdf" / f"{scene}.json"] = "distance field", "extent of the distance field"
        fits = [place for place, _ in self._fits(part) if place.is_dir()]
        if not fits:
            what = "MoSH fits" if part == "quantitative" else "PROXD fits, a download of its own"
            wanted[self._fits(part)[0][0]] = what
        elif part == "quantitative" and not any(fits[0].glob("*/meshes")):
            wanted[base / "vicon2scene.json"] = "Vicon frame of the MoSH parameters (or fetch the MoSH meshes)"
        return [f"{path}: missing; {what}, PROX {part}, {SITE}" for path, what in wanted.items() if not path.exists()]

    def scenes(self) -> list[SceneRecord]:
        """The scans of all recordings, sorted; their distance fields are used where shipped."""
        records: dict[str, SceneRecord] = {}
        for part in self.rules.parts:
            for scene in sorted({_scene(recording) for recording in self.recordings(part)} - set(records)):
                scan = self.root / part / "scenes" / f"{scene}.ply"
                sdf, info = (self.root / part / "sdf" / name for name in (f"{scene}_sdf.npy", f"{scene}.json"))
                records[scene] = SceneRecord(
                    scene_key=scene,
                    dataset=self.dataset,
                    scan_file=self._relative(scan),
                    scan_sha256=file_sha256(scan),
                    sdf_file=self._relative(sdf) if sdf.is_file() else None,
                    sdf_info_file=self._relative(info) if sdf.is_file() else None,
                    sdf_sha256=file_sha256(sdf) if sdf.is_file() else None,
                    sdf_info_sha256=file_sha256(info) if sdf.is_file() else None,
                )
        return [records[scene] for scene in sorted(records)]

    def list_bodies(self) -> Listing:
        """Apply ``interval``, ``no_body`` and ``no_image``; one task per image.

        Raises:
            RawDataError: if a calibration is not what it must be or two frames share a key.
        """
        tasks: list[BodyTask] = []
        dropped: list[Tally] = []
        for part in self.rules.parts:
            intrinsics = read_prox_intrinsics(self.root / part / "calibration" / "Color.json")
            for recording in self.recordings(part):
                world_from_camera = read_json_transform(self.root / part / "cam2world" / f"{_scene(recording)}.json")
                calibration = Calibration(
                    intrinsics=tuple(map(float, intrinsics.ravel())),
                    camera_from_world=tuple(map(float, invert_rigid(world_from_camera).ravel())),
                )
                made, counts = self._list_recording(part, recording, calibration, self.rules.interval[part])
                tasks += made
                dropped += [Tally(split=_SPLIT[part], rule=rule, count=n) for rule, n in counts.items()]
        return sorted_listing(tasks, dropped)

    def _list_recording(
        self, part: str, recording: str, calibration: Calibration, interval: int
    ) -> tuple[list[BodyTask], dict[str, int]]:
        images, bodies = self._list_images(part, recording), self._list_fits(part, recording)
        tasks, counts = [], {"no_body": 0, "no_image": 0, "interval": 0}
        for index, stem in enumerate(sorted({*images, *bodies})):
            number = _FRAME_NUMBER.search(stem)
            frame = int(number[1]) if number else index
            rule = "no_body" if stem not in bodies else "no_image" if stem not in images else None
            rule = "interval" if frame % interval else rule
            if rule:
                counts[rule] += 1
                continue
            tasks.append(self._task(part, recording, frame, stem, images[stem], bodies[stem], calibration))
        return tasks, counts

    def _list_images(self, part: str, recording: str) -> dict[str, str]:
        """Frame stem -> image file, relative to the root."""
        place = f"{part}/recordings/{recording}/Color"
        found: dict[str, str] = {}
        if not (self.root / place).is_dir():
            return found
        for name in list_names(self.root / place, folders=False):
            stem, dot, suffix = name.rpartition(".")
            if dot + suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                found[stem] = f"{place}/{name}"
        return found

    def _list_fits(self, part: str, recording: str) -> dict[str, str]:
        """Frame stem -> body file, relative to the root."""
        found: dict[str, str] = {}
        for place, pattern in self._fits(part):
            kind, _, file = pattern.split("/")
            folder = place / recording / kind
            for frame in list_names(folder, folders=True) if folder.is_dir() else ():
                if frame not in found and (folder / frame / file).is_file():
                    found[frame] = f"{self._relative(folder)}/{frame}/{file}"
        return found

    def _task(
        self, part: str, recording: str, frame: int, stem: str, image: str, body: str, calibration: Calibration
    ) -> BodyTask:
        subject = recording.split("_")[1] if "_" in recording else ""
        key = re.sub(r"[^A-Za-z0-9_-]", "-", f"{recording}_{stem}")
        view = View(key=key, camera=0, image_file=image, image_divisor=1, calibration=calibration)
        return BodyTask(
            split=_SPLIT[part],
            sequence=recording,
            frame=frame,
            subject=subject,
            gender="female" if subject.isdigit() and int(subject) in _FEMALE else "male",
            scene_key=_scene(recording),
            body_file=body,
            contact_file=None,
            views=(view,),
        )

    def inputs(self, task: BodyTask) -> list[tuple[str, Path]]:
        """Files :meth:`measure` may open for a task."""
        return task_inputs(self.root, task)

    def shared_files(self) -> list[Path]:
        """The Vicon frame of MoSH parameters, where it is shipped."""
        path = self.root / "quantitative" / "vicon2scene.json"
        return [path] if path.is_file() else []

    def measure(self, task: BodyTask) -> Measured:
        """The record of one image; ``nan_fit`` (PROXD), ``behind_camera`` and ``visibility`` drop."""
        try:
            vertices = self._body_world(task.body_file, task.gender, task.views[0].calibration.camera_from_world)
        except BodyUnusableError as defect:
            return drop_body(task, defect.rule)
        return measure_body(
            task,
            vertices,
            dataset=self.dataset,
            root=self.root,
            contact_known=False,
        )

    def frames(self) -> Iterator[FrameRecord]:
        """All usable frames, sorted by key."""
        for task in self.list_bodies().tasks:
            yield from self.measure(task).records

    def _body_world(self, body_file: str, gender: str, camera_from_world: tuple[float, ...]) -> Array:
        """Meshes and PROXD fits lie in the color camera's frame, MoSH parameters in the Vicon's (formats c)."""
        path = self.root / body_file
        is_vicon = body_file.startswith("quantitative/") and path.suffix == ".pkl"
        if is_vicon:
            world_from_vicon = read_json_transform(self.root / "quantitative" / "vicon2scene.json")
            return apply_rigid(world_from_vicon, smpl_vertices_of_params(path, self.bodies, gender))
        if path.suffix == ".ply":
            vertices = smpl_vertices_of_mesh(path, self.bodies)
        else:
            vertices = smpl_vertices_of_params(path, self.bodies, gender, nan_rule="nan_fit")
        return apply_rigid(invert_rigid(np.array(camera_from_world).reshape(4, 4)), vertices)

    def load_body_world(self, record: FrameRecord) -> Array:
        """SMPL-topology vertices [6890, 3], float64, scan frame, metres."""
        assert record.body_file is not None  # without one there is nothing to ask for
        return self._body_world(record.body_file, record.gender, record.camera_from_world)

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """None: PROX has no contact labels."""
        return None

    def read_image(self, record: FrameRecord, region: Region, divisor: int) -> NDArray[np.uint8]:
        """RGB of a region, averaged over squares of ``divisor`` pixels; flipped, for the files are mirror images."""
        return read_record_image(self.root, record, region, divisor)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _scene(recording: str) -> str:
    """``<SCENE>_<SUBJECT>_<NN>`` -> scene; scene names hold no underscore."""
    return recording.split("_")[0]
