"""The demo that ``make repro`` made in this folder, for tests that need its weights and predictions; only read."""

from __future__ import annotations

from dataclasses import fields, replace

from sahmr.settings import Paths, load_section
from tests.imports import ROOT

PARAMS, RICH = ROOT / "params.yaml", ROOT / "data/demo/RICH"
SCAN = RICH / "scan_calibration/Gym/scan_camcoord.ply"


def demo_paths() -> Paths:
    """Absolute paths of its outputs; a failure where it is not finished: these tests are asked for by name."""
    paths = load_section("paths", Paths, PARAMS)
    paths = replace(paths, **{each.name: ROOT / getattr(paths, each.name) for each in fields(Paths)})
    needed = [paths.predictions / "rich/sahmr.parquet", paths.models / "sahmr.pt", paths.bodies / "topology.npz", SCAN]
    lost = [str(path) for path in needed if not path.exists()]
    assert not lost, f"{lost} are not there; run: make repro"
    return paths
