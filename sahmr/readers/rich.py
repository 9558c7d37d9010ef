"""Raw RICH: eight multi-camera captures with SMPL-X bodies, contact labels and scans (formats a)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.files import file_sha256
from sahmr.readers import rich_layout as layout
from sahmr.readers.base import (
    BodyTask,
    Listing,
    Measured,
    Tally,
    raise_problems,
    sorted_listing,
    task_inputs,
)
from sahmr.readers.bodies import read_contact, smpl_vertices_of_mesh, smpl_vertices_of_params
from sahmr.readers.calibration import Calibration, check_first_camera, read_rich_calibration
from sahmr.readers.images import Region, read_record_image
from sahmr.readers.measure import measure_body
from sahmr.readers.rich_layout import Track
from sahmr.readers.rich_listing import Cameras, RichRules, check_names, list_track
from sahmr.untrusted.meshes import obj_has_colors
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RichReader:
    """Reads RICH as its publishers ship it.

    Attributes:
        root: folder holding ``images``, ``bodies``, ``human_scene_contact``, ``scan_calibration``, ``resource``.
        bodies: output folder of the stage ``bodies``.
        rules: which frames are listed.
    """

    root: Path
    bodies: Path
    rules: RichRules = field(default_factory=RichRules)
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
            missing = layout.check_images(root, [split], "auto")
            if layout.folder(root, "bodies", split) is None:
                missing.append(
                    f"{layout.expected(root, 'bodies', split)}: missing; bodies of split '{split}', {layout.SITE}"
                )
            problems += [f"{text}; to work without this split remove {tables[split]}" for text in missing]
        try:
            tracks = self.tracks()
            problems += layout.check_genders(root, tracks) + layout.check_disjoint(tracks)
            problems += check_names(self.rules, (track.sequence for track in tracks))
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
                sdf_sha256=None,
                sdf_info_sha256=None,
            )
            for key, path in sorted(files.items())
        ]

    def list_bodies(self) -> Listing:
        """Apply ``multi_person``, ``uncalibrated_camera``, ``unlisted_camera``, ``warmup``, ``interval``, ``no_body``
        and ``no_image``, in this order, each image counted under the first that drops it.

        Raises:
            RawDataError: if a calibration or table is not what it must be, or a split has no images of the kind
                ``rules.images`` asks for.
        """
        tracks = self.tracks()
        splits = {track.split for track in tracks}
        raise_problems(self.dataset, layout.check_images(self.root, sorted(splits), self.rules.images))
        absent = sorted(splits - set(self.rules.interval))
        if absent:
            raise RawDataError(f"frames.rich.interval of params.yaml has no value for the splits {absent}")
        cameras = {capture: self._cameras(capture, tracks) for capture in {track.capture for track in tracks}}
        tasks: list[BodyTask] = []
        dropped: list[Tally] = []
        for track in tracks:
            made, counts = list_track(self.root, track, self.rules, cameras[track.capture])
            tasks += made
            dropped += [Tally(split=track.split, rule=rule, count=n) for rule, n in counts.items()]
        return sorted_listing(tasks, dropped)

    def _cameras(self, capture: str, tracks: list[Track]) -> Cameras:
        """Cameras of a capture: those the tables name are read, others only counted as calibrated."""
        named = {camera for track in tracks if track.capture == capture for camera in track.cameras}
        files = self._xml(capture, 0).parent.glob("*.xml")
        others = {int(path.stem) for path in files if path.stem.isdecimal()} - named
        return Cameras(
            calibrations={camera: self._calibration(capture, camera) for camera in sorted(named)},
            others=frozenset(others),
        )

    def _calibration(self, capture: str, camera: int) -> Calibration:
        path = self._xml(capture, camera)
        calibration = read_rich_calibration(path)
        if camera == 0:
            check_first_camera(path, calibration)
        return calibration

    def inputs(self, task: BodyTask) -> list[tuple[str, Path]]:
        """Files :meth:`measure` may open for a task."""
        return task_inputs(self.root, task)

    def shared_files(self) -> list[Path]:
        """None."""
        return []

    def measure(self, task: BodyTask) -> Measured:
        """Records of one body's views; ``behind_camera`` and ``visibility`` drop, ``contact_unknown`` is noted."""
        return measure_body(
            task,
            self._body_world(task.body_file, task.gender),
            dataset=self.dataset,
            root=self.root,
            contact_known=self._contact_known(task),
        )

    def _contact_known(self, task: BodyTask) -> bool:
        """Labels of a contact mesh without colors are unknown, not negative (formats a.1)."""
        if task.contact_file is None:
            return False
        read_contact(self.root / task.contact_file)
        mesh = (self.root / task.contact_file).with_suffix(".obj")
        return not mesh.is_file() or obj_has_colors(mesh)

    def frames(self) -> Iterator[FrameRecord]:
        """All usable frames, one body after another."""
        for task in self.list_bodies().tasks:
            yield from self.measure(task).records

    def _body_world(self, body_file: str, gender: str) -> Array:
        path = self.root / body_file
        if path.suffix == ".ply":
            return smpl_vertices_of_mesh(path, self.bodies)
        return smpl_vertices_of_params(path, self.bodies, gender)

    def load_body_world(self, record: FrameRecord) -> Array:
        """SMPL-topology vertices [6890, 3], float64, capture frame, metres."""
        assert record.body_file is not None  # without one there is nothing to ask for
        return self._body_world(record.body_file, record.gender)

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """Contact label per SMPL vertex; None where the raw data know none."""
        return None if record.contact_file is None else read_contact(self.root / record.contact_file)

    def read_image(self, record: FrameRecord, region: Region, divisor: int) -> NDArray[np.uint8]:
        """RGB of a region of the full image, averaged over squares of ``divisor`` pixels."""
        return read_record_image(self.root, record, region, divisor)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()
