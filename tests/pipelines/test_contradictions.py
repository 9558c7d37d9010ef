"""Two sound files that contradict each other: which stage notices, which it names, what it says they look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sahmr.verify
from sahmr import placement
from sahmr.errors import SahmrError
from sahmr.scenes import store, visible
from tests.pipelines import damage as d
from tests.pipelines.damage import World
from tests.worlds import contradictions as c
from tests.worlds.contradictions import Change

SDF, INFO, PLY = "quantitative/sdf/vicon_sdf.npy", "quantitative/sdf/vicon.json", "quantitative/scenes/vicon.ply"
SOFA, SOFA_INFO = "qualitative/sdf/N0Sofa_sdf.npy", "qualitative/sdf/N0Sofa.json"
POSE, SOFA_POSE = "quantitative/cam2world/vicon.json", "qualitative/cam2world/N0Sofa.json"
GYM = "scan_calibration/Gym/scan_camcoord.ply"
XML = "scan_calibration/Gym/calibration/001.xml"
LABELS = "human_scene_contact/*/Gym_*/*/*.pkl"
MESHES, FITS = "quantitative/fittings/mosh/*/meshes/*/000.ply", "qualitative/PROXD/*/results/*/000.pkl"
ROLLED = np.random.default_rng(0).permutation(6890)
OFFSET = np.array([512_345.0, 5_400_120.0, 0.0])


@dataclass(frozen=True)
class Case:
    """One contradiction.

    Attributes:
        name: of the test.
        files: below the dataset's root, patterns; a change each, or a file whose content is put there instead.
        stage: that notices.
        says: parts of the message, in order.
    """

    name: str
    dataset: str
    files: dict[str, Change | str]
    stage: str
    says: tuple[str, ...]


def prox(name: str, file: str, change: Change | str, stage: str, *says: str, **more: Change | str) -> Case:
    return Case(name, "prox", {file: change, **more}, stage, says)


def rich(name: str, file: str, change: Change | str, stage: str, *says: str) -> Case:
    return Case(name, "rich", {file: change}, stage, says)


def scaled(factor: float) -> Change:
    return c.vertices(lambda xyz: xyz * factor)


CASES = (
    prox("field in millimetres", SDF, c.field(lambda v: v * 1000), "scenes", "contradicts the scan", "vicon.ply",
         "as if in millimetres", "scenes.agreement"),
    prox("field in centimetres", SDF, c.field(lambda v: v * 100), "scenes", "distances are as if in centimetres"),
    prox("field in feet", SDF, c.field(lambda v: v / 0.3048), "scenes", "distances are as if in feet"),
    prox("field divided by 1000", SDF, c.field(lambda v: v / 1000), "scenes", "distances are as if in kilometres"),
    prox("extent in millimetres", INFO, c.extent(lambda v: v * 1000), "scenes", "min and max are as if in millimetres"),
    prox("field as z y x", SDF, c.field(lambda v: v.transpose(2, 1, 0)), "scenes", "it fits as [z][y][x]"),
    prox("field as y z x", SDF, c.field(lambda v: v.transpose(1, 2, 0)), "scenes", "it fits as [y][z][x]"),
    prox("field upside down", SDF, c.field(lambda v: v[:, :, ::-1]), "scenes", "its z axis runs backwards"),
    prox("field inside out", SDF, c.field(lambda v: -v), "scenes", "its sign is inverted"),
    prox("field without sign", SDF, c.field(np.abs), "scenes", "it holds no negative distance"),
    prox("field elsewhere", INFO, c.extent(lambda v: v + np.array([1.0, 0, -0.5])), "scenes", "as if shifted by (0.9"),
    prox("fields exchanged", SDF, SOFA, "scenes", "exchanged with", "N0Sofa_sdf.npy, which fits",
         **{INFO: SOFA_INFO, SOFA: SDF, SOFA_INFO: INFO}),
    prox("dim of halves", INFO, d.edited_json(dim=32.5), "scenes", "dim is 32.5; it must be a whole number"),
    prox("field of another shape", SDF, d.always(d.npy(np.zeros((64, 32, 16)))), "scenes",
         "has the shape (64, 32, 16)"),
    prox("scan in millimetres", PLY, scaled(1000), "scenes", "m wide, as if in millimetres; allowed: 200 m"),
    prox("scan in centimetres", PLY, scaled(100), "scenes", "m wide, as if in centimetres"),
    prox("scan in feet", PLY, scaled(1 / 0.3048), "scenes", "the scan is as if in feet"),
    prox("scan in kilometres", PLY, scaled(0.001), "scenes", "as if in kilometres", "a scan is a surface, in metres"),
    prox("scan of a surveyor", PLY, c.vertices(lambda xyz: xyz + OFFSET), "scenes", "a surveyor's offset",
         "float32 numbers are 0.5 m apart", "subtract one offset, say (512350, 5400120, 0)", "cameras and bodies"),
    prox("scan that is a line", PLY, c.vertices(lambda xyz: xyz * [1, 0, 0]), "scenes", "sides are", "and 0 m"),
    prox("scan inside out", PLY, c.inside_out, "scenes", "or the scan's faces are inside out"),
    prox("pose in millimetres", POSE, c.matrix(lambda m: c.moved(m, 1000)), "verify", "scene vicon: scan quanti",
         "m away from the scan's box, as if in millimetres"),
    prox("pose in centimetres", POSE, c.matrix(lambda m: c.moved(m, 100)), "verify", "scene vicon: scan quantitative/",
         "m away from the scan's box, as if in centimetres", "no scene point"),
    prox("pose inverted", POSE, c.matrix(np.linalg.inv), "verify", "scene vicon: scan quantitative/scenes/vicon.ply"),
    prox("pose of another scene", SOFA_POSE, POSE, "verify", "scan qualitative/scenes/N0Sofa.ply", "000.pkl"),
    prox("meshes in millimetres", MESHES, scaled(1000), "frames", "m large, as if in millimetres; allowed: 0.3 to 3.2"),
    prox("meshes in centimetres", MESHES, scaled(100), "frames", "m large, as if in centimetres"),
    prox("meshes in feet", MESHES, scaled(1 / 0.3048), "frames", "m large, as if in feet"),
    prox("fits of another gender", FITS, c.fit(gender="neutral"), "frames", "model of gender 'neutral', the dataset's"),
    prox("fits in degrees", FITS, c.fit(body_pose=np.full((1, 63), 20.0)), "frames", "if it is in degrees, convert it"),
    prox("camera said twice", "quantitative/calibration/Color.json", d.edited_json(camera_mtx=np.eye(3).tolist()),
         "frames", "'camera_mtx' is [[1.0", "but 'f' and 'c' say"),
    prox("focal length in millimetres", "quantitative/calibration/Color.json",
         d.edited_json(f=[3.5, 3.5], camera_mtx=None), "frames", "has the focal length (3.5, 3.5); allowed: "),
    rich("scan in feet", GYM, scaled(1 / 0.3048), "verify", "scene Gym_scan_camcoord: scan scan_calibration/Gym"),
    rich("scan elsewhere", GYM, c.vertices(lambda xyz: xyz + np.array([0, 3.0, 0])), "verify",
         "scene Gym_scan_camcoord: scan"),
    rich("faces inside out", GYM, c.inside_out, "verify", "behind its surface", "faces are inside out"),
    rich("camera in millimetres", XML, d.xml("CameraMatrix", lambda m: m * [1, 1, 1, 1000]), "frames",
         "001.xml, CameraMatrix: the camera is", "m from the capture's first, as if in millimetres"),
    rich("camera copied", XML, XML.replace("001", "000"), "verify", "have the same pose", "copy of another's"),
    rich("labels of other vertices", LABELS, c.labels(lambda v: v[ROLLED]), "verify", "labelled as contact are"),
    rich("labels inverted", LABELS, c.labels(lambda v: 1 - v), "verify", "labelled as contact are"),
)  # fmt: skip


def fine(stage: str, dataset: str, accepted: int, interval: int | None) -> Any:
    """The world's settings, of scenes with a grid that shows where a wall is."""
    settings = _COARSE(stage, dataset, accepted, interval)
    return replace(settings, voxel_pitch_m=0.1, sdf_spacing_m=0.15) if stage == "scenes" else settings


