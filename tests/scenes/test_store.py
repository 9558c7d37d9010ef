import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import xarray

from sahmr.demo.places.captures import prox_rooms
from sahmr.demo.publishers.prox import world_from_room
from sahmr.errors import RawDataError, StoreError
from sahmr.geometry.distance_field import sample_distance
from sahmr.scenes import build
from sahmr.scenes.arrays import list_scenes
from sahmr.scenes.build import create_store, write_scene
from sahmr.scenes.signed_distance import signed_distance_grid
from sahmr.scenes.store import load_points, load_scene, voxel_pitch_m
from tests.worlds import small


def write(folder: Path, raw: Path, record=None) -> Path:
    store = folder / "rich.zarr"
    create_store(store, "rich")
    write_scene(record or small.scene_record(), store=store, raw_root=raw, settings=small.SCENES)
    return store


def test_what_is_written_is_read(small_world: Path) -> None:
    store = small_world / "scenes/rich.zarr"
    assert list_scenes(store) == ["Room_scan"]
    scene = load_scene(store, "Room_scan")
    assert scene is load_scene(store, "Room_scan")
    assert scene.points is load_points(store, "Room_scan")
    assert scene.points.dtype == torch.float32
    assert scene.attributes["frame"] == "world"
    assert scene.attributes["sdf_source"].startswith("computed")
    assert scene.attributes["sdf_sign"].startswith("negative inside or behind")
    assert "exact distance to the nearest triangle" in scene.attributes["sdf_method"]
    assert scene.attributes["sdf_exact_within_m"] == 0.2
    np.testing.assert_allclose(scene.attributes["sdf_spacing_m"], 0.1)
    assert list(scene.attributes) == sorted(scene.attributes)
    inside = torch.tensor([[0.0, 0.5, 0], [0, 1.35, 0], [0, 1.2, 0]])
    distance = sample_distance(scene.sdf, scene.sdf_min, scene.sdf_max, inside)
    torch.testing.assert_close(distance, torch.tensor([0.75, -0.1, 0.05]), atol=2e-3, rtol=0)


def test_same_scan_same_bytes(small_world: Path, tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, small_world / "raw") for name in ("a", "b"))
    assert small.hashes(first) == small.hashes(second) == small.hashes(small_world / "scenes/rich.zarr")


def test_shipped_distance_is_taken_as_it_is(tmp_path: Path) -> None:
    small.room().export(tmp_path / "room.ply")
    axes = [np.linspace(-end, end, 15) for end in (2.5, 2, 3)]
    walls = [half - np.abs(x) for half, x in zip((2, 1.25, 2), np.meshgrid(*axes, indexing="ij"), strict=True)]
    values = np.min(walls, axis=0)
    np.save(tmp_path / "sdf.npy", values.ravel())
    (tmp_path / "sdf.json").write_text(json.dumps({"min": [-2.5, -2, -3], "max": [2.5, 2, 3], "dim": 15}))
    record = replace(small.scene_record(), sdf_file="sdf.npy", sdf_info_file="sdf.json")
    scene = load_scene(write(tmp_path, tmp_path, record), "Room_scan")
    np.testing.assert_array_equal(scene.sdf.numpy(), values.astype(np.float32))
    assert scene.attributes["sdf_source"] == "shipped by the publisher"
    assert scene.sdf_max.tolist() == [2.5, 2, 3]
    assert scene.attributes["sdf_spacing_m"] == [5 / 14, 4 / 14, 6 / 14]
    assert "sdf_exact_within_m" not in scene.attributes


