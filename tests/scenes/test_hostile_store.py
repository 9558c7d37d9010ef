"""A damaged or hostile scene store: one StoreError naming store, scene and array, or the values as they were."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs.zstd
import numpy as np
import pytest
import torch

from sahmr.errors import StoreError
from sahmr.scenes.arrays import left_out_scenes, list_scenes
from sahmr.scenes.store import load_points, load_scene, voxel_pitch_m
from tests.worlds import small

KEY = "Room_scan"


@pytest.fixture
def store(small_world: Path, tmp_path: Path) -> Path:
    shutil.copytree(small_world / "scenes/rich.zarr", tmp_path / "rich.zarr")
    return tmp_path / "rich.zarr"


def read(store: Path) -> tuple[Any, ...]:
    """All that stages ask of a store, from the files."""
    load_points.cache_clear()
    load_scene.cache_clear()
    scene = load_scene(store, KEY)
    pitch = voxel_pitch_m(store)
    return left_out_scenes(store), list_scenes(store), pitch, scene.points, scene.sdf, scene.sdf_min, scene.sdf_max


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Equal to the precision of the field: the last digits of a corner mean nothing."""
    return all(
        torch.allclose(a, b, rtol=0, atol=1e-5) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(one, other, strict=True)
    )


def test_two_hundred_mutations(store: Path, small_world: Path) -> None:
    sound, drawn, refused = read(small_world / "scenes/rich.zarr"), random.Random(11), 0
    files = sorted(path for path in store.rglob("*") if path.is_file())
    for number in range(200):
        path = files[number % len(files)]
        content = path.read_bytes()
        damaged, place = bytearray(content), drawn.randrange(len(content))
        match number // len(files) % 8:
            case 0:
                damaged = damaged[:place]
            case 1 if number < 30:
                damaged = bytearray()
            case _:
                damaged[place] ^= 1 << drawn.randrange(8)
        path.write_bytes(damaged)
        try:
            assert same(read(store), sound), (path, place, damaged[max(place - 20, 0) : place + 20])
        except StoreError as told:
            assert "rich.zarr" in str(told) and "dvc repro scenes" in str(told)
            refused += 1
        path.write_bytes(content)
    assert same(read(store), sound)
    assert refused > 100


def edited(name: str, **changes: Any) -> Callable[[Path], None]:
    """Values replaced in a ``zarr.json``; ``a__b`` is b inside a, None takes it away."""

    def edit(store: Path) -> None:
        content = json.loads((store / name).read_text())
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = content
            for parent in parents:
                place = place[parent]
            if value is None:
                del place[last]
            else:
                place[last] = value
        (store / name).write_text(json.dumps(content))

    return edit


