"""JSON objects, group attributes and arrays are what their schemas say, or are not written."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zarr

from sahmr.files import write_manifest
from sahmr.scenes.arrays import STORE_VERSION
from sahmr.scenes.build import create_store
from sahmr.shards.decode import MEMBER_VERSION
from schemas.conform import check_array, check_object
from schemas.fields import SchemaError
from schemas.reports import FRAME_COUNTS_SCHEMA, MANIFEST_SCHEMA
from schemas.sample import SAMPLE_JSON_SCHEMA, SAMPLE_SCHEMA
from schemas.scene_store import SCENE_ARRAYS_SCHEMA, SCENE_GROUP_SCHEMA, STORE_SCHEMA
from tests.worlds import small


def sample_json() -> dict[str, Any]:
    return json.loads(small.members(small.record(0))["json"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": 1}, r"p: has the extra fields \['more'\]"),
        ({"key": ...}, r"p: lacks the fields \['key'\]"),
        ({"key": None}, "p: field 'key' must not be null"),
        ({"key": 7}, "p: field 'key' is 7, expected string"),
        ({"person_box": [1.0, 2.0, 3.0]}, "p: field 'person_box' has the length 3, expected 4"),
        ({"person_box": [1.0, 2.0, 3.0, None]}, "p: field 'person_box' must not be null"),
        ({"person_box": [1.0, 2.0, 3.0, float("nan")]}, "p: field 'person_box' is nan, expected double"),
        ({"stored_size": [1.5, 2]}, "p: field 'stored_size' is 1.5, expected int32"),
        ({"stored_size": [True, 2]}, "p: field 'stored_size' is True, expected int32"),
        ({"person_box": [1.0, 2.0, 3.0, False]}, "p: field 'person_box' is False, expected double"),
        ({"has_body": 1}, "p: field 'has_body' is 1, expected bool"),
        ({"source_sha256": {"image": 3}}, "p: field 'source_sha256', 'image' is 3, expected string"),
        ({"intrinsics": "K"}, "p: field 'intrinsics' is 'K', expected fixed_size_list"),
    ],
)
def test_a_wrong_member_is_refused(change: dict[str, Any], message: str) -> None:
    sound = sample_json()
    check_object(sound, SAMPLE_JSON_SCHEMA, "p")
    changed = {name: value for name, value in {**sound, **change}.items() if value is not ...}
    with pytest.raises(SchemaError, match=message):
        check_object(changed, SAMPLE_JSON_SCHEMA, "p")


def test_counts_are_whole_numbers_by_name() -> None:
    counts = {
        "absent": {},
        "dataset": "rich",
        "dropped": {"warmup": {"test": 1}},
        "ignored": {},
        "kept": {},
        "notes": {},
    }
    check_object(counts, FRAME_COUNTS_SCHEMA, "p")
    for wrong in ({"warmup": 1}, {"warmup": {"test": 1.5}}, {"warmup": {"test": None}}, [], {3: {}}):
        with pytest.raises(SchemaError, match="p: field 'dropped'"):
            check_object({**counts, "dropped": wrong}, FRAME_COUNTS_SCHEMA, "p")


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("vertices.npy", (6889, 3), "float32"),
        ("vertices.npy", (6890, 3, 1), "float32"),
        ("vertices.npy", (6890, 3), "float64"),
        ("contact.npy", (6890,), "uint8"),
        ("contact.npy", (862,), "bool"),
    ],
)
def test_a_wrong_array_is_refused(name: str, shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(SchemaError, match=rf"p: '{name}' is .* {dtype}, expected \((6890, 3|862,)\) (float|uint8)"):
        check_array(shape, dtype, SAMPLE_SCHEMA.field(name), "p")


def test_arrays_of_any_length_have_their_axes() -> None:
    check_array((0, 3), "float32", SCENE_ARRAYS_SCHEMA.field("points"), "p")
    check_array((4, 5, 6), "float32", SCENE_ARRAYS_SCHEMA.field("sdf"), "p")
    with pytest.raises(SchemaError, match=r"expected \('any', 'any', 'any'\) float"):
        check_array((4, 5), "float32", SCENE_ARRAYS_SCHEMA.field("sdf"), "p")


def test_writers_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the writers hand over is looked at: a dataset without its licence is refused before anything is written."""
    monkeypatch.setattr("sahmr.scenes.build.find_card", lambda name: type("Card", (), {"licence_notice": None}))
    with pytest.raises(SchemaError, match=r"scenes: field 'licence' must not be null"):
        create_store(tmp_path / "scenes", "rich")
    assert not (tmp_path / "scenes").exists()
    monkeypatch.setattr("sahmr.shards.encode.find_card", lambda name: type("Card", (), {"licence_notice": None}))
    with pytest.raises(SchemaError, match=r"sample Room_train_00000: field 'licence' must not be null"):
        small.members(small.record(0))


def test_everything_in_a_converted_world_is_of_a_schema(small_world: Path) -> None:
    for manifest in small_world.rglob("*manifest.json"):
        check_object(json.loads(manifest.read_text()), MANIFEST_SCHEMA, str(manifest))
    store = zarr.open_group(small_world / "scenes/rich.zarr", mode="r")
    check_object(dict(store.attrs), STORE_SCHEMA, "store")
    for key, scene in store.groups():
        check_object(dict(scene.attrs), SCENE_GROUP_SCHEMA, key)
        assert sorted(scene.array_keys()) == sorted(SCENE_ARRAYS_SCHEMA.names)
        for name, array in scene.arrays():
            check_array(array.shape, str(array.dtype), SCENE_ARRAYS_SCHEMA.field(name), key)
            assert array.attrs["units"].encode() == SCENE_ARRAYS_SCHEMA.field(name).metadata[b"unit"]
    extensions = set()
    for shard in (small_world / "shards/rich").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                extensions.add(member.name.partition(".")[2])
                if member.name.endswith(".json"):
                    check_object(json.load(tar.extractfile(member)), SAMPLE_JSON_SCHEMA, member.name)
    assert extensions == set(SAMPLE_SCHEMA.names) - {"png"}  # ready-made crops alone have one


def test_versions_are_those_the_readers_know() -> None:
    for schema, version in (
        (SAMPLE_SCHEMA, MEMBER_VERSION), (SAMPLE_JSON_SCHEMA, MEMBER_VERSION),
        (STORE_SCHEMA, STORE_VERSION), (SCENE_GROUP_SCHEMA, STORE_VERSION), (SCENE_ARRAYS_SCHEMA, STORE_VERSION),
    ):  # fmt: skip
        assert schema.metadata[b"sahmr.schema_version"].decode() == version


def test_a_manifest_is_of_its_schema(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    write_manifest(tmp_path / "manifest.json", stage="bodies", dataset=None)
    check_object(json.loads((tmp_path / "manifest.json").read_text()), MANIFEST_SCHEMA, "manifest")
