"""Look into finished shards and say everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from sahmr.datasets import find_card
from sahmr.errors import ShardError
from sahmr.geometry.distance_field import sample_distance
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid, project
from sahmr.placement import PlacementLimits, Places, add_places, place, placement_problems, shared_poses
from sahmr.scenes.agreement import FieldLimits, compare_stored
from sahmr.scenes.arrays import is_cloud, left_out_scenes, list_scenes
from sahmr.scenes.store import load_scene
from sahmr.scenes.visible import load_blocks, visible_points
from sahmr.settings import Between, Paths, settings
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import TEXT_FIELDS, StoredSample
from sahmr.shards.left_out import read_left_out
from sahmr.shards.reader import ShardReader, read_index
from schemas.agreement import verify_index
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.scene import SCENE_SCHEMA, SceneRecord
from schemas.shard import ShardEntry

_END_OF_TAR = 1024  # two empty blocks close an archive


@settings
class Verify:
    """Section ``verify`` of params.yaml.

    Attributes:
        box_tolerance: how far the box of the projected vertices may be from the person box, as a share of that box's
            larger side.
        agreement: how far a stored distance field may differ from the scene's own voxels.
        placement: where cameras and people may be.
    """

    box_tolerance: Annotated[float, Between(0.0001, 0.5)]
    agreement: FieldLimits = field(default_factory=FieldLimits)
    placement: PlacementLimits = field(default_factory=PlacementLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one shard's samples showed.

    Attributes:
        problems: of the shards, one line each; empty if all is well.
        contradictions: between sources, which no rebuilding mends.
        samples: how many were read without a problem.
        without_body: of these, how many have no ground truth; of them, only picture, camera and scene are checked.
        with_contact: of these, how many have contact labels.
        empty_frustum: of these, how many see no scene point between the near and far plane.
        vertices_behind: their vertices with a negative scene distance.
        places: where they are, of scenes whose field is sound.
    """

    problems: tuple[str, ...]
    contradictions: tuple[str, ...] = ()
    samples: int = 0
    without_body: int = 0
    with_contact: int = 0
    empty_frustum: int = 0
    vertices_behind: int = 0
    places: Places = field(default_factory=dict)


def add_findings(findings: Iterable[Findings]) -> Findings:
    """All problems, in order, each once, the sum of every count, and all places."""
    findings = list(findings)
    counts = [one.name for one in fields(Findings) if one.name not in ("problems", "contradictions", "places")]
    return Findings(
        problems=tuple(dict.fromkeys(line for one in findings for line in one.problems)),
        contradictions=tuple(dict.fromkeys(line for one in findings for line in one.contradictions)),
        places=add_places(one.places for one in findings),
        **{name: sum(getattr(one, name) for one in findings) for name in counts},
    )


