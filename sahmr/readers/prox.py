"""Raw PROX: one mirrored color camera per recording; MoSH bodies (quantitative) or PROXD fits (qualitative)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.files import file_sha256
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid
from sahmr.readers import prox_layout as layout
from sahmr.readers.base import (
    BodyTask,
    BodyUnusableError,
    Listing,
    Measured,
    Selection,
    Tally,
    View,
    sorted_listing,
)
from sahmr.readers.bodies import smpl_vertices_of_file, smpl_vertices_of_params
from sahmr.readers.calibration import (
    Calibration,
    read_json_transform,
    read_prox_intrinsics,
)
from sahmr.readers.measure import drop_body, measure_body
from sahmr.readers.names import Sieve
from sahmr.readers.prox_check import absences, check_part, tell_absences
from sahmr.readers.prox_layout import PARTS, SPLIT_OF
from sahmr.readers.tree import RawTree
from sahmr.settings import Between, Keyed, Listed, refuse, settings
from sahmr.untrusted.regular import inside
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]
_FEMALE = (159, 162, 3403, 3452)  # subject ids; all others are male (formats c)


def frame_key(recording: str, stem: str) -> str:
    """Key of an image: recording and stem, whose dots become dashes."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"{recording}_{stem}")


def gender_of(subject: str) -> str:
    """Which model a subject, by the number in the recording's name, was fitted with."""
    return "female" if subject.isdigit() and int(subject) in _FEMALE else "male"


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
class ProxReader(RawTree):
    """Reads PROX as its publishers ship it. World = frame of the scan.

    Attributes:
        root: folder holding ``quantitative``, ``qualitative`` and (here or inside the latter) ``PROXD``.
        bodies: output folder of the stage ``bodies``.
        rules: which parts and frames are listed.
    """

    rules: ProxRules = field(default_factory=ProxRules)
    dataset: str = field(default="prox", init=False)

    def check(self) -> list[str]:
        """Every missing or misplaced raw file, one line for each kind and part."""
        root = self.root
        if not root.is_dir():
            return [f"{root}: no such folder; point raw.{self.dataset} of params.yaml at PROX ({layout.SITE})"]
        problems: list[str] = []
        try:
            found = [] if self.rules.allow_absent else absences(root, self._known_parts())
            for part in self.rules.parts:
                problems += check_part(root, self.dataset, part)
                if part in PARTS:
                    problems += tell_absences(root, self.dataset, part, found)
        except RawDataError as error:
            problems.append(str(error))
        return problems

    def _known_parts(self) -> list[str]:
        return [part for part in self.rules.parts if part in PARTS]

    def _usable_scenes(self, part: str) -> list[str]:
        """Scenes of the recordings; where absence is allowed, those with a scan and a camera pose."""
        scenes = sorted({layout.scene_of(recording) for recording in layout.recordings(self.root, part)})
        if not self.rules.allow_absent:
            return scenes
        files = {scene: layout.scene_files(self.root, part, scene) for scene in scenes}
        return [scene for scene in scenes if all(files[scene][what].is_file() for what in ("pose", "scan"))]

    def scenes(self) -> list[SceneRecord]:
        """The scans of all recordings, sorted; their distance fields are used where shipped."""
        records: dict[str, SceneRecord] = {}
        for part in self.rules.parts:
            for scene in sorted({*self._usable_scenes(part)} - set(records)):
                files = layout.scene_files(self.root, part, scene)
                scan, sdf, info = files["scan"], files["sdf"], files["info"]
                records[scene] = SceneRecord(
                    scene_key=scene,
                    dataset=self.dataset,
                    scan_file=self.relative(scan),
                    scan_sha256=file_sha256(scan),
                    sdf_file=self.relative(sdf) if sdf.is_file() else None,
                    sdf_info_file=self.relative(info) if sdf.is_file() else None,
                    sdf_sha256=file_sha256(sdf) if sdf.is_file() else None,
                    sdf_info_sha256=file_sha256(info) if sdf.is_file() else None,
                )
        return [records[scene] for scene in sorted(records)]

    def list_bodies(self) -> Listing:
        """Apply ``no_scene``, ``interval``, ``no_body`` and ``no_image``; one task per image.

        Raises:
            RawDataError: if a calibration is not what it must be or two frames share a key.
        """
        sieve = Sieve(self.root)
        tasks: list[BodyTask] = []
        dropped: list[Tally] = []
        for part in self.rules.parts:
            if part not in self.rules.interval:
                raise RawDataError(f"frames.{self.dataset}.interval of params.yaml has no value for the part '{part}'")
            intrinsics = read_prox_intrinsics(self.root / part / "calibration" / "Color.json")
            calibrations = {scene: self._calibration(part, scene, intrinsics) for scene in self._usable_scenes(part)}
            for recording in layout.recordings(self.root, part, sieve):
                calibration = calibrations.get(layout.scene_of(recording))
                made, counts = self._list_recording(part, recording, calibration, sieve)
                tasks += made
                dropped += [Tally(split=SPLIT_OF[part], rule=rule, count=n) for rule, n in counts.items()]
            layout.ignore_beside_scenes(self.root, part, sieve)
        return sorted_listing(tasks, dropped, absences(self.root, self._known_parts()), sieve.ignored())

    def _calibration(self, part: str, scene: str, intrinsics: Array) -> Calibration:
        world_from_camera = read_json_transform(layout.scene_files(self.root, part, scene)["pose"])
        return Calibration(
            intrinsics=tuple(map(float, intrinsics.ravel())),
            camera_from_world=tuple(map(float, invert_rigid(world_from_camera).ravel())),
        )

    def _list_recording(
        self, part: str, recording: str, calibration: Calibration | None, sieve: Sieve
    ) -> tuple[list[BodyTask], Counter[str]]:
        files = layout.list_recording(self.root, part, recording, sieve)
        images, bodies = files.images, files.bodies
        if self.rules.allow_absent and not (self.root / layout.VICON).is_file():
            lost = {*layout.needs_vicon(files)}
            bodies = {stem: file for stem, file in bodies.items() if file not in lost}
        counts: Counter[str] = Counter()
        if calibration is None:
            counts["no_scene"] = len(images)
            return [], counts
        tasks = []
        for stem in sorted({*images, *bodies}):
            frame = layout.frame_number(stem)
            rule = "no_body" if stem not in bodies else "no_image" if stem not in images else None
            rule = "interval" if frame % self.rules.interval[part] else rule
            if rule:
                counts[rule] += 1
                continue
            tasks.append(self._task(part, recording, frame, stem, images[stem], bodies[stem], calibration))
        return tasks, counts

    def _task(
        self, part: str, recording: str, frame: int, stem: str, image: str, body: str, calibration: Calibration
    ) -> BodyTask:
        subject = recording.split("_")[1] if "_" in recording else ""
        view = View(
            key=frame_key(recording, stem), camera=0, image_file=image, image_divisor=1, calibration=calibration
        )
        return BodyTask(
            split=SPLIT_OF[part],
            sequence=recording,
            frame=frame,
            subject=subject,
            gender=gender_of(subject),
            scene_key=layout.scene_of(recording),
            body_file=body,
            contact_file=None,
            views=(view,),
        )

    def shared_files(self) -> list[Path]:
        """The Vicon frame of MoSH parameters, where it is shipped."""
        path = self.root / layout.VICON
        return [path] if path.is_file() else []

    def measure(self, task: BodyTask) -> Measured:
        """The record of one image; ``nan_fit`` (PROXD), ``behind_camera`` and ``visibility`` drop."""
        try:
            vertices = self.body_world(task.known_body, task.gender, task.views[0].calibration.camera_from_world)
        except BodyUnusableError as defect:
            return drop_body(task, defect.rule)
        return measure_body(
            task,
            vertices,
            dataset=self.dataset,
            root=self.root,
            contact_known=False,
        )

    def body_world(self, body_file: str, gender: str, camera_from_world: tuple[float, ...]) -> Array:
        """Meshes and PROXD fits lie in the color camera's frame, MoSH parameters in the Vicon's (formats c)."""
        path = inside(self.root, body_file)
        is_vicon = body_file.startswith("quantitative/") and path.suffix == ".pkl"
        if is_vicon:
            world_from_vicon = read_json_transform(self.root / layout.VICON)
            return apply_rigid(world_from_vicon, smpl_vertices_of_params(path, self.bodies, gender))
        vertices = smpl_vertices_of_file(path, self.bodies, gender, nan_rule="nan_fit")
        return apply_rigid(invert_rigid(np.array(camera_from_world).reshape(4, 4)), vertices)

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """None: PROX has no contact labels."""
        return None
