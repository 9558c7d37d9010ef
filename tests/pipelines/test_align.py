"""Cameras without scale end up in the scan, by pairs or by numbers; anything ambiguous is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pipelines.align import main
from sahmr.cameras.photo_camera import need_metres
from sahmr.cameras.read import read_cameras
from tests.worlds import photo_cameras as world
from tests.worlds.raw_trees import put

TRUTH = world.pose((0.1, 0.9, -0.3), (0.5, 0.4, 0.2))  # in the scan, metres
TURN = world.pose((0.4, -1.2, 2.0), (0, 0, 0))[:3, :3]  # scan from model
SCALE, SHIFT = 0.31, np.array([0.7, -0.2, 0.4])
MARKS = np.array([[1.0, 1, 0], [-2, 1.5, 1], [2, -1.2, -0.5], [0, 0.3, 1.1]])  # places in the scan


def in_model() -> np.ndarray:
    """The true camera as a reconstruction has it: x_scan = SCALE * TURN @ x_model + SHIFT."""
    matrix = np.eye(4)
    matrix[:3, :3] = TRUTH[:3, :3] @ TURN
    center = TURN.T @ (np.array([0.5, 0.4, 0.2]) - SHIFT) / SCALE
    matrix[:3, 3] = -matrix[:3, :3] @ center
    return matrix


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    world.colmap_text(tmp_path / "model", in_model())
    box = trimesh.creation.box((5, 4, 2.5))
    put(tmp_path / "room.ply", box.export(file_type="ply"))
    box.vertices *= 1000
    put(tmp_path / "mm.stl", box.export(file_type="stl"))
    put(tmp_path / "pairs.txt", pairs(MARKS))
    return tmp_path


def pairs(marks: np.ndarray, factor: float = 1.0) -> str:
    rows = [[*(TURN.T @ (mark - SHIFT) / SCALE), *(mark * factor)] for mark in marks]
    return "mx my mz,sx sy sz\n# by hand\n" + "\n".join(", ".join(f"{v:.12g}" for v in row) for row in rows) + "\n"


def align(folder: Path, *options: str, scan: str = "room.ply") -> None:
    main(
        [
            "--cameras",
            str(folder / "model"),
            "--scan",
            str(folder / scan),
            "--output",
            str(folder / "out.json"),
            *options,
        ]
    )


def check(folder: Path) -> None:
    for camera in read_cameras(folder / "out.json"):
        np.testing.assert_allclose(need_metres(camera), TRUTH, rtol=0, atol=1e-9)
        np.testing.assert_allclose(camera.intrinsics, world.K, atol=1e-9)
        assert camera.distortion == world.TERMS


def test_by_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    align(folder, "--pairs", str(folder / "pairs.txt"))
    check(folder)
    said = capsys.readouterr().err
    assert "scale 0.31 m per unit; residuals of 4 pairs: 0.0, 0.0, 0.0, 0.0 mm" in said
    assert "5.00 x 4.00 x 2.50 m (metres, detected); up is not known" in said


def test_by_pairs_in_the_scan_s_unit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder / "pairs.txt", pairs(MARKS, 1000))
    align(folder, "--pairs", str(folder / "pairs.txt"), "--scan-up=-y", scan="mm.stl")
    check(folder)
    assert "(millimetres, detected); up is -y (given)" in capsys.readouterr().err


def test_by_numbers(folder: Path) -> None:
    turn = " ".join(repr(float(v)) for v in TURN.ravel())
    align(folder, "--scale", str(SCALE), f"--rotation={turn}", "--translation", *map(str, SHIFT))
    check(folder)


def test_by_axes(folder: Path) -> None:
    """The scan's x, y, z are the model's x, -z, y: the quarter turn about x."""
    world.colmap_text(folder / "model", np.eye(4))
    align(folder, "--scale", "0.5", "--rotation", "x,-z,y")
    (camera, _) = read_cameras(folder / "out.json")
    ahead = need_metres(camera)[2, :3]  # the camera's z in the scan
    np.testing.assert_array_equal(ahead, [0, -1, 0])


@pytest.mark.parametrize(
    ("options", "content", "says"),
    [
        ((), "", "these cameras have no scale; allowed: either --pairs, .* or --scale and --rotation; found neither"),
        (("--scale", "2"), "", "found half of the second"),
        (("--scale", "2", "--rotation", "x,y,z", "--pairs", "P"), "", "found more"),
        (("--scale", "nan", "--rotation", "x,y,z"), "", "--scale: found nan; allowed: 1e-06"),
        (("--scale", "-1", "--rotation", "x,y,z"), "", "--scale: found -1"),
        (("--scale", "1", "--rotation", "x,z,y"), "", "--rotation, --translation: not a rigid transform"),
        (("--scale", "1", "--rotation", "x,x,y"), "", "not a rigid transform"),
        (("--scale", "1", "--rotation", "x,y"), "", "--rotation: found 'x,y'; allowed: three axes"),
        (("--scale", "1", "--rotation", "1 2 3"), "", "or nine numbers"),
        (("--scale", "99999", "--rotation", "x,y,z"), "", "away from the scan's box"),
        (("--pairs", "P"), "1 2 3 4 5 6\n", "1 pairs of points; allowed: 3 or more"),
        (("--pairs", "P"), "", "0 pairs"),
        (("--pairs", "P"), "1 2 3 4 5\n", "line 1: '1 2 3 4 5'; allowed: six numbers"),
        (("--pairs", "P"), "a b c d e f\n1 2 nan 4 5 6\n", "line 2: '1 2 nan 4 5 6'; allowed: six numbers"),
        (("--pairs", "P"), pairs(np.outer(np.arange(4.0), [1, 1, 0])), "lie on one line"),
        (("--pairs", "P"), pairs(MARKS[[0, 0, 0]]), "in one place"),
        (("--pairs", "P"), "0 0 0 0 0 0\n1 0 0 1 0 0\n0 1 0 0 1 0\n0 0 1 0 0 -1\n", "only if an axis is mirrored"),
        (
            ("--pairs", "P"),
            "0 0 0 0 0 0\n1 0 0 1 0 0\n0 1 0 0 1 0\n1 1 0 1 2 0\n",
            r"pair \d is .* m off after the fit",
        ),
        (("--unit", "m"), "", "are in metres already, but may have other axes"),
    ],
)
def test_what_is_refused(
    folder: Path, options: tuple[str, ...], content: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / "p.txt", content)
    named = [str(folder / "p.txt") if option == "P" else option for option in options]
    with pytest.raises(SystemExit):
        align(folder, *named)
    assert not (folder / "out.json").exists()
    assert_said(capsys, says)


def assert_said(capsys: pytest.CaptureFixture[str], says: str) -> None:
    last = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in last and re.search(says, last), last


def test_an_output_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder / "out.json", "mine")
    with pytest.raises(SystemExit):
        align(folder, "--pairs", str(folder / "pairs.txt"))
    assert (folder / "out.json").read_text() == "mine"
    assert_said(capsys, "is there already")
