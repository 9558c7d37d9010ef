"""A photograph of a scanned room to files in the scan's axes; what does not fit is one line, and the check picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image

from pipelines import photo_input
from pipelines.predict_photo import main
from sahmr.body.model import SMPL_FILE, read_official, write_clean
from sahmr.cameras.boxes import PersonBox
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.training import build
from sahmr.training.checkpoint import Checkpoint, save_checkpoint
from tests.worlds import rooms
from tests.worlds.networks import TINY, make_topology, write_topology
from tests.worlds.raw_trees import put
from tests.worlds.trainings import write_params

FILES = {"check.png", "person.glb", "person.npz", "person.ply", "view.html"}
BOX = ",".join(map(str, rooms.BOX))


@dataclass
class World:
    """A folder with everything, and a command line that can be changed."""

    folder: Path

    def run(self, output: Path, *flags: str, **changes: str | None) -> Path:
        options = {
            "scene": self.folder / "room.ply", "camera": self.folder / "camera.json",
            "image": self.folder / "photo.png", "box": BOX, "checkpoint": self.folder / "models/sahmr.pt",
            "cache": self.folder / "cache", "output": output,
        } | changes  # fmt: skip
        main([*flags, *(word for name, value in options.items() if value is not None
              for word in (f"--{name.replace('_', '-')}", str(value)))])  # fmt: skip
        return output


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, demo_root: Path) -> World:
    folder = tmp_path_factory.mktemp("photo")
    write_params(folder)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["scenes"] |= {"voxel_pitch_m": rooms.PITCH_M, "sdf_spacing_m": 0.2}
    put(folder / "params.yaml", yaml.safe_dump(params))
    write_topology(folder / "bodies")
    official = demo_root / "body_models" / "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
    write_clean(folder / "bodies" / SMPL_FILE, "smpl", read_official(official, "smpl", num_betas=10), 10)
    network = SahmrNet(TINY, OWN, make_topology())
    made = Checkpoint(network=network.state_dict(), stage="train_sahmr", epoch=1, size="demo", behaviour=OWN)
    (folder / "models").mkdir()
    save_checkpoint(folder / "models/sahmr.pt", made)
    rooms.write_scan(folder)
    rooms.camera_json(folder)
    Image.fromarray(rooms.photograph()).save(folder / "photo.png")
    return World(folder)


@pytest.fixture(autouse=True)
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.folder)
    monkeypatch.setitem(build.SIZES, "demo", TINY)


def test_files(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again = world.run(tmp_path / "a"), world.run(tmp_path / "b")
    said = capsys.readouterr().err
    assert "voxels made, field made" in said and "voxels kept, field kept" in said
    assert {path.name for path in first.iterdir()} == {path.name for path in again.iterdir()} == FILES
    for name in FILES:
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
    found = dict(np.load(first / "person.npz", allow_pickle=False))
    assert str(found["frame"]) == "world" and found["joints"].shape == (17, 3) and found["betas"].shape == (10,)
    np.testing.assert_allclose(found["camera_from_world"], rooms.pose(), atol=1e-12)
    np.testing.assert_allclose(found["person_box"], rooms.BOX)
    ply = trimesh.load(first / "person.ply", process=False)
    np.testing.assert_allclose(ply.vertices, found["vertices"], atol=1e-5)
    # glTF's y is up: its node turns the scan's z there.
    glb = trimesh.load(first / "person.glb", process=False)
    turned = glb.to_mesh().vertices
    np.testing.assert_allclose(turned[:, 1], found["vertices"][:, 2], atol=1e-5)
    np.testing.assert_allclose(found["up"], [0, 0, 1], atol=1e-6)
    page = (first / "view.html").read_text()
    assert "prediction" in page and "ground truth" not in page.partition("<script")[0]


def test_a_damaged_cache_is_made_again(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "cache"
    world.run(tmp_path / "a", cache=str(cache))
    for path in cache.glob("*/*.npz"):
        path.write_bytes(path.read_bytes()[:-100])
    world.run(tmp_path / "b", cache=str(cache))
    assert capsys.readouterr().err.count("voxels made, field made") == 2
    assert (tmp_path / "a/person.npz").read_bytes() == (tmp_path / "b/person.npz").read_bytes()


def test_a_cloud_has_no_penetration(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points, _ = trimesh.sample.sample_surface(rooms.room(), 60_000, seed=1)
    cloud = put(tmp_path / "cloud.ply", trimesh.PointCloud(points).export(file_type="ply"))
    world.run(tmp_path / "a", scene=str(cloud), scan_up="z")
    assert "PenE left out: a cloud has no distance field; voxels made, field none" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "a").iterdir()} == FILES


def test_a_scan_in_millimetres_is_the_same_room(world: World, tmp_path: Path) -> None:
    scan = rooms.write_scan(tmp_path, factor=1000, name="mm.stl")
    world.run(tmp_path / "detected", scene=str(scan))
    world.run(tmp_path / "given", scene=str(scan), scan_unit="mm")
    world.run(tmp_path / "metres")
    detected, given, metres = (
        np.load(tmp_path / name / "person.npz")["vertices"] for name in ("detected", "given", "metres")
    )
    np.testing.assert_allclose(detected, metres, atol=1e-4)
    np.testing.assert_array_equal(given, detected)


def test_the_detector_is_asked(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tuple(
        PersonBox(image="photo.png", box=box, person="", score=score, image_size=None, place="the detector")
        for box, score in (((10.0, 20.0, 60.0, 90.0), 0.9), (rooms.BOX, 0.8))
    )
    monkeypatch.setattr(photo_input, "Network", lambda: SimpleNamespace(look=None))
    monkeypatch.setattr(
        photo_input, "find_people", lambda image, name, look: found[: 2 * (image.shape == (240, 320, 3))]
    )
    with pytest.raises(SystemExit):
        world.run(tmp_path / "a", "--detect", box=None)
    assert "--detect: 2 people in photo.png (1: 10,20,60,90 score 0.90; 2: 120,60,200,220" in capsys.readouterr().err
    world.run(tmp_path / "a", "--detect", "--check-only", box=None, person="2")
    assert "320x240, box 120,60,200,220" in capsys.readouterr().err


def turned(folder: Path) -> dict[str, str]:
    image = Image.fromarray(rooms.photograph())
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(folder / "turned.jpg", exif=exif)
    return {"image": str(folder / "turned.jpg")}


def smaller(folder: Path) -> dict[str, str]:
    Image.fromarray(rooms.photograph()[::2, ::2]).save(folder / "half.png")
    return {"image": str(folder / "half.png")}


def boxes(folder: Path) -> dict[str, str | None]:
    table = f"image,left,top,right,bottom,score\nphoto.png,{BOX},0.9\nphoto.png,10,20,60,90,0.4\n"
    return {"box": None, "boxes": str(put(folder / "boxes.csv", table))}


BAD: tuple[tuple[Callable[[Path], dict[str, str | None]], str], ...] = (
    (lambda folder: {"box": "900,10,990,90"}, r"--box: the box 900,10,990,90 lies outside the image of 320x240"),
    (smaller, r"is for images of 320x240, the photograph has 160x120; .* 0.5 times as large"),
    (turned, r"EXIF says the image is rotated \(6\)"),
    (boxes, r"2 people in photo.png \(1: 120,60,200,220 score 0.90; 2: 10,20,60,90 score 0.40\); choose one with"),
    (lambda folder: {"camera": str(put(folder / "c.json", '{"width": NaN}'))}, "NaN is no number of JSON"),
    (lambda folder: {"camera": str(rooms.camera_json(folder, np.diag([2.0, 1, 1, 1])))}, "not a rigid transform"),
    (lambda folder: {"camera": str(rooms.camera_json(folder, units="unknown"))}, "no scale .* pipelines.align"),
    (lambda folder: {"camera": str(rooms.camera_json(folder, K=(rooms.K * [[4], [4], [1]]).tolist()))},
     r"principal point \(638, 478\) lies outside"),
    (lambda folder: {"scene": str(rooms.write_scan(folder, factor=1000)), "scan_unit": "metres"},
     "its longest side is 5000 m, as if in millimetres; allowed: .* give another --scan-unit"),
    (lambda folder: {"camera": str(rooms.camera_json(folder, np.linalg.inv(rooms.pose())))},
     r"camera.json: does not fit .*room.ply: .*it would fit if the matrix is world_from_camera.*look at .*check.png"),
    (lambda folder: {"checkpoint": str(folder / "none.pt")}, r"none.pt"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "says"), BAD, ids=[says[:30] for _, says in BAD])
def test_bad_input(
    change: Callable[[Path], dict[str, str | None]], says: str, world: World, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as stopped:
        world.run(tmp_path / "out", **change(tmp_path))
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert stopped.value.code == 1 and len(errors) == 1 and re.search(says, errors[0]), errors
    if "check.png" in says:
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["check.png"]


def test_person_and_check_only(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = boxes(tmp_path)
    options = ["--scene", "room.ply", "--camera", "camera.json", "--image", "photo.png", "--boxes", str(asked["boxes"]),
               "--person", "1", "--cache", "cache", "--output", str(tmp_path / "out"), "--check-only"]  # fmt: skip
    main(options)
    main(options)  # a check picture alone is not in the way
    said = capsys.readouterr().err
    assert "box 120,60,200,220" in said and "nothing predicted" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["check.png"]
    put(tmp_path / "out/mine.txt", "")
    with pytest.raises(SystemExit):
        main(options)
    assert "is there already; name a new folder" in capsys.readouterr().err
