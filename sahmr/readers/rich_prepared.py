"""The authors' prepared RICH folder, ``sahmr_support``: ready-made test crops, indexes of all splits (formats b)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.files import file_sha256
from sahmr.readers.base import BodyTask, Listing, Measured, Tally, raise_problems, sorted_listing
from sahmr.readers.calibration import read_rich_calibration
from sahmr.readers.images import Region
from sahmr.readers.names import Sieve, entries
from sahmr.readers.prepared import BoxedView, check_crop, check_labels, measure_boxed, read_crop, read_packed_contact
from sahmr.readers.prepared_index import SITE, Entry, tell_missing
from sahmr.readers.rich_listing import check_names
from sahmr.readers.rich_prepared_layout import (
    CROPS,
    calibration_file,
    dropping_rule,
    list_entries,
    scene_files,
    support_folder,
)
from sahmr.readers.tree import PreparedTree, RichTree
from sahmr.shards.crop import READY
from sahmr.untrusted.regular import inside
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

_MEANT = {"image": "images", "body": "bodies", "contact": "contact labels"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RichPreparedReader(RichTree, PreparedTree):
    """Reads what the authors prepared of RICH. The test index is a selection already made; those of train and val list
    all frames, and the rules apply to them as to a raw tree.

    Attributes:
        root: folder holding the prepared one and, for train and val, ``images_ds4`` and ``bodies``.
        bodies: output folder of the stage ``bodies``.
        rules: which splits and frames are read.
    """

    index = "test_split/meta/test3116.npy"
    support_folder = staticmethod(support_folder)

    def entries_of(self, split: str) -> tuple[Entry, ...]:
        """Rows of a split's index; errors as :func:`sahmr.readers.rich_prepared_layout.list_entries`."""
        return list_entries(self.root, self.base, split)

    def check(self) -> list[str]:
        """Every missing or misplaced file, one line for each kind and split; crops and labels of another size."""
        problems: list[str] = []
        found: dict[str, tuple[Entry, ...]] = {}
        for split in self.rules.splits:
            try:
                found[split] = self.entries_of(split)
            except RawDataError as problem:
                problems += str(problem).splitlines()
                continue
            rows = [row for row in found[split] if not dropping_rule(row, self.rules)]
            if not self.rules.allow_absent:
                problems += self._missing(split, rows)
            problems += self._wrong("crops", check_crop, [row.image_file for row in rows if row.is_crop])
            problems += self._wrong("contact labels", check_labels, [row.contact_file for row in rows])
        if not problems and not any(found.values()):
            return [f"{self.base}: no index of the splits {', '.join(self.rules.splits)}; {SITE}"]
        return problems + check_names(self.rules, {row.sequence for rows in found.values() for row in rows})

    def _missing(self, split: str, rows: Sequence[Entry]) -> Iterator[str]:
        remedy = (
            f"to work without them set frames.{self.dataset}.allow_absent of params.yaml to true, or take {split} out "
            f"of frames.{self.dataset}.splits"
        )
        for kind, what in _MEANT.items():
            told = "crops" if kind == "image" and split == "test" else what
            files = [(row, getattr(row, f"{kind}_file")) for row in rows]
            yield from tell_missing(self.root, told, split, files, remedy)
        cameras = {(row.capture, row.camera): row for row in rows}
        files = [(row, self.relative(calibration_file(self.root, self.base, row))) for row in cameras.values()]
        yield from tell_missing(self.root, "calibrations", split, files, remedy)
        scenes = {row.scene_key: row for row in rows}
        needed = [(row, name) for row in scenes.values() for name in self._scene_needs(row)]
        meshes = "put RICH's scan_calibration, whose meshes serve as well, beside the prepared folder; " + remedy
        yield from tell_missing(self.root, "voxels and distance fields of scans", split, needed, meshes)

    def _scene_needs(self, row: Entry) -> list[str]:
        """Files of a scan: its voxels and field, or, where it has no field, the mesh, of which both are computed."""
        place = scene_files(self.root, self.base, row)
        lacking = [path for name, path in place.items() if name != "mesh" and not path.is_file()]
        if lacking and place["mesh"].is_file():
            return []
        return [self.relative(path) for name, path in place.items() if name != "mesh"]

    def _wrong(self, what: str, look: Callable[[Path], str | None], names: Iterable[str | None]) -> list[str]:
        """One line about the files of a kind that are there and not what they must be, if more than may be."""
        paths = [self.root / name for name in dict.fromkeys(names) if name is not None]
        there = [path for path in paths if path.is_file()]
        wrong = [problem for path in there if (problem := look(path))]
        if len(wrong) <= self.rules.max_quarantined:
            return []
        return [wrong[0] + (f"; and {len(wrong) - 1} more of {len(there)} {what}" if len(wrong) > 1 else "")]

    def scenes(self) -> list[SceneRecord]:
        """The scans of the rows that are used, sorted: voxels and field as prepared, else the scanned mesh, of which
        both are computed. Voxels alone do not do: no field can be computed of them.
        """
        rows = {row.scene_key: row for split in self.rules.splits for row in self.entries_of(split)
                if not dropping_rule(row, self.rules)}  # fmt: skip
        return [record for _, row in sorted(rows.items()) if (record := self._scene(row)) is not None]

    def _scene(self, row: Entry) -> SceneRecord | None:
        files = scene_files(self.root, self.base, row)
        has_field = all(files[name].is_file() for name in ("voxels", "sdf", "info"))
        if not has_field and not files["mesh"].is_file() and self.rules.allow_absent:
            return None
        scan = files["voxels" if has_field or not files["mesh"].is_file() else "mesh"]
        return SceneRecord(
            scene_key=row.scene_key,
            dataset=self.dataset,
            scan_file=self.relative(scan),
            scan_sha256=file_sha256(scan),
            sdf_file=self.relative(files["sdf"]) if has_field else None,
            sdf_info_file=self.relative(files["info"]) if has_field else None,
            sdf_sha256=file_sha256(files["sdf"]) if has_field else None,
            sdf_info_sha256=file_sha256(files["info"]) if has_field else None,
        )

    def list_bodies(self) -> Listing:
        """One task per body; apply the light rules, ``no_scene``, ``no_body`` and ``no_image``.

        Raises:
            RawDataError: if an index or a calibration is not what it must be, or two rows share a key.
        """
        sieve, dropped = Sieve(self.root), list[Tally]()
        groups: dict[tuple[str, str], list[Entry]] = {}
        known = {scene.scene_key for scene in self.scenes()}
        for split in self.rules.splits:
            counts: Counter[str] = Counter()
            rows = self.entries_of(split)
            for row in rows:
                rule = self._why_not(row, known)
                counts[rule] += 1
                if not rule:
                    groups.setdefault((split, row.body_file), []).append(row)
            dropped += [Tally(split=split, rule=rule, count=n) for rule, n in counts.items() if rule]
            if split == "test":
                place, named = self.base / CROPS, {Path(row.image_file).name for row in rows}
                sieve.ignore("test_split/image", place, [name for name, _ in entries(place) if name not in named])
        problems: list[str] = []
        tasks = [task for group in groups.values() for task in self._task(group, problems)]
        raise_problems(self.dataset, list(dict.fromkeys(problems)))
        return sorted_listing(tasks, dropped, (), sieve.ignored())

    def _why_not(self, row: Entry, known_scenes: set[str]) -> str:
        """The rule that drops a row; empty: it is kept, and its files are there."""
        if rule := dropping_rule(row, self.rules):
            return rule
        if row.scene_key not in known_scenes or not calibration_file(self.root, self.base, row).is_file():
            return "no_scene"
        missing = (rule for rule, name in (("no_body", row.body_file), ("no_image", row.image_file))
                   if not (self.root / name).is_file())  # fmt: skip
        return next(missing, "")

    def _task(self, rows: list[Entry], problems: list[str]) -> list[BodyTask]:
        views, first = [], rows[0]
        for row in rows:
            try:
                calibration = read_rich_calibration(calibration_file(self.root, self.base, row))
            except RawDataError as problem:
                problems.append(str(problem))
                return []
            divisor = 1 if row.is_crop else 4
            views.append(
                BoxedView(
                    key=row.key, camera=row.camera, image_file=row.image_file, image_divisor=divisor,
                    calibration=calibration, box=row.box, is_crop=row.is_crop,
                )
            )  # fmt: skip
        contact = first.contact_file
        return [
            BodyTask(
                split=first.split,
                sequence=first.sequence,
                frame=first.frame,
                subject=first.subject,
                gender=first.gender,
                scene_key=first.scene_key,
                body_file=first.body_file,
                contact_file=contact if contact is not None and (self.root / contact).is_file() else None,
                views=tuple(views),
            )
        ]

    def measure(self, task: BodyTask) -> Measured:
        """Records of one body's views; ``behind_camera`` and ``visibility`` drop, ``contact_unknown`` and
        ``box_differs`` are noted.
        """
        if task.contact_file is not None:
            read_packed_contact(self.root / task.contact_file)
        vertices = self.body_world(task.known_body, task.gender, task.views[0].calibration.camera_from_world)
        return measure_boxed(task, vertices, dataset=self.dataset, root=self.root)

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """Contact label per SMPL vertex; None where they are unknown."""
        return None if record.contact_file is None else read_packed_contact(inside(self.root, record.contact_file))

    def read_image(self, record: FrameRecord, region: Region, divisor: int) -> NDArray[np.uint8]:
        """RGB of a region of the full image, averaged over squares of ``divisor`` pixels; a ready-made crop whole."""
        if record.box_source == READY:
            return read_crop(inside(self.root, record.image_file))
        return RichTree.read_image(self, record, region, divisor)
