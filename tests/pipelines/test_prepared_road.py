"""The stages on the authors' prepared folders: crops reach the network bit for bit, scenes are the points as given."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from pipelines import frames, scenes, shards, verify
from pipelines.demo import prepared
from sahmr.batches.dataset import SampleDataset
from sahmr.errors import QuarantineError, RawDataError
from sahmr.readers.rich_listing import RichRules
from sahmr.scenes.build import create_store, write_scene
from sahmr.scenes.scan import ScanLimits
from sahmr.scenes.shipped import read_voxels
from sahmr.scenes.store import load_points, load_scene
from sahmr.shards.reader import read_index
from sahmr.untrusted.pickles import load_npy
from sahmr.verify import Verify
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from tests import imports
from tests.worlds import prepared as world
from tests.worlds.prepared import PITCH_M, SCENES, SHARDS, Roads
from tests.worlds.small import PARALLEL, paths_of

RULES = {"rich": RichRules(splits=("test",)), "prox": world.RULES["prox"]}


@pytest.fixture(scope="module")
def converted(roads: Roads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of all conversion stages, as for an evaluation: no training split."""
    folder = tmp_path_factory.mktemp("converted")
    shutil.copytree(roads.paths.bodies, folder / "bodies", copy_function=os.link)
    paths = paths_of(folder)
    for dataset, rules in RULES.items():
        raw = roads.folder / "prepared" / dataset.upper()
        frames.run(dataset, rules, paths, PARALLEL, raw=raw)
        scenes.run(dataset, SCENES, paths, PARALLEL, raw=raw)
        shards.run(dataset, SHARDS, paths, PARALLEL, raw=raw)
    return folder


def test_crops_reach_the_network_bit_for_bit(roads: Roads, converted: Path) -> None:
    paths, support = paths_of(converted), roads.folder / "prepared/RICH/sahmr_support"
    samples = SampleDataset(paths.shards / "rich", paths.scenes / "rich.zarr", "test")
    given = {row["img_key"]: row["test_squared_bbx_lurb"] for row in load_npy(support / "test_split/meta/test3116.npy")}
    assert sorted(given) == [entry.key for entry in samples.entries]
    for number in range(len(samples)):
        sample = samples[number]
        with Image.open(support / f"test_split/image/{sample.key}.png") as picture:
            np.testing.assert_array_equal(sample.image.numpy().transpose(1, 2, 0), np.asarray(picture))
        np.testing.assert_allclose(sample.crop_box.numpy(), given[sample.key], rtol=0, atol=1e-4)
        assert sample.has_contact and len(sample.scene_camera)


@pytest.mark.parametrize("dataset", ["rich", "prox"])
def test_verify_finds_nothing(converted: Path, dataset: str) -> None:
    paths = paths_of(converted)
    verify.run(dataset, Verify(box_tolerance=0.02), paths, PARALLEL)
    records = from_table(read_table(paths.frames / f"{dataset}.parquet", FRAME_SCHEMA), FrameRecord)
    assert {record.split for record in records} == {"test"}
    assert {entry.has_body for entry in read_index(paths.shards / dataset)} == {True}


@pytest.mark.parametrize("dataset", ["rich", "prox"])
def test_scene_points_are_within_half_a_voxel_of_the_raw_road(
    roads: Roads, converted: Path, tmp_path: Path, dataset: str
) -> None:
    store = paths_of(converted).scenes / f"{dataset}.zarr"
    create_store(tmp_path / "raw.zarr", dataset)
    keys = [path.parent.name for path in store.glob("*/zarr.json")]
    for record in roads.reader("raw", dataset).scenes():
        if record.scene_key not in keys:
            continue
        raw_root = roads.folder / "raw" / dataset.upper()
        write_scene(record, store=tmp_path / "raw.zarr", raw_root=raw_root, settings=SCENES)
        raw, ours = (load_points(place, record.scene_key).numpy() for place in (tmp_path / "raw.zarr", store))
        for one, other in ((raw, ours), (ours, raw)):
            distance, _ = cKDTree(one).query(other, p=np.inf)
            assert distance.max() <= PITCH_M / 2 + 1e-4
        scene = load_scene(store, record.scene_key)
        assert scene.attributes["voxel_pitch_m"] == PITCH_M and scene.attributes["is_on_grid"] is False
    assert keys == (["Gym_scan_camcoord"] if dataset == "rich" else ["vicon"])


