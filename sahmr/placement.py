"""Whether cameras, people and contact labels are where their scan is.

Each sample gives a row of facts, which costs next to nothing beside decoding it; sequences and scenes are judged by
their rows, so that a scan that is somewhere else is one finding and not one per sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.scenes.store import Scene, load_scene
from sahmr.settings import Between, Ends, Extent, Share, settings
from sahmr.shards.decode import StoredSample
from sahmr.units import as_if
from schemas.frame import FrameRecord
from schemas.scene import SceneRecord

_MOST = 0.5  # of the samples of a scene or sequence: more make a finding about it
_FEW_LABELS = 10  # vertices; fewer say nothing in the median
# Columns of the facts, metres or shares; NaN: unknown.
_CAMERA, _CAMERA_OFF, _EMPTY, _CONTACT, _OTHERS, _BODY_OFF, _BEHIND, _SIZE, _STEP = range(9)


@settings
class PlacementLimits:
    """Where cameras and people may be. A scene or sequence is told about if most of its samples are beyond a limit.

    Attributes:
        camera_m: from a camera to the scan's box; scene points farther than 12.5 m are never looked at (method 3).
        empty_share: of a sequence's samples may see no scene point.
        contact_m: from vertices labelled as contact to the surface, in the median of a body's labels; the distance
            field's grid step is added. RICH labels what is within a few centimetres.
        contact_ratio: that distance, as a share of the unlabelled vertices'. Labels of other vertices come out at 1.
        body_m: from a body's nearest vertex to the surface: a jump is less high.
        behind_share: of a body's vertices may lie behind the surface; soft seats take in a third of a sitting person.
        body_size_m: (smallest, largest) extent of a body.
    """

    camera_m: Extent = 12.5
    empty_share: Share = 0.5
    contact_m: Extent = 0.15
    contact_ratio: Annotated[float, Between(0, 100)] = 0.75
    body_m: Extent = 1.0
    behind_share: Share = 0.5
    body_size_m: Ends = (0.5, 2.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Facts of samples of one sequence."""

    keys: tuple[str, ...]
    facts: Float[ndarray, "samples facts"]


Places = Mapping[tuple[str, str], Placed]  # by scene key and sequence


def add_places(places: Iterable[Places]) -> dict[tuple[str, str], Placed]:
    """The samples of all, by scene and sequence."""
    found: dict[tuple[str, str], list[Placed]] = {}
    for one in places:
        for group, placed in one.items():
            found.setdefault(group, []).append(placed)
    return {
        group: Placed(
            keys=tuple(key for placed in parts for key in placed.keys),
            facts=np.concatenate([placed.facts for placed in parts]),
        )
        for group, parts in found.items()
    }


@lru_cache(maxsize=32)
def _box(store: Path, scene_key: str) -> tuple[Float[ndarray, "3"], Float[ndarray, "3"], float]:
    """The box round a scene's points, and its field's grid step, metres."""
    scene = load_scene(store, scene_key)
    spacing = (scene.sdf_max - scene.sdf_min).numpy() / (np.array(scene.sdf.shape) - 1)
    return scene.points.amin(dim=0).numpy(), scene.points.amax(dim=0).numpy(), float(spacing.max())


def _outside(
    low: Float[ndarray, "3"], high: Float[ndarray, "3"], box_low: Float[ndarray, "3"], box_high: Float[ndarray, "3"]
) -> float:
    """Distance between two boxes, 0 where they meet."""
    gap = np.maximum(0.0, np.maximum(low - box_high, box_low - high))
    return float(np.sqrt((gap * gap).sum()))


def place(
    stored: StoredSample,
    store: Path,
    camera: Float[ndarray, "3"],
    distance: Float[ndarray, " points"],
    num_visible: int,
) -> Placed:
    """One sample's facts.

    Args:
        stored: the sample.
        store: the scene store.
        camera: its centre, world frame, metres.
        distance: scene distance of its vertices, if it has any, and of the camera.
        num_visible: scene points in its frustum.
    """
    low, high, step = _box(store, stored.scene_key)
    row = np.full((1, _STEP + 1), np.nan, dtype=np.float32)
    row[0, [_CAMERA, _CAMERA_OFF, _EMPTY, _STEP]] = (
        distance[-1],
        _outside(camera, camera, low, high),
        not num_visible,
        step,
    )
    if stored.vertices_world is not None:
        scene = load_scene(store, stored.scene_key)
        row[0, [_CONTACT, _OTHERS, _BODY_OFF, _BEHIND, _SIZE]] = _body_facts(stored, scene, distance[:-1])
    return Placed(keys=(stored.key,), facts=row)


