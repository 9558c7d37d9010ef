"""Scans with more surface than any real one are refused before the work; large real ones are not."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sahmr.errors import RawDataError
from sahmr.scenes.build import Scenes, create_store, write_scene
from sahmr.scenes.scan import ScanLimits
from sahmr.scenes.signed_distance import signed_distance_grid
from sahmr.scenes.voxels import MOST_VOXELS, check_voxels, count_voxels, occupied_voxels
from schemas.scene import SceneRecord
from tests.worlds.raw_trees import put

SETTINGS = Scenes(voxel_pitch_m=0.02, sdf_spacing_m=0.06, sdf_margin_m=0.5, sdf_max_samples=10**6)


def ply(triangles: np.ndarray) -> bytes:
    rows = [("vertex", 3 * len(triangles), "property double x\nproperty double y\nproperty double z")]
    rows.append(("face", len(triangles), "property list uchar int vertex_indices"))
    head = "ply\nformat binary_little_endian 1.0\n"
    head += "".join(f"element {name} {count}\n{properties}\n" for name, count, properties in rows) + "end_header\n"
    faces = np.empty(len(triangles), [("length", "u1"), ("corner", "<i4", 3)])
    faces["length"], faces["corner"] = 3, np.arange(3 * len(triangles)).reshape(-1, 3)
    return head.encode() + triangles.astype("<f8").tobytes() + faces.tobytes()


def record(**files: str) -> SceneRecord:
    return SceneRecord(
        dataset="rich", scene_key="a", scan_file="a.ply", scan_sha256="0" * 64, sdf_file=None, sdf_info_file=None,
        sdf_sha256=None, sdf_info_sha256=None, **files,
    )  # fmt: skip


WIDE = np.array([[[0, 0, 0], [900, 0, 0], [0, 900, 0]]], dtype=float)
SLIVERS = np.tile(np.array([[[0, 0, 0], [100, 0, 0], [50, 1e-6, 0]]], dtype=float), (100_000, 1, 1))
FAN = 0.5 * np.stack([np.array([[0, 0, 0], [np.cos(k), np.sin(k), 0], [0, 1, k / 1001]]) for k in range(1001)])


@pytest.mark.parametrize(
    ("triangles", "pitch", "says"),
    [
        (WIDE, 0.02, r"about 1e\+09 voxels of 0.02 m in 1 triangles, of which number 0 is 900 m wide; allowed: 2e\+08"),
        (FAN, 0.02, "1001 faces meet at one corner; allowed: 1000; repair the scan"),
    ],
)  # fmt: skip
def test_absurd_surfaces_are_one_error(tmp_path: Path, triangles: np.ndarray, pitch: float, says: str) -> None:
    put(tmp_path / "a.ply", ply(triangles))
    create_store(tmp_path / "store", "rich")
    limits = ScanLimits(size_m=(0.5, 1000.0))
    settings = Scenes(voxel_pitch_m=pitch, sdf_spacing_m=0.5, sdf_margin_m=0.5, sdf_max_samples=10**5, scan=limits)
    tracemalloc.start()
    try:
        with pytest.raises(RawDataError, match=rf"a\.ply: {says}.*; repair the scan|a\.ply: {says}"):
            write_scene(record(), store=tmp_path / "store", raw_root=tmp_path, settings=settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 80e6 + 3 * triangles.nbytes


@pytest.mark.parametrize(
    ("triangles", "pitch", "says"),
    [
        (SLIVERS, 0.02, r"about 5e\+08 voxels of 0.02 m in 100000 triangles, of which number 0 is 100 m wide"),
        (WIDE / 100, 1e-6, r"about 4.1e\+13 voxels"),
        (np.concatenate([WIDE / 1e5, WIDE / 1e5 + 900]), 4e-4, "voxel indices .* do not fit 21 bits; raise the pitch"),
    ],
)
def test_voxels_are_bounded_by_themselves(triangles: np.ndarray, pitch: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        occupied_voxels(triangles, pitch)


def test_a_distance_field_is_bounded_by_itself() -> None:
    with pytest.raises(ValueError, match=r"about 4.1e\+09 voxels of 0.01 m"):
        signed_distance_grid(WIDE, spacing_m=0.01, margin_m=0.5)


def test_the_largest_real_scans_are_allowed() -> None:
    """A courtyard of 100 x 100 m with houses of 15 m around it, in triangles of 10 cm, twice over."""
    side = 0.1
    count = int(2 * (100 * 100 + 4 * 100 * 15) / (side * side / 2))
    one, _ = count_voxels(np.array([[[0, 0, 0], [side, 0, 0], [0, side, 0]]]), 0.02)
    assert MOST_VOXELS > count * one > MOST_VOXELS / 4, "what is allowed is about the largest of them"
    check_voxels(np.array([[[0, 0, 0], [200, 0, 0], [0, 200, 0]]], dtype=float), 0.02)  # one hectare in one triangle


def test_the_estimate_is_near_the_number() -> None:
    rng = np.random.default_rng(0)
    for size in (0.05, 0.5, 3.0):
        triangles = rng.normal(size=(20, 3, 3)) * size
        estimate, _ = count_voxels(triangles, 0.05)
        assert 0.3 < estimate / len(occupied_voxels(triangles, 0.05)) < 3