def test_shipped_grid_is_read_as_prox_lays_it_out(demo_root: Path) -> None:
    """Flat [x][y][z], ``min`` and ``max`` at the first and last sample: the room's own formula says what is where."""
    folder = demo_root / "PROX/quantitative/sdf"
    grid = build.read_shipped_distance(folder / "vicon_sdf.npy", folder / "vicon.json")
    assert len(set(np.round(grid.upper - grid.lower, 3))) > 1  # a permuted axis would show
    points = np.random.default_rng(0).uniform(grid.lower, grid.upper, (2000, 3))
    pose = world_from_room("vicon")
    exact = prox_rooms()["vicon"][0].distance((points - pose[:3, 3]) @ pose[:3, :3])
    sdf, lower, upper = (torch.from_numpy(array).float() for array in (grid.values, grid.lower, grid.upper))
    found = sample_distance(sdf, lower, upper, torch.from_numpy(points).float()).numpy()
    error = np.abs(found - exact)
    assert np.median(error) < 0.01
    assert error.max() < np.linalg.norm(grid.spacing_m)
    swapped = sample_distance(sdf.permute(2, 1, 0), lower, upper, torch.from_numpy(points).float()).numpy()
    assert np.median(np.abs(swapped - exact)) > 0.1


def test_own_grid_agrees_with_the_shipped_one(demo_root: Path) -> None:
    """Both fields of one scene, each looked up the same way, in front of the scan."""
    folder = demo_root / "PROX/quantitative"
    shipped = build.read_shipped_distance(folder / "sdf/vicon_sdf.npy", folder / "sdf/vicon.json")
    scan = build.read_scan(folder / "scenes/vicon.ply")
    own = signed_distance_grid(scan, spacing_m=0.1, margin_m=0.3)
    points = torch.from_numpy(np.random.default_rng(1).uniform(shipped.lower, shipped.upper, (2000, 3))).float()
    both = [
        sample_distance(*(torch.from_numpy(array).float() for array in (grid.values, grid.lower, grid.upper)), points)
        for grid in (shipped, own)
    ]
    in_front = both[0] > 0.05
    assert in_front.sum() > 500
    assert (both[0] - both[1])[in_front].abs().median() < 0.02


def test_flipped_faces_of_a_scan_are_told(tmp_path: Path) -> None:
    mesh = small.room()
    mesh.faces[0] = mesh.faces[0][::-1]
    mesh.export(tmp_path / "room.ply")
    create_store(tmp_path / "rich.zarr", "rich")
    receipt = write_scene(small.scene_record(), store=tmp_path / "rich.zarr", raw_root=tmp_path, settings=small.SCENES)
    assert receipt.num_flipped_edges == 3
    attributes = load_scene(tmp_path / "rich.zarr", "Room_scan").attributes
    assert (attributes["sdf_flipped_edges"], attributes["sdf_open_edges"], attributes["sdf_crowded_edges"]) == (3, 0, 0)


@pytest.mark.parametrize(
    ("dim", "values", "told"),
    [(5, np.zeros(124), r"124 numbers.*5\^3=125"), (2, np.full(8, np.nan), "NaN"), ("x", np.zeros(8), "readable")],
)
def test_bad_shipped_distance_is_refused(tmp_path: Path, dim: object, values: np.ndarray, told: str) -> None:
    np.save(tmp_path / "sdf.npy", values)
    (tmp_path / "sdf.json").write_text(json.dumps({"min": [0, 0, 0], "max": [1, 1, 1], "dim": dim}))
    with pytest.raises(RawDataError, match=told):
        build.read_shipped_distance(tmp_path / "sdf.npy", tmp_path / "sdf.json")


def broken_scan(path: Path, damage: str) -> None:
    if damage == "no faces":
        trimesh.PointCloud(np.random.default_rng(0).random((9, 3))).export(path)
    elif damage == "is empty":
        path.write_bytes(b"")
    elif damage == "NaN":
        mesh = small.room()
        content = mesh.export(file_type="ply", encoding="ascii")
        path.write_bytes(content.replace(b"2.00000000", b"nan", 1))
    elif damage == "cut short":
        small.room().export(path)
        path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("damage", ["no such file", "is empty", "no faces", "NaN", "cut short"])