def written(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda store: (store / name).write_bytes(content) and None


def gone(name: str) -> Callable[[Path], None]:
    return lambda store: (store / name).unlink()


def linked(name: str) -> Callable[[Path], None]:
    """The same content behind a link to outside."""

    def link(store: Path) -> None:
        outside = store.parent / "outside"
        (store / name).rename(outside)
        (store / name).symlink_to(outside)

    return link


def piped(name: str) -> Callable[[Path], None]:
    def pipe(store: Path) -> None:
        (store / name).unlink()
        os.mkfifo(store / name)

    return pipe


def zeros(store: Path) -> None:
    """A chunk of 8 kB that unpacks to 256 MB."""
    (store / KEY / "points/c/0/0").write_bytes(numcodecs.zstd.compress(bytes(1 << 28), 3))


ROOT, SCENE, POINTS, SDF = "zarr.json", f"{KEY}/zarr.json", f"{KEY}/points/zarr.json", f"{KEY}/sdf/zarr.json"
GRID = "chunk_grid__configuration__chunk_shape"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "root empty": (written(ROOT, b""), "damaged scene store"),
    "root foreign": (written(ROOT, b"[1]"), "damaged scene store .zarr.json holds a list"),
    "root nested": (written(ROOT, b"[" * 100_000), "damaged scene store .*recursion"),
    "root long": (written(ROOT, b" " * (2 << 20)), "allowed are 1048576"),
    "root without attributes": (edited(ROOT, attributes=None), "attributes are a NoneType"),
    "root of another format": (edited(ROOT, zarr_format=2), "zarr_format is '2', expected 3"),
    "root that is an array": (edited(ROOT, node_type="array"), "node_type is 'array', expected 'group'"),
    "left_out that is a word": (edited(ROOT, attributes__left_out="abc"), "left_out is a str"),
    "root linked": (linked(ROOT), "zarr.json is no regular file"),
    "scene empty": (written(SCENE, b""), f"scene {KEY}: damaged"),
    "scene gone": (gone(SCENE), "the store has"),
    "scene linked": (linked(KEY), "the scene is a link"),
    "scene of another name": (edited(SCENE, attributes__scene_key="Other"), "scene_key is 'Other'"),
    "no pitch": (edited(SCENE, attributes__voxel_pitch_m=None), "voxel_pitch_m is None"),
    "pitch of NaN": (edited(SCENE, attributes__voxel_pitch_m=float("nan")), "voxel_pitch_m is nan"),
    "pitch of a word": (edited(SCENE, attributes__voxel_pitch_m="0.05"), "voxel_pitch_m is 0.05"),
    "pitch below zero": (edited(SCENE, attributes__voxel_pitch_m=-0.05), "voxel_pitch_m is -0.05"),
    "another pitch": (edited(SCENE, attributes__voxel_pitch_m=0.04), r"is no centre of a voxel of 0\.04 m"),
    "no corner": (edited(SCENE, attributes__sdf_min=None), "sdf_min is None, expected 3 finite numbers"),
    "corner of NaN": (edited(SCENE, attributes__sdf_max=[float("nan")] * 3), "sdf_max is .nan"),
    "corner of two": (edited(SCENE, attributes__sdf_max=[1, 2]), "sdf_max is .1, 2"),
    "corner elsewhere": (edited(SCENE, attributes__sdf_max=[5.0, 1.55, 2.3]), "is not 46 times sdf_spacing_m"),
    "corners swapped": (edited(SCENE, attributes__sdf_min=[9, 9, 9]), "is not 46 times"),
    "array empty": (written(POINTS, b""), "points: damaged"),
    "array nested": (written(SDF, b'{"a":' * 100_000), "sdf: damaged .*recursion"),
    "array gone": (gone(POINTS), "points: damaged"),
    "array linked": (linked(f"{KEY}/sdf"), "the array is a link"),
    "array of 2**40 numbers": (edited(SDF, shape=[2**20, 2**10, 2**10]), "it claims 15706944 chunks"),
    "chunk of 2**40 numbers": (edited(SDF, shape=[2**20, 2**10, 2**10], **{GRID: [2**20, 2**10, 2**10]}), "it claims"),
    "chunks of one number": (edited(SDF, **{GRID: [1, 1, 1]}), "holds 282752 bytes, expected 4"),
    "chunks of nothing": (edited(SDF, **{GRID: [0, 1, 1]}), "expected whole numbers above 0"),
    "chunks of words": (edited(SDF, **{GRID: "abc"}), "expected 3 numbers"),
    "fewer points than the chunk": (edited(POINTS, shape=[100, 3]), "which cannot be"),
    "points of two": (edited(POINTS, shape=[28802, 2]), "which cannot be"),
    "points in a row": (edited(POINTS, shape=[86406]), "expected 2 numbers"),
    "points of doubles": (edited(POINTS, data_type="float64"), "data_type is 'float64'"),
    "another filling": (edited(POINTS, fill_value=0.0), "fill_value is '0.0'"),
    "no codecs": (edited(POINTS, codecs=None), "damaged .'codecs'"),
    "a codec more": (edited(POINTS, codecs=[{"name": "bytes"}, {"name": "gzip"}, {"name": "zstd"}]), "its codecs are"),
    "sharding": (edited(POINTS, codecs=[{"name": "sharding_indexed"}]), "its codecs are"),
    "transformers": (edited(POINTS, storage_transformers=[{"name": "x"}]), "storage transformers"),
    "chunk gone": (gone(f"{KEY}/sdf/c/0/0/0"), "a chunk is missing: c/0/0/0"),
    "chunk empty": (written(f"{KEY}/sdf/c/0/0/0", b""), "is no zstd frame"),
    "chunk linked": (linked(f"{KEY}/sdf/c/0/0/0"), "no regular file"),
    "chunks linked": (linked(f"{KEY}/sdf/c/0"), "behind a link"),
    "chunk a pipe": (piped(f"{KEY}/sdf/c/0/0/0"), "no regular file"),
    "chunk that inflates": (zeros, "holds 268435456 bytes, expected 345624"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_one_error(name: str, store: Path) -> None:
    damage, says = DAMAGES[name]
    damage(store)
    with pytest.raises(StoreError, match=rf"rich\.zarr: .*{says}.*dvc repro scenes") as told:
        read(store)
    assert "\n" not in str(told.value) and len(str(told.value)) < 600


def test_strangers_beside_the_scenes_are_no_scenes(store: Path) -> None:
    """Folders of network drives and archives; zarr would warn."""
    for name in ("@eaDir", "__MACOSX"):
        (store / name).mkdir()
        (store / name / "x").write_text("x")
    (store / ".DS_Store").write_text("x")
    assert list_scenes(store) == [KEY]
    assert voxel_pitch_m(store) == small.SCENES.voxel_pitch_m


@pytest.mark.parametrize("key", ["../rich.zarr/Room_scan", "/etc", "..", "", "Room_scan/points", "."])
def test_keys_that_are_no_names(key: str, store: Path) -> None:
    with pytest.raises(StoreError, match=r"not there; the store has \['Room_scan'\]"):
        load_scene(store, key)


def test_a_store_of_many_chunks_is_read(tmp_path: Path, small_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sahmr.scenes import build

    monkeypatch.setattr(build, "_POINT_CHUNK", 5000)
    monkeypatch.setattr(build, "_SDF_CHUNK", 20)
    build.create_store(tmp_path / "rich.zarr", "rich")
    build.write_scene(
        small.scene_record(), store=tmp_path / "rich.zarr", raw_root=small_world / "raw", settings=small.SCENES
    )
    assert len(list((tmp_path / "rich.zarr").rglob("c/*/*/*"))) == 3 * 2 * 3
    np.testing.assert_array_equal(read(tmp_path / "rich.zarr")[4], read(small_world / "scenes/rich.zarr")[4])