def _body_facts(stored: StoredSample, scene: Scene, distance: Float[ndarray, "6890"]) -> list[float]:
    """Contact, others, off, behind and size. Beyond the field's box its border's distance and that to the box count."""
    assert stored.vertices_world is not None, "asked by the caller"
    columns = np.ascontiguousarray(stored.vertices_world.T)
    low, high = columns.min(axis=1), columns.max(axis=1)
    beyond = _outside(low, high, scene.sdf_min.numpy(), scene.sdf_max.numpy())
    off, labels = np.abs(distance), stored.contact
    contact = others = np.nan
    if labels is not None and _FEW_LABELS <= labels.sum() <= len(labels) - _FEW_LABELS:
        contact, others = float(np.median(off[labels])) + beyond, float(np.median(off[~labels])) + beyond
    return [contact, others, float(off.min()) + beyond, float((distance < 0).mean()), float((high - low).max())]


Facts = Float[ndarray, "samples facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One thing that must hold.

    Attributes:
        is_bad: which samples it does not hold for; NaN compares as False, so unknown facts are never bad.
        says: of the bad ones, and of how many there are, what was found.
        allowed: share of a sequence's samples that may be bad.
    """

    is_bad: Callable[[Facts, PlacementLimits], ndarray]
    says: Callable[[Facts, PlacementLimits], str]
    allowed: Callable[[PlacementLimits], float]


def _median(facts: Facts, column: int) -> float:
    return float(np.median(facts[:, column]))


def _contact_is_bad(facts: Facts, limits: PlacementLimits) -> ndarray:
    allowed = limits.contact_m + facts[:, _STEP]
    is_far = facts[:, _CONTACT] > allowed
    is_no_nearer = facts[:, _CONTACT] > limits.contact_ratio * facts[:, _OTHERS]
    is_off = facts[:, _CONTACT] > limits.contact_m / 2  # nearer, labelled and other vertices may both touch
    bad: ndarray = is_far | (is_no_nearer & is_off)
    return bad


_RULES = (
    _Rule(
        is_bad=lambda facts, _: ~(facts[:, _CAMERA] > 0),
        says=lambda facts, _: (
            f"the camera stands {-_median(facts, _CAMERA):.2f} m behind its surface (camera pose and scan do not "
            "belong together, or the scan's faces are inside out)"
        ),
        allowed=lambda _: 0.0,
    ),
    _Rule(
        is_bad=lambda facts, limits: facts[:, _CAMERA_OFF] > limits.camera_m,
        says=lambda facts, limits: (
            f"the camera is {_median(facts, _CAMERA_OFF):.4g} m away from the scan's box"
            f"{as_if(_median(facts, _CAMERA_OFF), 1, 20)} (allowed {limits.camera_m:g} m)"
        ),
        allowed=lambda _: 0.0,
    ),
    _Rule(
        is_bad=lambda facts, _: facts[:, _EMPTY] > 0,
        says=lambda _, limits: f"no scene point is in the person's view (allowed for {limits.empty_share:.0%})",
        allowed=lambda limits: limits.empty_share,
    ),
    _Rule(
        is_bad=_contact_is_bad,
        says=lambda facts, limits: (
            f"vertices labelled as contact are {_median(facts, _CONTACT):.2g} m from the surface, all others "
            f"{_median(facts, _OTHERS):.2g} m (allowed {limits.contact_m:g} m and a grid step, and "
            f"{limits.contact_ratio:g} of the others')"
        ),
        allowed=lambda _: _MOST,
    ),
    _Rule(
        is_bad=lambda facts, limits: facts[:, _BODY_OFF] > limits.body_m,
        says=lambda facts, limits: (
            f"the body's nearest vertex is {_median(facts, _BODY_OFF):.3g} m from the surface (allowed "
            f"{limits.body_m:g} m)"
        ),
        allowed=lambda _: _MOST,
    ),
    _Rule(
        is_bad=lambda facts, limits: facts[:, _BEHIND] > limits.behind_share,
        says=lambda facts, limits: (
            f"{_median(facts, _BEHIND):.0%} of the body's vertices lie behind the surface (allowed "
            f"{limits.behind_share:.0%})"
        ),
        allowed=lambda _: _MOST,
    ),
    _Rule(
        is_bad=lambda facts, limits: (
            (facts[:, _SIZE] < limits.body_size_m[0]) | (facts[:, _SIZE] > limits.body_size_m[1])
        ),
        says=lambda facts, limits: (
            f"the body is {_median(facts, _SIZE):.3g} m large{as_if(_median(facts, _SIZE), 0.9, 2.2)} (allowed "
            f"{limits.body_size_m[0]:g} to {limits.body_size_m[1]:g} m)"
        ),
        allowed=lambda _: _MOST,
    ),
)


def placement_problems(
    places: Places,
    limits: PlacementLimits,
    *,
    records: Mapping[str, FrameRecord],
    scenes: Mapping[str, SceneRecord],
) -> list[str]:
    """One line per scene where most samples contradict the scan, else one per sequence that does.

    Args:
        places: facts of all samples.
        limits: section ``verify.placement``.
        records: rows of the frame table by key, to name sources.
        scenes: rows of the scene table by scene key.
    """
    problems = []
    for scene_key in sorted({scene for scene, _ in places}):
        groups = {sequence: placed for (scene, sequence), placed in sorted(places.items()) if scene == scene_key}
        (whole,) = add_places({(scene_key, ""): placed} for placed in groups.values()).values()
        scan = scenes.get(scene_key)
        if told := _judge(whole, limits, at_least=_MOST):
            problems.append(_line(f"scene {scene_key}", told, scan, records.get(told[0][1])))
            continue
        for sequence, placed in groups.items():
            if told := _judge(placed, limits):
                problems.append(_line(f"sequence {sequence}", told, scan, records.get(told[0][1])))
    return problems


def _judge(placed: Placed, limits: PlacementLimits, *, at_least: float = 0.0) -> list[tuple[str, str]]:
    """What does not hold, and the first sample it does not hold for."""
    told = []
    for rule in _RULES:
        is_bad = rule.is_bad(placed.facts, limits)
        if is_bad.mean() > max(rule.allowed(limits), at_least):
            what = f"{rule.says(placed.facts[is_bad], limits)}, {is_bad.sum()} of {len(is_bad)} samples"
            told.append((what, placed.keys[int(is_bad.argmax())]))
    return told


def _line(what: str, told: list[tuple[str, str]], scene: SceneRecord | None, record: FrameRecord | None) -> str:
    """One finding with both its sources."""
    scan = "the scan" if scene is None else f"scan {scene.scan_file}"
    if scene is not None and scene.sdf_file is not None:
        scan += f" and field {scene.sdf_file}"
    frames = f"sample {told[0][1]}"
    if record is not None:
        files = [name for name in (record.image_file, record.body_file, record.contact_file) if name is not None]
        frames += f" (camera {record.camera} of {record.sequence}, {', '.join(files)})"
    return (
        f"{what}: {scan} contradicts cameras, bodies or labels, as of {frames}: {'; '.join(said for said, _ in told)}; "
        "compare unit, origin and owner of these files with each other (limits: verify.placement)"
    )


def shared_poses(records: Iterable[FrameRecord]) -> list[str]:
    """Cameras of one scene that have the same pose: one of their calibrations is a copy of another's."""
    found: dict[tuple[str, tuple[float, ...]], dict[int, str]] = {}
    for record in records:
        found.setdefault((record.scene_key, record.camera_from_world), {}).setdefault(record.camera, record.image_file)
    return [
        f"scene {scene}: cameras {sorted(cameras)} have the same pose, as of {', '.join(cameras.values())}; one "
        "calibration file is a copy of another's: fetch both again"
        for (scene, _), cameras in sorted(found.items())
        if len(cameras) > 1
    ]
