"""Raw RICH: eight multi-camera captures with SMPL-X bodies, contact labels and scans (formats a)."""

from __future__ import annotations

from dataclasses import dataclass
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
)
from sahmr.readers.bodies import read_contact
from sahmr.readers.calibration import Calibration, check_first_camera, read_rich_calibration
from sahmr.readers.measure import measure_body
from sahmr.readers.names import Sieve, name_some
from sahmr.readers.rich_check import absences, size_contradictions, tables_elsewhere, tell_absences
from sahmr.readers.rich_listing import Cameras, check_names, list_track
from sahmr.readers.rich_tables import (
    TOOLKIT,
    Track,
    check_disjoint,
    check_genders,
    ignore_beside_tables,
    read_split_table,
    split_tables,
)
from sahmr.readers.tree import RichTree
from sahmr.untrusted.meshes import obj_has_colors
from sahmr.untrusted.regular import inside
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RichReader(RichTree):
    """Reads RICH as its publishers ship it.

    Attributes:
        root: folder holding ``images``, ``bodies``, ``human_scene_contact``, ``scan_calibration``, ``resource``.
        bodies: output folder of the stage ``bodies``.
        rules: which frames are listed.
    """

    def tracks(self) -> list[Track]:
        """Rows of the tables of all splits that are read, in table order."""
        return [track for split, path in self._tables().items() for track in read_split_table(path, split)]

    def _tables(self) -> dict[str, Path]:
        return {split: path for split, path in split_tables(self.root).items() if split in self.rules.splits}

    def check(self) -> list[str]:
        """Every missing or misplaced raw file, one line for each kind and split."""
        root = self.root
        if not root.is_dir():
            return [f"{root}: no such folder; point raw.{self.dataset} of params.yaml at RICH ({layout.SITE})"]
        tables = self._tables()
        if not tables:
            return [self._no_tables()]
        tracks: list[Track] = []
        problems: list[str] = []
        for split, path in tables.items():
            try:
                tracks += read_split_table(path, split)
            except RawDataError as error:
                problems += str(error).splitlines()
        try:
            problems += check_genders(root, tracks) + check_disjoint(tracks)
            if not self.rules.allow_absent:
                found = absences(root, tracks, self.rules)
                problems += tell_absences(root, self.dataset, tracks, self.rules, found)
            problems += size_contradictions(root, tracks, self.rules)
            problems += check_names(self.rules, (track.sequence for track in tracks))
        except RawDataError as error:
            problems.append(str(error))
        return problems

    def _no_tables(self) -> str:
        told = f"{self.root / 'resource' / 'meta'} (or meta): none of train.txt, val.txt, test.txt"
        found = list(tables_elsewhere(self.root))
        if found:
            return f"{told}; found in another place: {name_some(found)}; point raw.{self.dataset} of params.yaml there"
        return f"{told}; the split tables come with {TOOLKIT}"

    def scenes(self) -> list[SceneRecord]:
        """The scans that the split tables name and that are there, sorted by scene key."""
        files = {t.scene_key: layout.scan_file(self.root, t.capture, t.scan) for t in self.tracks()}
        return [
            SceneRecord(
                scene_key=key,
                dataset=self.dataset,
                scan_file=self.relative(path),
                scan_sha256=file_sha256(path),
                sdf_file=None,
                sdf_info_file=None,
                sdf_sha256=None,
                sdf_info_sha256=None,
            )
            for key, path in sorted(files.items())
            if path.is_file() or not self.rules.allow_absent
        ]

    def list_bodies(self) -> Listing:
        """Apply ``multi_person``, ``no_scene``, ``uncalibrated_camera``, ``unlisted_camera``, ``warmup``, ``interval``,
        ``no_body`` and ``no_image``, in this order, each image counted under the first that drops it.

        Raises:
            RawDataError: if a calibration or table is not what it must be, or a split has no images of the kind
                ``rules.images`` asks for.
        """
        tracks, sieve = self.tracks(), Sieve(self.root)
        splits = {track.split for track in tracks}
        if not self.rules.allow_absent:
            raise_problems(self.dataset, layout.check_images(self.root, splits, self.rules.images))
        absent = sorted(splits - set(self.rules.interval))
        if absent:
            raise RawDataError(f"frames.{self.dataset}.interval of params.yaml has no value for the splits {absent}")
        captures = sorted({track.capture for track in tracks})
        cameras = {capture: self._cameras(capture, tracks, sieve) for capture in captures}
        tasks: list[BodyTask] = []
        dropped: list[Tally] = []
        for (split, sequence), rows in _by_sequence(tracks).items():
            files = layout.list_sequence(self.root, split, sequence, self.rules.images, sieve)
            for track in rows:
                made, counts = list_track(track, files, self.rules, cameras[track.capture])
                tasks += made
                dropped += [Tally(split=split, rule=rule, count=n) for rule, n in counts.items()]
        raise_problems(self.dataset, sieve.problems)
        ignore_beside_tables(self.root, sieve)
        for split in sorted(splits):
            layout.ignore_strangers(self.root, split, {t.sequence for t in tracks if t.split == split}, sieve)
        return sorted_listing(tasks, dropped, absences(self.root, tracks, self.rules), sieve.ignored())

    def _cameras(self, capture: str, tracks: list[Track], sieve: Sieve) -> Cameras:
        """Cameras of a capture: those the tables name are read, others only counted as calibrated."""
        ours = [track for track in tracks if track.capture == capture]
        found = layout.calibrated_cameras(self.root, capture, sieve)
        named = {camera for track in ours for camera in track.cameras}
        if self.rules.allow_absent:
            named &= found
        scans = {t.scan for t in ours if layout.scan_file(self.root, capture, t.scan).is_file()}
        return Cameras(
            calibrations=self._calibrations(capture, sorted(named), sieve),
            others=frozenset(found - named),
            scans=frozenset(scans),
        )

    def _calibrations(self, capture: str, cameras: list[int], sieve: Sieve) -> dict[int, Calibration]:
        """Those of a capture that can be read; the others are problems."""
        found = {}
        for camera in cameras:
            path = layout.calibration_file(self.root, capture, camera)
            try:
                found[camera] = read_rich_calibration(path)
                if camera == 0:
                    check_first_camera(path, found[camera])
            except RawDataError as error:
                sieve.problems.append(str(error))
        return found

    def measure(self, task: BodyTask) -> Measured:
        """Records of one body's views; ``behind_camera`` and ``visibility`` drop, ``contact_unknown`` is noted."""
        return measure_body(
            task,
            self.body_world(task.known_body, task.gender, task.views[0].calibration.camera_from_world),
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

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """Contact label per SMPL vertex; None where the raw data know none."""
        return None if record.contact_file is None else read_contact(inside(self.root, record.contact_file))


def _by_sequence(tracks: list[Track]) -> dict[tuple[str, str], list[Track]]:
    """Rows of one sequence together, in table order."""
    found: dict[tuple[str, str], list[Track]] = {}
    for track in tracks:
        found.setdefault((track.split, track.sequence), []).append(track)
    return found