def test_damaged_scan_is_refused(tmp_path: Path, damage: str) -> None:
    broken_scan(tmp_path / "room.ply", damage)
    with pytest.raises(RawDataError, match=rf"room\.ply: .*{damage}"):
        build.read_scan(tmp_path / "room.ply")


def test_lost_and_damaged_chunks_are_found(small_world: Path, tmp_path: Path) -> None:
    store = write(tmp_path / "a", small_world / "raw")
    chunk = next(path for path in (store / "Room_scan/points/c").rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match=r"points: damaged .*dvc repro scenes"):
        load_points(store, "Room_scan")
    chunk.unlink()
    with pytest.raises(StoreError, match="chunk is missing"):
        load_points(store, "Room_scan")


def test_the_store_knows_its_pitch(small_world: Path, tmp_path: Path) -> None:
    assert voxel_pitch_m(small_world / "scenes/rich.zarr") == small.SCENES.voxel_pitch_m
    store = write(tmp_path, small_world / "raw")
    other, settings = replace(small.scene_record(), scene_key="Other"), replace(small.SCENES, voxel_pitch_m=0.1)
    write_scene(other, store=store, raw_root=small_world / "raw", settings=settings)
    with pytest.raises(StoreError, match=r"pitches \[0\.05, 0\.1\] m.*dvc repro scenes"):
        voxel_pitch_m(store)
    create_store(store, "rich")
    with pytest.raises(StoreError, match=r"pitches \[\] m"):
        voxel_pitch_m(store)


def test_missing_store_scene_and_version_are_told(small_world: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="dvc repro scenes"):
        load_scene(tmp_path / "none.zarr", "Room_scan")
    with pytest.raises(StoreError, match=r"the store has \['Room_scan'\]"):
        load_scene(small_world / "scenes/rich.zarr", "Other")
    store = write(tmp_path, small_world / "raw")
    meta = json.loads((store / "zarr.json").read_text())
    meta["attributes"]["store_version"] = 0
    (store / "zarr.json").write_text(json.dumps(meta))
    with pytest.raises(StoreError, match=r"rich\.zarr: has version 0, allowed: 1\.0 to 1\.3; .*dvc repro scenes"):
        list_scenes(store)
    meta["attributes"]["store_version"] = "1.4"
    (store / "zarr.json").write_text(json.dumps(meta))
    with pytest.raises(StoreError, match=r"has version 1\.4, written by a newer .* update the software"):
        list_scenes(store)


def test_stores_of_version_1_are_read(small_world: Path, tmp_path: Path) -> None:
    """They lack the names of axes and the units, which nothing here needs."""
    store = write(tmp_path, small_world / "raw")
    for path in store.rglob("zarr.json"):
        meta = json.loads(path.read_text())
        if meta["node_type"] == "array":
            del meta["dimension_names"]
            meta["attributes"] = {}
        else:
            meta["attributes"]["store_version"] = 1
        path.write_text(json.dumps(meta))
    before, after = load_scene(store, "Room_scan"), load_scene(small_world / "scenes/rich.zarr", "Room_scan")
    assert torch.equal(before.points, after.points)
    assert torch.equal(before.sdf, after.sdf)


def test_xarray_opens_every_scene(small_world: Path) -> None:
    store = small_world / "scenes/rich.zarr"
    for key in list_scenes(store):
        scene = load_scene(store, key)
        with xarray.open_zarr(store, group=key, consolidated=False, chunks=None) as opened:
            assert opened.points.dims == ("point", "axis")
            assert opened.sdf.dims == ("x", "y", "z")
            np.testing.assert_array_equal(opened.points.values, scene.points)
            np.testing.assert_array_equal(opened.sdf.values, scene.sdf)
            assert {array.attrs["units"] for array in (opened.points, opened.sdf)} == {"m"}
            assert opened.attrs == scene.attributes
