"""Raw RICH: eight multi-camera captures with SMPL-X bodies, contact labels and scans (formats a)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.readers import rich_layout as layout
from sahmr.readers.base import (
    BodyTask,
    Frames,
    Listing,
    Measured,
    Tally,
    View,
    file_sha256,
    measure_body,
    read_record_image,
    sorted_listing,
)
from sahmr.readers.bodies import read_contact, smpl_vertices_of_mesh, smpl_vertices_of_params
from sahmr.readers.calibration import Calibration, check_first_camera, read_rich_calibration
from sahmr.readers.meshfile import obj_has_colors
from sahmr.readers.rich_layout import Track
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RichReader:
    """Reads RICH as its publishers ship it.

    Attributes:
        root: folder holding ``images``, ``bodies``, ``human_scene_contact``, ``scan_calibration``, ``resource``.
        bodies: output folder of the stage ``bodies``.
    """

    root: Path
    bodies: Path
    dataset: str = field(default="rich", init=False)

    def tracks(self) -> list[Track]:
        """Rows of all split tables, in table order."""
        tables = layout.split_tables(self.root)
        return [track for split, path in tables.items() for track in layout.read_split_table(path, split)]

    def check(self) -> list[str]:
        """Every missing or misplaced raw file, one line each."""
        root = self.root
        if not root.is_dir():
            return [f"{root}: no such folder; point raw.rich of params.yaml at RICH ({layout.SITE})"]
        tables = layout.split_tables(root)
        if not tables:
            where = f"{root / 'resource' / 'meta'} (or meta)"
            return [f"{where}: none of train.txt, val.txt, test.txt; the split tables come with {layout.TOOLKIT}"]
        problems = []
        for split in tables:
            for kind in ("images", "bodies"):
                if layout.folder(root, kind, split) is None:
                    problems.append(
                        f"{layout.expected(root, kind, split)}: missing; {kind} of split '{split}', {layout.SITE}; "
                        f"to work without this split remove {tables[split]}"
                    )
        try:
            tracks = self.tracks()
            problems += layout.check_genders(root, tracks) + layout.check_disjoint(tracks)
        except RawDataError as error:
            return [*problems, str(error)]
        return problems + self._check_scans(tracks)

    def _check_scans(self, tracks: list[Track]) -> list[str]:
        """Every row must lead to its scan and to the calibration of each of its views."""
        scans = layout.folder(self.root, "scans")
        if scans is None:
            return [f"{layout.expected(self.root, 'scans')}: missing; scans and calibrations, {layout.SITE}"]
        wanted = {scans / t.capture / f"{t.scan}.ply": "scan" for t in tracks}
        wanted |= {self._xml(t.capture, camera): "calibration" for t in tracks for camera in t.cameras}
        return [
            f"{path}: missing; {what} named by the split tables, scan_calibration.zip from {layout.SITE}"
            for path, what in sorted(wanted.items())
            if not path.is_file()
        ]

    def _xml(self, capture: str, camera: int) -> Path:
        scans = layout.folder(self.root, "scans") or self.root / "scan_calibration"
        return scans / capture / "calibration" / f"{camera:03d}.xml"

    def scenes(self) -> list[SceneRecord]:
        """The scans that the split tables name, sorted by scene key."""
        scans = layout.folder(self.root, "scans") or self.root / "scan_calibration"
        files = {t.scene_key: scans / t.capture / f"{t.scan}.ply" for t in self.tracks()}
        return [
            SceneRecord(
                scene_key=key,
                dataset=self.dataset,
                scan_file=self._relative(path),
                scan_sha256=file_sha256(path),
                sdf_file=None,
                sdf_info_file=None,
            )
            for key, path in sorted(files.items())
        ]

    def list_bodies(self, rules: Frames) -> Listing:
        """Apply ``multi_person``, ``uncalibrated_camera``, ``unlisted_camera``, ``warmup``, ``interval``, ``no_body``
        and ``no_image``, in this order, each image counted under the first that drops it.

        Raises:
            RawDataError: if a calibration or table is not what it must be.
        """
        tasks: list[BodyTask] = []
        dropped: list[Tally] = []
        for track in self.tracks():
            if track.split not in rules.interval:
                raise RawDataError(f"frames.interval of params.yaml has no value for split '{track.split}'")
            made, counts = self._list_track(track, rules)
            tasks += made
            dropped += [Tally(split=track.split, rule=rule, count=n) for rule, n in counts.items()]
        return sorted_listing(tasks, dropped)

    def _list_track(self, track: Track, rules: Frames) -> tuple[list[BodyTask], dict[str, int]]:
        place = layout.sequence_folder(self.root, "images", track.split, track.sequence)
        images = layout.list_images(place) if place is not None else {}
        counts: dict[str, int] = {}
        if track.sequence in rules.multi_person:
            return [], {"multi_person": sum(map(len, images.values()))}
        for camera in sorted(set(images) - set(track.cameras)):
            why = "unlisted_camera" if self._xml(track.capture, camera).is_file() else "uncalibrated_camera"
            counts[why] = counts.get(why, 0) + len(images[camera])
        bodies = layout.list_body_frames(
            layout.sequence_folder(self.root, "bodies", track.split, track.sequence), track.subject
        )
        views: dict[int, list[View]] = {}
        for camera in track.cameras:
            calibration = self._calibration(track.capture, camera)
            for frame in sorted({*bodies, *images.get(camera, {})}):
                file = images.get(camera, {}).get(frame)
                rule = _light_rule(track, rules, frame, camera, has_body=frame in bodies, has_image=file is not None)
                if rule:
                    counts[rule] = counts.get(rule, 0) + 1
                elif file is not None:
                    views.setdefault(frame, []).append(self._view(track, camera, frame, file, calibration))
        return [self._task(track, frame, bodies[frame], made) for frame, made in sorted(views.items())], counts

    def _calibration(self, capture: str, camera: int) -> Calibration:
        path = self._xml(capture, camera)
        calibration = read_rich_calibration(path)
        if camera == 0:
            check_first_camera(path, calibration)
        return calibration

    def _view(self, track: Track, camera: int, frame: int, file: Path, calibration: Calibration) -> View:
        key = f"{track.sequence}_{camera}_{frame:05d}_{track.subject}"
        return View(key=key, camera=camera, image_file=self._relative(file), calibration=calibration)

    def _task(self, track: Track, frame: int, body: Path, views: list[View]) -> BodyTask:
        place = layout.sequence_folder(self.root, "contact", track.split, track.sequence)
        contact = None if place is None else place / body.parent.name / f"{track.subject:03d}.pkl"
        return BodyTask(
            split=track.split,
            sequence=track.sequence,
            frame=frame,
            subject=f"{track.subject:03d}",
            gender=track.gender,
            scene_key=track.scene_key,
            body_file=self._relative(body),
            contact_file=self._relative(contact) if contact is not None and contact.is_file() else None,
            views=tuple(views),
        )

    def measure(self, task: BodyTask) -> Measured:
        """Records of one body's views; ``behind_camera`` and ``visibility`` drop, ``contact_unknown`` is noted."""
        return measure_body(
            task,
            lambda: self._body_world(task.body_file, task.gender),
            dataset=self.dataset,
            root=self.root,
            mirrored=False,
            contact_known=self._contact_known(task),
        )

    def _contact_known(self, task: BodyTask) -> bool:
        """Labels of a contact mesh without colours are unknown, not negative (formats a.1)."""
        if task.contact_file is None:
            return False
        read_contact(self.root / task.contact_file)
        mesh = (self.root / task.contact_file).with_suffix(".obj")
        return not mesh.is_file() or obj_has_colors(mesh)

    def frames(self, rules: Frames) -> Iterator[FrameRecord]:
        """All usable frames, one body after another."""
        for task in self.list_bodies(rules).tasks:
            yield from self.measure(task).records

    def _body_world(self, body_file: str, gender: str) -> Array:
        path = self.root / body_file
        if path.suffix == ".ply":
            return smpl_vertices_of_mesh(path, self.bodies)
        return smpl_vertices_of_params(path, self.bodies, gender)

    def load_body_world(self, record: FrameRecord) -> Array:
        """SMPL-topology vertices [6890, 3], float64, capture frame, metres."""
        return self._body_world(record.body_file, record.gender)

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """Contact label per SMPL vertex; None where the raw data know none."""
        return None if record.contact_file is None else read_contact(self.root / record.contact_file)

    def read_image(self, record: FrameRecord) -> NDArray[np.uint8]:
        """RGB [H, W, 3]."""
        return read_record_image(self.root, record)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _light_rule(track: Track, rules: Frames, frame: int, camera: int, *, has_body: bool, has_image: bool) -> str | None:
    """Name of the first rule that drops a frame of one camera, None if it stays (formats a.6)."""
    if frame <= rules.warmup_frames:
        return "warmup" if has_image else None
    if (frame + camera) % rules.interval[track.split] != 0:
        return "interval" if has_image else None
    if not has_body:
        return "no_body"
    return None if has_image else "no_image"
