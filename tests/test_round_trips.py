"""Frames of the demo as scenes of one's own are predicted as on the road of RICH; slow, after ``make repro``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import frames, predict, predict_photo, scenes, shards
from sahmr.batches.dataset import SampleDataset
from sahmr.geometry.rigid_numpy import apply_rigid
from sahmr.readers.own import OwnRules
from sahmr.readers.registry import open_reader
from sahmr.scenes.build import Scenes
from sahmr.settings import Paths, load_section
from sahmr.shards.encode import Shards
from sahmr.structures import Sample
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.prediction import PREDICTION_SCHEMA
from tests.imports import ROOT
from tests.worlds import exported
from tests.worlds.exported import FORMATS, Shot
from tests.worlds.finished import PARAMS, RICH, SCAN, demo_paths
from tests.worlds.small import PARALLEL, paths_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # make finished

# Three cameras; people stand, lie and touch the scan.
KEYS = ("Gym_011_cooking1_0_00180_11", "Gym_011_cooking1_3_00237_11", "Gym_012_pushup1_4_00266_12")
PHOTO = KEYS[2]
SAME = 1e-4  # metres and pixels
COLUMNS = ("root", "vertices", "contact_points", "vertices_world")


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """What a road made of one person-image; root, vertices and contact points in the camera."""

    sample: Sample
    row: dict[str, np.ndarray]


def roads_of(paths: Paths, dataset: str, keys: dict[str, str]) -> dict[str, Road]:
    """From shards, scenes and predictions, by the names that ``keys`` gives to their keys."""
    samples = SampleDataset(paths.shards / dataset, paths.scenes / f"{dataset}.zarr", "test")
    table = read_table(paths.predictions / dataset / "sahmr.parquet", PREDICTION_SCHEMA, ["key", *COLUMNS])
    place = {key: number for number, key in enumerate(table.column("key").to_pylist())}
    rows = {key: {name: np.array(table.column(name)[place[key]].as_py()) for name in COLUMNS} for key in keys}
    return {name: Road(sample=samples[key], row=rows[key]) for key, name in keys.items()}


@pytest.fixture(scope="module")
def demo() -> Paths:
    return demo_paths()


@pytest.fixture(scope="module")
def shots(demo: Paths) -> list[Shot]:
    """The frames: the first with its box, the others with their bodies."""
    table = read_table(demo.frames / "rich.parquet", FRAME_SCHEMA)
    records = {record.key: record for record in from_table(table, FrameRecord)}
    reader = open_reader("rich", RICH, bodies=demo.bodies)
    bodies = {key: reader.load_body_world(records[key]) for key in KEYS[1:]}
    return [exported.shot(RICH, records[key], bodies.get(key)) for key in KEYS]


@pytest.fixture(scope="module")
def expected(demo: Paths) -> dict[str, Road]:
    return roads_of(demo, "rich", {key: key for key in KEYS})


@pytest.fixture(scope="module")
def own(demo: Paths, shots: list[Shot], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Road]]:
    """All stages over one folder with a scene for each format."""
    root = tmp_path_factory.mktemp("own")
    raw, paths = root / "raw", replace(paths_of(root), bodies=demo.bodies, models=demo.models)
    for name in FORMATS:
        exported.write_scene(raw / name, SCAN, shots, name)
    frames.run("own", OwnRules(), paths, PARALLEL, raw=raw)
    coarse_field = replace(load_section("scenes", Scenes, PARAMS), sdf_spacing_m=0.5)  # no network looks at it
    scenes.run("own", coarse_field, paths, PARALLEL, raw=raw)
    shards.run("own", load_section("shards", Shards, PARAMS), paths, PARALLEL, raw=raw)
    predict.run("own", load_section("predict", predict.Predict, PARAMS), paths, PARALLEL)
    return {name: roads_of(paths, "own", {f"{name}_{key}": key for key in KEYS}) for name in FORMATS}


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, atol=SAME, rtol=0)


@pytest.mark.parametrize("cameras", FORMATS)
def test_a_folder(cameras: str, own: dict[str, dict[str, Road]], expected: dict[str, Road]) -> None:
    for key, theirs in expected.items():
        ours = own[cameras][key]
        assert len(theirs.sample.scene_camera) > 500 and theirs.sample.image.float().std() > 10
        same(ours.sample.crop_box.numpy(), theirs.sample.crop_box.numpy())
        same(ours.sample.scene_camera.numpy(), theirs.sample.scene_camera.numpy())
        assert torch.equal(ours.sample.image, theirs.sample.image)
        assert len(theirs.row["contact_points"]) > 0
        for name in COLUMNS:
            same(ours.row[name], theirs.row[name])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("cameras", FORMATS)
def test_a_photograph(
    cameras: str, demo: Paths, shots: list[Shot], expected: dict[str, Road], cache: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shot, theirs = shots[KEYS.index(PHOTO)], expected[PHOTO]
    scene = exported.write_scene(tmp_path / "room", SCAN, shots, cameras)
    files = {"explicit": "cameras.json", "nerfstudio": "transforms.json"}
    options = {
        "scene": scene / "scan.ply", "camera": scene / files.get(cameras, "sparse/0"),
        "image": scene / "images" / shot.name, "box": ",".join(map(repr, shot.box)),
        "checkpoint": demo.models / "sahmr.pt", "cache": cache,
        "output": tmp_path / "out", "camera-unit": "unknown" if cameras == "explicit" else "m",
    }  # fmt: skip
    monkeypatch.chdir(ROOT)
    predict_photo.main([word for name, value in options.items() for word in (f"--{name}", str(value))])
    found = dict(np.load(tmp_path / "out/person.npz", allow_pickle=False))
    same(found["crop_box"], theirs.sample.crop_box.numpy())
    same(found["vertices"].ravel(), theirs.row["vertices_world"])
    contacts = apply_rigid(shot.camera_from_world, found["contact_points"])
    same(contacts.ravel(), theirs.row["contact_points"].ravel())