def test_points_are_those_of_the_file(roads: Roads, converted: Path) -> None:
    path = roads.folder / "prepared/RICH/sahmr_support/scene_info/Gym/scan_camcoord_voxel_world.npy"
    given = load_npy(path)["points"].astype(np.float32)
    stored = load_points(paths_of(converted).scenes / "rich.zarr", "Gym_scan_camcoord").numpy()
    assert {tuple(point) for point in stored.tolist()} == {tuple(point) for point in given.tolist()}
    assert len(stored) == len(given)


ROOM = np.stack(np.meshgrid(*[np.arange(12) * 0.1] * 2, [0.0], indexing="ij"), -1).reshape(-1, 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"points": ROOM, "pitch": 0.02}, r"neighbouring points are 0\.1 m apart, 'pitch' says 0\.02 m"),
        ({"points": ROOM * 1000, "pitch": 100.0}, "points are in metres: convert them"),
        ({"points": ROOM, "pitch": -1}, "'pitch' is -1; allowed: 0.001 to 1 m"),
        ({"points": np.zeros((0, 3)), "pitch": 0.1}, r"'points' is \(0, 3\), or not finite"),
        ({"points": np.where(ROOM > 1, np.nan, ROOM), "pitch": 0.1}, "or not finite"),
        ({"points": ROOM, "pitch": []}, "'points' or 'pitch' are no numbers"),
        ({"points": ROOM}, r"found \['points'\]"),
        ([1, 2], "must be a pickled dict"),
    ],
)
def test_damaged_voxels_are_one_error(tmp_path: Path, content: object, says: str) -> None:
    held = np.empty((), dtype=object)
    held[()] = content
    np.save(tmp_path / "a_voxel_world.npy", held, allow_pickle=True)
    with pytest.raises(RawDataError, match=rf"a_voxel_world\.npy: .*{says}"):
        read_voxels(tmp_path / "a_voxel_world.npy", ScanLimits())


def test_a_turned_grid_is_taken_as_given(tmp_path: Path) -> None:
    turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    held = np.empty((), dtype=object)
    held[()] = {"points": ROOM @ turn, "pitch": (0.1, 0.1, 0.1)}
    np.save(tmp_path / "a.npy", held, allow_pickle=True)
    points, pitch_m = read_voxels(tmp_path / "a.npy", ScanLimits())
    assert pitch_m == 0.1
    given = sorted(map(tuple, (ROOM @ turn).astype(np.float32).tolist()))
    assert sorted(map(tuple, points.tolist())) == given


def test_a_field_of_another_scan_is_refused(roads: Roads, tmp_path: Path) -> None:
    other = world.copied(roads, tmp_path)
    info = other.folder / "prepared/RICH/sahmr_support/scene_info"
    for suffix in ("npy", "json"):
        stranger = next(info.glob(f"BBQ/*_mysdf.{suffix}"))
        world.put(info / f"Gym/scan_camcoord_mysdf.{suffix}", stranger.read_bytes())
    raw, paths = other.folder / "prepared/RICH", paths_of(other.folder)
    frames.run("rich", RULES["rich"], paths, PARALLEL, raw=raw)
    with pytest.raises(QuarantineError, match="contradicts the voxels"):
        scenes.run("rich", SCENES, paths, PARALLEL, raw=raw)


def test_the_command_needs_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(imports.ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        prepared.main(["--output", "out"])
    assert (
        "data/demo/RICH: not there; the prepared folders are made from it; run: dvc repro demo"
        in capsys.readouterr().err
    )
    assert not Path("out").exists()