_COARSE = d.settings_of


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, demo_root: Path) -> World:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("contradictions")
        patch.chdir(folder)
        patch.setattr(d, "settings_of", fine)
        return d.make_world(folder, demo_root)


@pytest.fixture
def world(converted: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(converted.folder)
    monkeypatch.setattr(d, "settings_of", fine)
    for kept in (store.load_points, store.load_scene, visible.load_blocks, placement._box, sahmr.verify._field_problem):
        kept.cache_clear()  # a stage is a process of its own
    with converted.mended():
        yield converted


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.dataset}: {case.name}") for case in CASES])
def test_contradiction_is_found(world: World, case: Case) -> None:
    root = world.raw(case.dataset)
    contents: dict[Path, bytes] = {}
    for pattern, change in case.files.items():
        found = sorted(root.glob(pattern))
        assert found, pattern
        for path in found:
            contents[path] = (root / change).read_bytes() if isinstance(change, str) else change(path.read_bytes())
    for path, content in contents.items():
        world.put(path, content)
    stages = ("frames", "scenes", "shards", "verify")
    for stage in stages[: stages.index(case.stage)]:
        world.run(stage, case.dataset)
    with pytest.raises(SahmrError) as told:
        world.run(case.stage, case.dataset)
    at = 0
    for part in case.says:
        assert part in str(told.value)[at:], f"{part!r} not in {str(told.value)[at:]}"
        at = str(told.value).index(part, at) + len(part)