def verify_dataset(
    dataset: str, settings: Verify, paths: Paths, each: Callable[..., Iterable[Findings]]
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Read every sample of a dataset and compare it with index, frame table and scenes.

    Args:
        dataset: name of its card.
        settings, paths: sections of params.yaml.
        each: ``map``, or one that works in several processes; in order.

    Returns:
        What was counted; problems of the shards, which a rebuild mends; findings where raw files contradict each
        other, which none does. If the index itself has problems, no sample is read.

    Raises:
        SchemaError, ShardError, StoreError: if a table, index or store is missing or damaged.
    """
    folder, scenes = paths.shards / dataset, paths.scenes / f"{dataset}.zarr"
    records = from_table(read_table(paths.frames / f"{dataset}.parquet", FRAME_SCHEMA), FrameRecord)
    entries, left_out, without = read_index(folder), read_left_out(folder), set(left_out_scenes(scenes))
    used = {entry.scene_key for entry in entries}
    problems = verify_index(entries, records, left_out)
    problems += [f"{scenes}: lacks the scene {key}" for key in sorted(used - set(list_scenes(scenes)) - without)]
    if problems:
        return {}, problems, []
    useful = sorted((e for e in entries if e.scene_key not in without), key=lambda e: (e.shard, e.offset))
    shards = [tuple(rows) for _, rows in groupby(useful, key=lambda entry: entry.shard)]
    by_key = {record.key: record for record in records}
    check = partial(verify_shard, folder=folder, scenes=scenes, records=by_key, settings=settings)
    found = add_findings(each(check, shards))
    scans = read_table(paths.frames / f"{dataset}_scenes.parquet", SCENE_SCHEMA)
    by_scene = {scan.scene_key: scan for scan in from_table(scans, SceneRecord)}
    placed = placement_problems(found.places, settings.placement, records=by_key, scenes=by_scene)
    shared = [] if find_card(dataset).is_own else shared_poses(records)  # on a tripod every photograph has one pose
    contradictions = [*found.contradictions, *placed, *shared]
    missed = {"damaged": len(left_out), "without_scene": len(entries) - len(useful)}
    more = {"dataset": dataset, "left_out": missed, "scenes": sorted(used), "shards": len(shards)}
    return _report(found, contradictions) | more, list(found.problems), contradictions


def _report(found: Findings, contradictions: list[str]) -> dict[str, Any]:
    return {
        "contact_labels": found.with_contact,
        "contradictions": contradictions,
        "empty_frustum": found.empty_frustum,
        "problems": found.problems,
        "samples": found.samples,
        "vertices_behind_surface": found.vertices_behind / max(1, 6890 * (found.samples - found.without_body)),
        "without_body": found.without_body,
    }


def verify_shard(
    entries: tuple[ShardEntry, ...],
    *,
    folder: Path,
    scenes: Path,
    records: Mapping[str, FrameRecord],
    settings: Verify,
) -> Findings:
    """Read every sample of one shard and compare it with index, frame table and scene.

    Args:
        entries: the shard's rows of the index.
        folder: the shard folder.
        scenes: the scene store.
        records: rows of the frame table by key.
        settings: section ``verify``.
    """
    reader = ShardReader(folder)
    findings = [Findings(problems=tuple(_layout_problems(folder / entries[0].shard, entries)))]
    for entry in entries:
        try:
            stored = reader.decode(entry, verify=True)
        except ShardError as problem:
            findings.append(Findings(problems=(str(problem),)))
            continue
        where = f"{folder / entry.shard}: sample {entry.key}"
        problems = _record_problems(stored, entry, records.get(entry.key), where)
        findings.append(_verify_sample(stored, problems, where, scenes, settings))
    return add_findings(findings)


def _layout_problems(path: Path, entries: tuple[ShardEntry, ...]) -> list[str]:
    """Whether the samples fill the tar without gaps and a tar's end follows."""
    if not path.is_file():
        return [f"{path}: no such shard; rebuild with: dvc repro shards"]
    end, problems = 0, []
    for entry in sorted(entries, key=lambda row: row.offset):
        if entry.offset != end:
            problems.append(f"{path}: sample {entry.key} begins at byte {entry.offset}, the one before ends at {end}")
        end = entry.offset + entry.length
    with path.open("rb") as stream:
        stream.seek(end)
        tail = stream.read()
    if len(tail) < _END_OF_TAR or tail.strip(b"\0"):
        problems.append(f"{path}: cut short or longer than its index ({len(tail)} bytes after byte {end})")
    return problems


def _record_problems(stored: StoredSample, entry: ShardEntry, record: FrameRecord | None, place: str) -> list[str]:
    """Whether a sample is what index and frame table say."""
    has_body = stored.vertices_world is not None
    problems = [] if entry.has_body == has_body else [f"{place}: has a body: {has_body}, the index differs"]
    if record is None:
        return problems
    for name in TEXT_FIELDS:
        if getattr(stored, name) != getattr(record, name):
            problems.append(f"{place}: {name} is {getattr(stored, name)}, the frame table has {getattr(record, name)}")
    for what, file, is_there in (
        ("contact labels", record.contact_file, stored.contact is not None),
        ("a body", record.body_file, has_body),
    ):
        if (file is not None) != is_there:
            problems.append(f"{place}: has {what}: {is_there}, the frame table differs")
    return problems


@lru_cache(maxsize=32)
def _field_problem(scenes: Path, scene_key: str, limits: FieldLimits) -> str | None:
    """Whether a stored field and the voxels beside it are of one surface; asked once per process."""
    scene = load_scene(scenes, scene_key)
    found = compare_stored(scene, limits)
    return found and (
        f"{scenes}: {scene_key}/sdf ({scene.attributes.get('sdf_source', 'of unknown source')}) contradicts "
        f"{scene_key}/points, the scan's voxels: {found}; correct or remove the raw field and run: dvc repro scenes"
    )


def _verify_sample(stored: StoredSample, problems: list[str], where: str, scenes: Path, settings: Verify) -> Findings:
    """Compare a sample with its scene, and its body, if it has one, with its box.

    Args:
        problems: found so far.
    """
    vertices = np.zeros((0, 3)) if stored.vertices_world is None else stored.vertices_world
    if not np.isfinite(vertices).all():
        return Findings(problems=(*problems, f"{where}: vertices are not finite"))
    if stored.vertices_world is not None:
        problems += _body_problems(stored, stored.vertices_world, where, settings.box_tolerance)
    has_field = not is_cloud(scenes, stored.scene_key)
    if has_field and (field_problem := _field_problem(scenes, stored.scene_key, settings.agreement)):
        return Findings(problems=tuple(problems), contradictions=(field_problem,))
    box = torch.from_numpy(crop_box(stored.person_box)).float()
    intrinsics, transform = (torch.from_numpy(m).float() for m in (stored.intrinsics, stored.camera_from_world))
    visible = visible_points(load_blocks(scenes, stored.scene_key), intrinsics, transform, box)
    found = Findings(
        problems=tuple(problems),
        samples=int(not problems),
        without_body=int(stored.vertices_world is None),
        with_contact=int(stored.contact is not None),
        empty_frustum=int(len(visible) == 0),
    )
    return replace(found, **_in_the_field(stored, vertices, scenes, len(visible))) if has_field else found


def _in_the_field(
    stored: StoredSample, vertices: Float[ndarray, "vertices 3"], scenes: Path, visible: int
) -> dict[str, Any]:
    """What the scene's distance field adds to the findings of a sample."""
    scene = load_scene(scenes, stored.scene_key)
    camera = invert_rigid(stored.camera_from_world)[:3, 3]
    points = np.concatenate([vertices, camera[None]])
    distance = sample_distance(scene.sdf, scene.sdf_min, scene.sdf_max, torch.from_numpy(points).float())
    return {
        "vertices_behind": int((distance[:-1] < 0).sum()),
        "places": {(stored.scene_key, stored.sequence): place(stored, scenes, camera, distance.numpy(), visible)},
    }


def _body_problems(
    stored: StoredSample, vertices_world: Float[ndarray, "6890 3"], place: str, tolerance: float
) -> list[str]:
    """Whether the vertices lie in front of the camera and, where they gave the person box, project onto it."""
    points = apply_rigid(stored.camera_from_world, vertices_world)
    if points[:, 2].min() <= 0:
        return [f"{place}: the body reaches behind the camera"]
    pixels = project(points, stored.intrinsics)
    box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    allowed = tolerance * (stored.person_box[2:] - stored.person_box[:2]).max() + 1
    off = np.abs(box - stored.person_box).max()
    if off <= allowed or stored.box_source != "body":
        return []
    return [f"{place}: vertices project {off:.1f} px off the person box, allowed {allowed:.1f} px"]
