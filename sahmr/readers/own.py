"""A folder of one's own as a data set: scans, any cameras, photographs or videos, boxes; ground truth if any."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sahmr.cameras.boxes import check_box, check_image_size
from sahmr.cameras.photo_camera import PhotoCamera
from sahmr.cameras.undistort import Undistortion
from sahmr.errors import RawDataError
from sahmr.files import file_sha256, kept_sha256
from sahmr.readers import own_files
from sahmr.readers import own_layout as layout
from sahmr.readers.base import (
    Absence,
    BodyTask,
    Listing,
    Measured,
    Selection,
    Tally,
    View,
    sorted_listing,
)
from sahmr.readers.bodies import smpl_vertices_of_array, smpl_vertices_of_mesh
from sahmr.readers.calibration import Calibration
from sahmr.readers.images import Region, decode_region, image_size, read_record_image
from sahmr.readers.measure import Box, is_visible, person_box
from sahmr.readers.names import name_some
from sahmr.readers.own_layout import SceneFolder
from sahmr.readers.own_lens import calibration_of, lens_of, require_pose
from sahmr.readers.own_shots import Shot, find_shots
from sahmr.readers.own_video import read_video_frame, video_size
from sahmr.readers.tree import RawTree
from sahmr.settings import Between, Share, settings
from sahmr.untrusted.regular import inside
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]
_SAME_PX = 1e-6  # K at listing and at reading: the same numbers


@settings
class OwnRules(Selection):
    """Group ``frames.own`` of params.yaml: which pictures are used.

    Attributes:
        interval: a picture is kept if its frame number mod interval == 0.
        least_score: boxes of a detector with a lower score are dropped.
        behind_wall: pictures of a camera that stands behind a wall of its scan are an error, or dropped and counted.
    """

    interval: Annotated[int, Between(1, 1_000_000)] = 1
    least_score: Share = 0.0
    behind_wall: Literal["refuse", "leave_out"] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTask(BodyTask):
    """A person in one picture.

    Attributes:
        shot: box and body as they were joined.
        camera_name: in the scene's camera file.
    """

    shot: Shot
    camera_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnReader(RawTree):
    """Reads a folder laid out as docs/own-scene.md says. World = frame of the scan, metres.

    Attributes:
        rules: which pictures are listed.
    """

    rules: OwnRules = field(default_factory=OwnRules)
    dataset: str = field(default="own", init=False)

    def check(self) -> list[str]:
        """Every problem of names, cameras and boxes; scans and pictures are opened later."""
        problems = layout.check_layout(self.root)
        if problems or self.rules.allow_absent:
            return problems
        try:
            for scene in self._scenes():
                if lost := find_shots(scene).without_image:
                    problems.append(
                        f"{scene.path / str(scene.boxes)}: {len(lost)} names are no picture's below {layout.IMAGES}: "
                        f"{name_some(lost)}; correct them, or set frames.own.allow_absent to leave them out, counted"
                    )
        except RawDataError as error:
            problems.append(str(error))
        return problems

    def _scenes(self) -> list[SceneFolder]:
        return [layout.open_scene(self.root, name) for name in layout.scene_names(self.root)]

    def scenes(self) -> list[SceneRecord]:
        """All scans, sorted; their distance fields are computed."""
        return [
            SceneRecord(
                scene_key=scene.name,
                dataset=self.dataset,
                scan_file=f"{scene.name}/{scene.scan}",
                scan_sha256=file_sha256(scene.path / scene.scan),
                sdf_file=None,
                sdf_info_file=None,
                sdf_sha256=None,
                sdf_info_sha256=None,
            )
            for scene in self._scenes()
        ]

    def list_bodies(self) -> Listing:
        """Apply ``no_box``, ``no_image``, ``interval``, ``low_score`` and ``uncalibrated_camera``; one task a person.

        Raises:
            RawDataError: if names, cameras or boxes are not what they must be, a camera that is used has no pose or no
                scale, or two people share a key.
        """
        tasks: list[BodyTask] = []
        dropped: list[Tally] = []
        absent: list[Absence] = []
        for scene in self._scenes():
            split, shots, cameras = scene.settings.split, find_shots(scene), layout.cameras_of(scene)
            counts = dict(shots.dropped)
            numbers = {name: number for number, name in enumerate(cameras)}
            posed = set[str]()
            for shot in shots.shots:
                rule, name = self._rule(shot), layout.pick_camera(cameras, shot.picture.file)
                if rule or name is None:
                    rule = rule or "uncalibrated_camera"
                    counts[rule] = counts.get(rule, 0) + 1
                    continue
                if name not in posed:  # one error, and not one for each of its pictures
                    require_pose(cameras[name])
                    posed.add(name)
                tasks.append(self._task(scene, shot, cameras[name], numbers[name]))
            dropped += [Tally(split=split, rule=rule, count=count) for rule, count in counts.items()]
            absent += [Absence(split=split, rule="absent_images", name=name) for name in shots.without_image]
        return sorted_listing(tasks, dropped, absent)

    def _rule(self, shot: Shot) -> str | None:
        """The light rule that drops a person."""
        if shot.picture.frame % self.rules.interval:
            return "interval"
        score = None if shot.box is None else shot.box.score
        return "low_score" if score is not None and score < self.rules.least_score else None

    def _task(self, scene: SceneFolder, shot: Shot, camera: PhotoCamera, number: int) -> OwnTask:
        view = View(
            key=shot.key(scene.name),
            camera=number,
            image_file=f"{scene.name}/{shot.picture.file}",
            image_divisor=1,
            calibration=calibration_of(camera),
        )
        return OwnTask(
            split=scene.settings.split,
            sequence="_".join([scene.name, *([shot.picture.group] if shot.picture.group else [])]),
            frame=shot.picture.frame,
            subject=shot.person or "0",
            gender="neutral",
            scene_key=scene.name,
            body_file=None if shot.body is None else f"{scene.name}/{shot.body}",
            contact_file=None,
            views=(view,),
            shot=shot,
            camera_name=camera.name,
        )

    def shared_files(self) -> list[Path]:
        """Camera files, and each scene's settings."""
        return [path for scene in self._scenes() for path in layout.camera_files(scene)]

    def measure(self, task: BodyTask) -> Measured:
        """The record of one person: the picture's size compared with the camera's, lens undone, box moved along.

        ``behind_camera`` and ``visibility`` drop bodies without a given box; a given box must be in the picture.

        Raises:
            RawDataError: if a file is damaged, or picture, camera and box do not belong together.
        """
        assert isinstance(task, OwnTask)  # listed by this reader
        view = task.views[0]
        path = self.root / view.image_file
        size = video_size(path) if task.shot.picture.is_video else image_size(path)
        lens = lens_of(layout.open_scene(self.root, task.scene_key), task.camera_name, size)
        made = calibration_of(lens.camera)
        box, rule = self._box(task, lens, made, size)
        if box is None or rule is not None:
            return Measured(dropped=(Tally(split=task.split, rule=str(rule), count=1),))
        notes = [Tally(split=task.split, rule="undistorted", count=1)] if lens.taken.distortion else []
        record = FrameRecord(
            key=view.key,
            dataset=self.dataset,
            split=task.split,
            sequence=task.sequence,
            camera=view.camera,
            frame=task.frame,
            subject=task.subject,
            gender=task.gender,
            intrinsics=made.intrinsics,
            camera_from_world=made.camera_from_world,
            image_width=size[0],
            image_height=size[1],
            person_box=box,
            box_source=_source(task.shot),
            scene_key=task.scene_key,
            image_file=view.image_file,
            image_sha256=kept_sha256(path),
            mirrored=False,
            body_file=task.body_file,
            body_sha256=None if task.body_file is None else file_sha256(self.root / task.body_file),
            contact_file=None,
            contact_sha256=None,
        )
        return Measured(records=(record,), notes=tuple(notes))

    def _box(
        self, task: OwnTask, lens: Undistortion, made: Calibration, size: tuple[int, int]
    ) -> tuple[Box | None, str | None]:
        """The box in the picture without distortion, and the rule that drops the person."""
        given = task.shot.box
        if given is None:
            box = person_box(self.body_world(task.known_body, task.gender, made.camera_from_world), made)
            if box is None:
                return None, "behind_camera"
            return box, None if is_visible(box, size) else "visibility"
        check_image_size(given, size)
        check_box(given.place, given.box, size)
        return lens.move_box(given.box), None

    def body_world(self, body_file: str, gender: str, camera_from_world: tuple[float, ...]) -> Array:
        """As of any tree: a mesh or an array of vertices in the scan's frame; the camera does not matter."""
        path = inside(self.root, body_file)
        if path.suffix.lower() == ".npy":
            return smpl_vertices_of_array(path)
        return smpl_vertices_of_mesh(path, self.bodies)

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """None: no layout of contact labels is read."""
        return None

    def read_image(self, record: FrameRecord, region: Region, divisor: int) -> NDArray[np.uint8]:
        """RGB of a region, averaged over squares of ``divisor`` pixels; the lens' distortion is undone here, once.

        Raises:
            RawDataError: if the file is damaged, or camera or picture changed since stage ``frames`` ran.
        """
        path, size = inside(self.root, record.image_file), (record.image_width, record.image_height)
        scene = layout.open_scene(self.root, record.scene_key)
        name = layout.pick_camera(layout.cameras_of(scene), record.image_file.partition("/")[2])
        lens = lens_of(scene, str(name), size)
        if np.abs(lens.camera.intrinsics.ravel() - np.array(record.intrinsics)).max() > _SAME_PX:
            raise RawDataError(f"{lens.taken.source}: camera {name!r} changed; run: dvc repro frames")
        is_video = own_files.is_video(record.image_file)
        if not (is_video or lens.taken.distortion):
            return read_record_image(self.root, record, region, divisor)
        found = video_size(path) if is_video else image_size(path)
        if found != size:
            raise RawDataError(f"{path}: is {found[0]}x{found[1]}, was {size[0]}x{size[1]}; run: dvc repro frames")
        whole = read_video_frame(path, record.frame) if is_video else decode_region(path, (0, 0, *size), 1)
        return np.asarray(Image.fromarray(lens.apply(whole)).crop(region).reduce(divisor))


def _source(shot: Shot) -> str:
    if shot.box is None:
        return "body"
    return "person" if shot.box.score is None else "detector"
