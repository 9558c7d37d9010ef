"""The authors' prepared PROX folder, ``quantitative/sahmr_support``: an index's frames and their boxes (formats d)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.files import file_sha256
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid
from sahmr.readers import prox_layout as layout
from sahmr.readers.base import BodyTask, Listing, Measured, Tally, sorted_listing
from sahmr.readers.bodies import smpl_vertices_of_mesh
from sahmr.readers.calibration import Calibration, read_json_transform, read_prox_intrinsics
from sahmr.readers.names import PROX_FRAME, PROX_IMAGE, PROX_RECORDING
from sahmr.readers.prepared import BoxedView, measure_boxed
from sahmr.readers.prepared_index import (
    SITE,
    Box,
    Entry,
    find_folder,
    last_parts,
    read_boxes,
    read_index,
    tell_missing,
    text_of,
)
from sahmr.readers.prox import ProxReader, ProxRules, frame_key, gender_of
from sahmr.readers.tree import PreparedTree
from sahmr.untrusted.regular import inside
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

Array = NDArray[np.float64]
_INDEX, _BOXES = "meta/mosh_mesh_test.pkl", "img2gtbbx/mosh_mesh.pkl"
_SCENE = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_ANY = re.compile(r"[^\0]+")
_PART, _OTHER = "quantitative", "qualitative"


def support_folder(root: Path) -> Path | None:
    """The prepared folder of a tree, told by its index; None: there is none, or the part is there as published."""
    if not root.is_dir() or (root / _PART / "recordings").is_dir():
        return None
    return find_folder([root, root / _PART], [_INDEX])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxPreparedReader(PreparedTree):
    """Reads what the authors prepared of PROX's quantitative part; the qualitative one, if asked for, as published.

    Attributes:
        root: folder holding ``quantitative`` with the prepared folder in it, or the prepared folder itself.
        bodies: output folder of the stage ``bodies``.
        rules: which parts and frames are listed.
    """

    index = _INDEX
    support_folder = staticmethod(support_folder)
    rules: ProxRules = field(default_factory=ProxRules)
    dataset: str = field(default="prox", init=False)

    def _published(self) -> ProxReader | None:
        """The reader of the other part."""
        if _OTHER not in self.rules.parts:
            return None
        return ProxReader(root=self.root, bodies=self.bodies, rules=replace(self.rules, parts=(_OTHER,)))

    def _entries(self) -> list[Entry]:
        """Rows of the index, if the part is asked for."""
        if _PART not in self.rules.parts:
            return []
        index, boxes = self.base / _INDEX, read_boxes(self.base / _BOXES)
        return [self._entry(f"{index}, row {number}", row, boxes) for number, row in enumerate(read_index(index))]

    def _entry(self, where: str, row: Mapping[str, Any], boxes: Mapping[str, Box]) -> Entry:
        name = text_of(where, row, "img_key", _ANY)[0]
        scene = text_of(where, row, "scene_name", _SCENE)[0]
        image = last_parts(where, row, "img_file", 3, "recordings")  # REC/Color/FRAME.jpg
        body = last_parts(where, row, "body_file", 4, "mosh")  # REC/meshes/FRAME/000.ply
        recording, file = image.split("/")[0], PROX_IMAGE.fullmatch(image.split("/")[-1])
        if file is None or not PROX_RECORDING.fullmatch(recording) or not PROX_FRAME.fullmatch(file[1]):
            raise RawDataError(f"{where}: 'img_file' ends in {image!r}; allowed: SCENE_SUBJECT_NN/Color/FRAME.jpg")
        if name not in boxes:
            raise RawDataError(f"{where}: {_BOXES} has no box of {name!r}; the two do not belong together: {SITE}")
        below = self.base.relative_to(self.root)
        return Entry(
            split=layout.SPLIT_OF[_PART],
            key=frame_key(recording, file[1]),
            sequence=recording,
            camera=0,
            frame=layout.frame_number(file[1]),
            subject=recording.split("_")[1],
            gender=gender_of(recording.split("_")[1]),
            capture="",
            scan=scene,
            image_file=(below / "image" / image).as_posix(),
            body_file=(below / "gt_mosh_mesh" / body).as_posix(),
            contact_file=None,
            box=boxes[name],
            is_crop=False,
            told=str(row.get("img_file"))[:200],
        )

    def _files_of(self, scene: str) -> dict[str, Path]:
        place = self.base / scene
        return {
            "color camera": place / "calibration" / "Color.json",
            "camera pose": place / "calibration" / f"cam2world_{scene}.json",
            "voxels": place / f"{scene}_voxel_world.npy",
            "sdf": place / f"{scene}_sdf.npy",
            "info": place / f"{scene}.json",
        }

    def check(self) -> list[str]:
        """Every missing or misplaced file, one line for each kind and part."""
        published = self._published()
        problems = published.check() if published is not None else []
        try:
            rows = self._entries()
        except RawDataError as problem:
            return [*problems, str(problem)]
        remedy = f"to work without them set frames.{self.dataset}.allow_absent of params.yaml to true"
        split = layout.SPLIT_OF[_PART]
        if not self.rules.allow_absent:
            for kind, what in (("image", "images"), ("body", "bodies")):
                files = [(row, getattr(row, f"{kind}_file")) for row in rows]
                problems += tell_missing(self.root, what, split, files, remedy)
        scenes = {row.scan: row for row in rows}
        needed = [(row, self.relative(file)) for row in scenes.values() for file in self._files_of(row.scan).values()]
        return problems + list(
            tell_missing(self.root, "calibrations, voxels and distance fields", split, needed, "they are needed")
        )

    def scenes(self) -> list[SceneRecord]:
        """The scans of all rows with their voxels and fields, and those of the other part, sorted."""
        published = self._published()
        records = {} if published is None else {record.scene_key: record for record in published.scenes()}
        for scene in sorted({row.scan for row in self._entries()}):
            files = self._files_of(scene)
            records[scene] = SceneRecord(
                scene_key=scene,
                dataset=self.dataset,
                scan_file=self.relative(files["voxels"]),
                scan_sha256=file_sha256(files["voxels"]),
                sdf_file=self.relative(files["sdf"]),
                sdf_info_file=self.relative(files["info"]),
                sdf_sha256=file_sha256(files["sdf"]),
                sdf_info_sha256=file_sha256(files["info"]),
            )
        return [records[scene] for scene in sorted(records)]

    def list_bodies(self) -> Listing:
        """One task per image; apply ``interval``, ``no_body`` and ``no_image``.

        Raises:
            RawDataError: if index, boxes or a calibration is not what it must be, or two frames share a key.
        """
        published = self._published()
        other = published.list_bodies() if published is not None else Listing(tasks=(), dropped=())
        rows, counts = self._entries(), Counter[str]()
        calibrations = {scene: self._calibration(scene) for scene in sorted({row.scan for row in rows})}
        tasks = []
        for row in rows:
            missing = (rule for rule, name in (("no_body", row.body_file), ("no_image", row.image_file))
                       if not (self.root / name).is_file())  # fmt: skip
            rule = "interval" if row.frame % self.rules.interval[_PART] else next(missing, "")
            if rule:
                counts[rule] += 1
            else:
                tasks.append(_task(row, calibrations[row.scan]))
        dropped = [Tally(split=layout.SPLIT_OF[_PART], rule=rule, count=n) for rule, n in counts.items()]
        listing = sorted_listing([*other.tasks, *tasks], [*other.dropped, *dropped], (), other.ignored)
        return replace(listing, absent=other.absent)

    def _calibration(self, scene: str) -> Calibration:
        files = self._files_of(scene)
        world_from_camera = read_json_transform(files["camera pose"])
        return Calibration(
            intrinsics=tuple(map(float, read_prox_intrinsics(files["color camera"]).ravel())),
            camera_from_world=tuple(map(float, invert_rigid(world_from_camera).ravel())),
        )

    def shared_files(self) -> list[Path]:
        """Those of the other part."""
        published = self._published()
        return [] if published is None else published.shared_files()

    def measure(self, task: BodyTask) -> Measured:
        """The record of one image with its shipped box; two rules drop, ``box_differs`` is noted."""
        published = self._published()
        if published is not None and task.split == layout.SPLIT_OF[_OTHER]:
            return published.measure(task)
        vertices = self.body_world(task.known_body, task.gender, task.views[0].calibration.camera_from_world)
        return measure_boxed(task, vertices, dataset=self.dataset, root=self.root)

    def body_world(self, body_file: str, gender: str, camera_from_world: tuple[float, ...]) -> Array:
        """The meshes lie in the color camera's frame."""
        vertices = smpl_vertices_of_mesh(inside(self.root, body_file), self.bodies)
        return apply_rigid(invert_rigid(np.array(camera_from_world).reshape(4, 4)), vertices)

    def load_body_world(self, record: FrameRecord) -> Array:
        """SMPL-topology vertices [6890, 3], float64, scan frame, metres."""
        if record.box_source == "publisher":
            return PreparedTree.load_body_world(self, record)
        return ProxReader(root=self.root, bodies=self.bodies, rules=self.rules).load_body_world(record)

    def load_contact(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        """None: PROX has no contact labels."""
        return None


def _task(row: Entry, calibration: Calibration) -> BodyTask:
    view = BoxedView(
        key=row.key,
        camera=row.camera,
        image_file=row.image_file,
        image_divisor=1,
        calibration=calibration,
        box=row.box,
        is_crop=False,
    )
    return BodyTask(
        split=row.split,
        sequence=row.sequence,
        frame=row.frame,
        subject=row.subject,
        gender=row.gender,
        scene_key=row.scene_key,
        body_file=row.body_file,
        contact_file=None,
        views=(view,),
    )
