import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from pipelines import verify
from sahmr.errors import ShardError
from sahmr.files import write_manifest
from tests.worlds import small


def run(folder: Path) -> None:
    verify.run("rich", small.VERIFY, small.paths_of(folder), small.PARALLEL)


def test_report_and_damage(tmp_path: Path) -> None:
    world = tmp_path / "world"
    small.write_world(world)
    run(world)
    report = json.loads((world / "reports/verify_rich.json").read_text())
    assert report["problems"] == []
    assert (report["samples"], report["shards"], report["contact_labels"]) == (9, 3, 8)
    for name in ("rich-test-Room_test-000000.tar", "rich-train-Room_train-000001.tar"):
        path = world / "shards/rich" / name
        content = bytearray(path.read_bytes())
        content[5000] ^= 1
        path.write_bytes(content)
    told = r"(?s)2 problems.*rich-test-Room_test-000000.*rich-train-Room_train-000001"
    with pytest.raises(ShardError, match=told):
        run(world)
    write_manifest(world / "shards/rich/manifest.json", stage="shards", dataset="rich")  # as if they were published so
    with pytest.raises(ShardError, match=told + ".*SHA-256 differs from the index"):
        run(world)


def test_missing_inputs_name_the_stage_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"(?s)4 problems.*bodies/manifest.json: missing.*run: dvc repro frames"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("change", "looks"),
    [
        (lambda sdf: sdf * 1000, "its distances are as if in millimetres"),
        (lambda sdf: sdf / 1000, "its distances are as if in kilometres"),
        (lambda sdf: np.roll(sdf, 7, axis=1), "of its zero (at least 80%)"),
    ],
)
def test_a_stored_field_that_contradicts_its_voxels(tmp_path: Path, change: Any, looks: str) -> None:
    """Of a store that an older version wrote without comparing the two: one finding, however many samples."""
    world = tmp_path / "world"
    small.write_world(world)
    group = zarr.open_group(str(world / "scenes/rich.zarr"), mode="r+")["Room_scan"]
    group["sdf"][...] = change(group["sdf"][...])
    write_manifest(world / "scenes/rich.manifest.json", ["rich.zarr"], stage="scenes", dataset="rich")
    with pytest.raises(ShardError, match="1 findings where raw files contradict each other") as told:
        run(world)
    assert "Room_scan/sdf (computed from the scan) contradicts Room_scan/points" in str(told.value)
    assert looks in str(told.value)
