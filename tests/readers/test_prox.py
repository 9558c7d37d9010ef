"""PROX: frames of reference, mirrored images, publisher defects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sahmr.body.transfer import load_transfer
from sahmr.errors import RawDataError
from sahmr.readers.prox import ProxReader, ProxRules
from sahmr.readers.registry import open_reader
from tests.worlds.raw_trees import FRAME, SHIFT, SIZE, body_points, image, put, smplx_params, write_prox

VICON_KEY = "vicon_03301_01_s001_frame_00001__00-00-00-023"


@pytest.fixture
def reader(tmp_path: Path, bodies: Path) -> ProxReader:
    """Quantitative part only: needs no body model."""
    return ProxReader(root=write_prox(tmp_path / "PROX"), bodies=bodies, rules=ProxRules(parts=("quantitative",)))


def test_quantitative_record(reader: ProxReader, bodies: Path) -> None:
    assert reader.check() == []
    (record,) = reader.frames()
    assert (record.key, record.split, record.frame, record.gender) == (VICON_KEY, "test", 1, "male")
    assert (record.scene_key, record.mirrored, record.contact_file) == ("vicon", True, None)
    camera = load_transfer(bodies / "transfer.npz") @ body_points()
    np.testing.assert_allclose(reader.load_body_world(record), camera + SHIFT, atol=1e-12)
    pixels = camera[:, :2] / camera[:, 2:] * [60, 60.5] + [32, 24]
    np.testing.assert_allclose(record.person_box, [*pixels.min(0), *pixels.max(0)], atol=1e-6)
    assert reader.load_contact(record) is None
    scene = reader.scenes()[0]
    assert (scene.sdf_file, scene.sdf_info_file) == ("quantitative/sdf/vicon_sdf.npy", "quantitative/sdf/vicon.json")


def test_images_are_flipped_back(reader: ProxReader) -> None:
    (record,) = reader.frames()
    pixels = reader.read_image(record, (0, 0, *SIZE), 1)
    assert pixels.shape == (SIZE[1], SIZE[0], 3)
    assert pixels[:, :20].mean() < 20 < 180 < pixels[:, -20:].mean()  # the file is bright on the left
    part = reader.read_image(record, (28, 8, 60, 48), 1)
    np.testing.assert_array_equal(part, pixels[8:48, 28:60])
    quarter = reader.read_image(record, (28, 8, 60, 48), 4)
    assert np.abs(quarter - part.reshape(10, 4, 8, 4, 3).mean((1, 3))).max() < 2


def test_mosh_parameters_are_in_the_vicon_frame(tmp_path: Path, bodies_with_models: Path) -> None:
    """Same parameters: MoSH go through vicon2scene, PROXD through cam2world."""
    root = write_prox(tmp_path / "PROX")
    mosh = root / "quantitative/fittings/mosh/vicon_03301_01"
    (mosh / f"meshes/{FRAME}/000.ply").unlink()
    put(mosh / f"results/{FRAME}/000.pkl", smplx_params(transl=np.array([[0, 0, -4.0]])))
    reader = ProxReader(root=root, bodies=bodies_with_models)
    fitted, moshed = sorted(reader.frames(), key=lambda record: record.key)
    assert (fitted.split, fitted.gender, fitted.sequence) == ("train", "female", "N0Sofa_00162_02")
    flat = reader.load_body_world(fitted) - SHIFT - [0, 0, 4]
    np.testing.assert_allclose(reader.load_body_world(moshed), (flat - np.array([0, 0, 4])) * [1, -1, -1], atol=1e-9)


def test_nan_fits_are_dropped_only_where_documented(tmp_path: Path, bodies_with_models: Path) -> None:
    root = write_prox(tmp_path / "PROX")
    broken = smplx_params(transl=np.full((1, 3), np.nan))
    put(root / f"PROXD/N0Sofa_00162_02/results/{FRAME}/000.pkl", broken)
    reader = ProxReader(root=root, bodies=bodies_with_models, rules=ProxRules(parts=("qualitative",)))
    (task,) = reader.list_bodies().tasks
    result = reader.measure(task)
    assert result.records == () and [(t.rule, t.split, t.count) for t in result.dropped] == [("nan_fit", "train", 1)]
    mosh = root / "quantitative/fittings/mosh/vicon_03301_01"
    (mosh / f"meshes/{FRAME}/000.ply").unlink()
    put(mosh / f"results/{FRAME}/000.pkl", broken)
    with pytest.raises(RawDataError, match=r"NaN or infinite values in \['transl'\]"):
        list(ProxReader(root=root, bodies=bodies_with_models, rules=ProxRules(parts=("quantitative",))).frames())


def test_old_spelling_of_betas(tmp_path: Path, bodies_with_models: Path) -> None:
    root = write_prox(tmp_path / "PROX")
    put(root / f"PROXD/N0Sofa_00162_02/results/{FRAME}/000.pkl", smplx_params(betas=None, beta=np.ones((1, 10))))
    assert (
        len(list(ProxReader(root=root, bodies=bodies_with_models, rules=ProxRules(parts=("qualitative",))).frames()))
        == 1
    )


def test_missing_fits_and_images_are_counted(reader: ProxReader) -> None:
    base = reader.root / "quantitative"
    image(base / "recordings/vicon_03301_01/Color/s001_frame_00002__00.00.00.056.jpg")
    put(base / "fittings/mosh/vicon_03301_01/meshes/s001_frame_00003__00.00.00.089/000.ply", b"never opened")
    dropped = {tally.rule: tally.count for tally in reader.list_bodies().dropped}
    assert dropped == {"no_body": 1, "no_image": 1}


def test_a_recording_in_both_parts_collides(tmp_path: Path, bodies: Path) -> None:
    root = write_prox(tmp_path / "PROX")
    shutil.copytree(root / "quantitative", root / "qualitative", dirs_exist_ok=True)
    put(root / f"PROXD/vicon_03301_01/results/{FRAME}/000.pkl", smplx_params())
    with pytest.raises(RawDataError, match=f"would both be '{VICON_KEY}'; remove one of them"):
        ProxReader(root=root, bodies=bodies).list_bodies()


def test_check_tells_everything_at_once(reader: ProxReader) -> None:
    base = reader.root / "quantitative"
    for name in ("cam2world/vicon.json", "scenes/vicon.ply", "calibration/Color.json", "sdf/vicon.json"):
        (base / name).unlink()
    problems = "\n".join(reader.check())
    assert all(name in problems for name in ("cam2world", "scenes", "Color.json", "sdf/vicon.json"))
    assert (
        open_reader("prox", reader.root / "none", bodies=reader.bodies)
        .check()[0]
        .endswith("(https://prox.is.tue.mpg.de)")
    )
    both = open_reader("prox", base, bodies=reader.bodies)
    assert len(both.check()) == 2 and "frames.prox.parts" in both.check()[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cam2world/vicon.json", json.dumps((np.eye(4) * 2).tolist()), "not a rigid transform"),
        ("cam2world/vicon.json", "[[1, 2]]", "expected a 4x4 matrix"),
        ("cam2world/vicon.json", "{", "not a JSON file"),
        ("calibration/Color.json", json.dumps({"f": [1.0, 2.0]}), "expected 'f'"),
    ],
)
def test_damaged_calibrations(reader: ProxReader, name: str, content: str, message: str) -> None:
    put(reader.root / "quantitative" / name, content)
    with pytest.raises(RawDataError, match=message):
        reader.list_bodies()
