"""Voxels and field of a scan: kept, made ahead by another process, or made here; the same bytes each way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from sahmr.errors import RawDataError
from sahmr.scenes import kept_ahead
from sahmr.scenes.kept import KeptScan, kept_scan
from sahmr.scenes.kept_ahead import Ahead, start
from sahmr.scenes.kept_files import FIELD, VOXELS, Geometry, folder_of
from sahmr.scenes.kept_making import make
from sahmr.scenes.own_scan import open_scan, read_mesh, unit_by_size
from sahmr.scenes.section import Scenes
from tests.imports import ROOT
from tests.worlds import rooms

SETTINGS = Scenes(voxel_pitch_m=rooms.PITCH_M, sdf_spacing_m=0.2, sdf_margin_m=0.5, sdf_max_samples=10**6)


def opened(path: Path, cache: Path, ahead: Ahead) -> KeptScan:
    scan = open_scan(path)
    return kept_scan(Geometry(path=path, vertices=scan.vertices, faces=scan.faces), SETTINGS, cache, ahead)


def files(cache: Path) -> dict[str, bytes]:
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in cache.rglob("*.npz")}


def made(kept: KeptScan) -> tuple[bool, bool]:
    """Make all; which of voxels and field were kept."""
    points, voxels_kept = kept.voxels()
    scene, field_kept = kept.scene(points)
    assert scene is not None and len(scene.points) == len(points) > 1000
    return voxels_kept, field_kept


def test_another_process_makes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = rooms.write_scan(tmp_path)
    assert made(opened(scan, tmp_path / "here", Ahead())) == (False, False)
    monkeypatch.setattr(kept_ahead, "_LARGE", 0)
    monkeypatch.setattr(kept_ahead.os, "sched_getaffinity", lambda process: {0, 1})
    with start(scan, "auto", SETTINGS, tmp_path / "ahead", is_field_asked=True) as ahead:
        kept = opened(scan, tmp_path / "ahead", ahead)
        monkeypatch.setattr("sahmr.scenes.kept.make_voxels", None)  # nothing is left to be made here
        monkeypatch.setattr("sahmr.scenes.kept.make_field", None)
        assert made(kept) == (False, False)
    assert ahead.process is not None and ahead.process.returncode is not None
    assert files(tmp_path / "here") == files(tmp_path / "ahead") and len(files(tmp_path / "here")) == 2
    assert made(opened(scan, tmp_path / "ahead", Ahead())) == (True, True)


def test_a_small_scan_or_one_processor_needs_no_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = rooms.write_scan(tmp_path)
    assert start(scan, "auto", SETTINGS, tmp_path, is_field_asked=True).process is None
    assert start(tmp_path / "none.ply", "auto", SETTINGS, tmp_path, is_field_asked=True).process is None
    monkeypatch.setattr(kept_ahead, "_LARGE", 0)
    monkeypatch.setattr(kept_ahead.os, "sched_getaffinity", lambda process: {0})
    assert start(scan, "auto", SETTINGS, tmp_path, is_field_asked=True).process is None


def test_what_does_not_come_is_made_here(tmp_path: Path) -> None:
    scan = rooms.write_scan(tmp_path)
    for said in (["another", VOXELS, False], None):  # of a scan that was saved again meanwhile; an early end
        code = "" if said is None else f"print({json.dumps(json.dumps(said))})"
        process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True)
        with Ahead(process=process) as ahead:
            assert made(opened(scan, tmp_path / f"cache {said}", ahead)) == (False, False)


def test_what_was_made_is_told_in_order(tmp_path: Path) -> None:
    scan, told = rooms.write_scan(tmp_path, factor=1000), list[tuple[str, str, bool]]()
    for _ in range(2):
        make(scan, "auto", SETTINGS, tmp_path / "cache", True, told.append)
    mesh = read_mesh(scan)
    folder = folder_of(Geometry(path=scan, vertices=mesh.vertices * 0.001, faces=mesh.faces), SETTINGS)
    assert told == [(folder, file, was_there) for was_there in (False, True) for file in (VOXELS, FIELD)]
    told.clear()
    make(scan, "millimetres", SETTINGS, tmp_path / "other", False, told.append)
    assert told == [(folder, VOXELS, False)] and len(files(tmp_path / "other")) == 1


def test_flat_faces_are_told_by_whoever_waits(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 3, (50, 3))
    flat = trimesh.Trimesh(points, np.repeat(np.arange(50)[:, None], 3, axis=1), process=False)
    scan = tmp_path / "flat.ply"
    scan.write_bytes(flat.export(file_type="ply"))
    geometry = Geometry(path=scan, vertices=points, faces=np.asarray(flat.faces))
    kept = kept_scan(geometry, SETTINGS, tmp_path / "cache", Ahead())
    with pytest.raises(RawDataError, match=r"flat\.ply: no triangle has an area; .*; repair the scan"):
        kept.scene(kept.voxels()[0])


@pytest.mark.parametrize("factor", [0.5, 1, 1 / 0.3048, 10, 100, 1000])
def test_the_unit_is_the_same_without_the_way_up(factor: float, tmp_path: Path) -> None:
    scan = rooms.write_scan(tmp_path, factor=factor)
    found = unit_by_size(read_mesh(scan))
    try:
        assert found in (None, open_scan(scan, need_up=False).unit)
    except RawDataError as refused:  # then it does not matter
        assert "give --scan-unit" in str(refused)


def test_the_process_ahead_and_the_tool_start_without_torch() -> None:
    code = "import sys, pipelines.predict_photo, sahmr.scenes.kept_making; print({'torch', 'zarr'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
