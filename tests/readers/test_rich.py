"""RICH: rules, boxes, labels, and what is said of damaged trees."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sahmr.body.transfer import load_transfer
from sahmr.errors import RawDataError
from sahmr.readers.base import Measured, Tally
from sahmr.readers.rich import RichReader
from sahmr.readers.rich_listing import RichRules
from schemas.frame import FrameRecord
from tests.worlds.raw_trees import (
    RULES,
    SEQUENCE,
    SIZE,
    K,
    body_points,
    contact,
    image,
    ply,
    put,
    smplx_params,
    write_rich,
    xml,
)


@pytest.fixture
def reader(tmp_path: Path, bodies: Path) -> RichReader:
    return RichReader(root=write_rich(tmp_path / "RICH"), bodies=bodies, rules=RULES)


def measured(reader: RichReader) -> list[Measured]:
    return [reader.measure(task) for task in reader.list_bodies().tasks]


def counts(tallies: tuple[Tally, ...]) -> dict[str, int]:
    return {tally.rule: tally.count for tally in tallies}


def only(reader: RichReader) -> FrameRecord:
    return next(reader.frames())


def test_rules_by_hand(reader: RichReader) -> None:
    """Camera 0 keeps frame 60 and lacks a body for 75; camera 1 keeps 74; 30 is warm-up, 61 off the interval."""
    listing = reader.list_bodies()
    assert reader.check() == []
    assert [view.key for task in listing.tasks for view in task.views] == [
        f"{SEQUENCE}_0_00060_5",
        f"{SEQUENCE}_1_00074_5",
    ]
    # interval: camera 0 drops 61, 74; camera 1 drops 60, 61, 75
    assert counts(listing.dropped) == {"uncalibrated_camera": 5, "warmup": 2, "interval": 5, "no_body": 1}


def test_record(reader: RichReader, bodies: Path) -> None:
    record = only(reader)
    vertices = load_transfer(bodies / "transfer.npz") @ body_points()
    np.testing.assert_array_equal(reader.load_body_world(record), vertices)
    pixels = vertices[:, :2] / vertices[:, 2:] * 60 + [32, 24]
    np.testing.assert_allclose(record.person_box, [*pixels.min(0), *pixels.max(0)], atol=1e-9)
    assert (record.gender, record.subject, record.split, record.scene_key) == (
        "male",
        "005",
        "train",
        "CapA_scan_camcoord",
    )
    assert (record.image_width, record.image_height, record.mirrored) == (*SIZE, False)
    assert record.image_file == f"images/train/{SEQUENCE}/cam_00/00060_00.jpeg" and len(record.image_sha256) == 64
    assert record.body_file.endswith("00060/005.ply") and record.contact_file is not None
    labels = reader.load_contact(record)
    assert labels is not None and labels.dtype == bool and labels.sum() == len(range(0, 6890, 7)) and labels[7]
    assert reader.read_image(record, (0, 0, *SIZE), 1).shape == (SIZE[1], SIZE[0], 3)
    assert [scene.scan_file for scene in reader.scenes()] == ["scan_calibration/CapA/scan_camcoord.ply"]


def test_mesh_and_parameters_agree(tmp_path: Path, bodies_with_models: Path) -> None:
    """Without the mesh the parameters are evaluated; both give the model's own vertices."""
    from sahmr.body.model import clean_path, load_clean
    from sahmr.body.skinning import BodyParams, pose_body

    reader = RichReader(root=write_rich(tmp_path / "RICH"), bodies=bodies_with_models)
    place = reader.root / f"bodies/train/{SEQUENCE}/00060"
    put(place / "005.pkl", smplx_params())
    rest = {
        "betas": np.zeros(10),
        "global_orient": np.zeros(3),
        "body_pose": np.zeros(63),
        "transl": np.array([0, 0, 4.0]),
    }
    vertices = pose_body(load_clean(clean_path(bodies_with_models, "smplx", "male")), BodyParams(**rest))
    put(place / "005.ply", ply(vertices))
    mesh = reader.load_body_world(only(reader))
    (place / "005.ply").unlink()
    record = only(reader)
    assert record.body_file.endswith("005.pkl")
    np.testing.assert_allclose(reader.load_body_world(record), mesh, atol=1e-6)


def test_unknown_contact_is_kept_and_counted(reader: RichReader) -> None:
    place = reader.root / f"human_scene_contact/train/{SEQUENCE}"
    put(place / "00060/005.obj", "v 0 0 0\n")  # no colors: labels unknown
    (place / "00074/005.pkl").unlink()
    results = measured(reader)
    assert [record.contact_file for result in results for record in result.records] == [None, None]
    assert [counts(result.notes) for result in results] == [{"contact_unknown": 1}] * 2
    assert reader.load_contact(only(reader)) is None


def test_bodies_outside_or_behind_are_dropped_and_counted(reader: RichReader) -> None:
    place = reader.root / f"bodies/train/{SEQUENCE}"
    put(place / "00060/005.ply", ply(body_points((9.0, 0.0, 4.0))))
    put(place / "00074/005.ply", ply(body_points((0.0, 0.0, 0.2))))
    assert [counts(result.dropped) for result in measured(reader)] == [{"visibility": 1}, {"behind_camera": 1}]


def test_multi_person_missing_images_and_unlisted_cameras(reader: RichReader) -> None:
    reader = replace(reader, rules=RichRules(multi_person=("CapB_009_021_both",)))
    assert [line for line in reader.check() if "multi_person" in line] == [
        "params.yaml: frames.rich.multi_person: found 'CapB_009_021_both', allowed a sequence that the split tables "
        "name; correct or remove it"
    ]
    table = reader.root / "resource/meta/train.txt"
    table.write_text(
        table.read_text().replace("\t0,1", "\t0") + "\nCapB_009_021_both\tCapA\tscan_camcoord\t9\tX\tfemale\t0"
    )
    image(reader.root / "images/train/CapB_009_021_both/cam_00/00060_00.png")
    (reader.root / f"images/train/{SEQUENCE}/cam_00/00060_00.jpeg").unlink()
    listing = reader.list_bodies()
    assert listing.tasks == ()
    got = counts(listing.dropped)
    assert (got["multi_person"], got["unlisted_camera"], got["no_image"]) == (1, 5, 1)


def test_portrait_size_is_read_from_the_file(reader: RichReader) -> None:
    path = reader.root / f"images/train/{SEQUENCE}/cam_00/00060_00.jpeg"
    image(path, (SIZE[1], SIZE[0]))
    with pytest.raises(
        RawDataError, match=r"image is 48x64 but its calibration has the principal point \(32.0, 24.0\)"
    ):
        measured(reader)
    put(
        reader.root / "scan_calibration/CapA/calibration/000.xml",
        xml(np.array([[60.0, 0, 24], [0, 60, 32], [0, 0, 1]])),
    )
    assert only(reader).image_height == 64


def test_check_tells_everything_at_once(reader: RichReader) -> None:
    shutil.rmtree(reader.root / "images")
    (reader.root / "scan_calibration/CapA/scan_camcoord.ply").unlink()
    (reader.root / "scan_calibration/CapA/calibration/001.xml").unlink()
    put(reader.root / "resource/gender.json", '{"5": "female"}')
    table = (reader.root / "resource/meta/train.txt").read_text()
    put(reader.root / "resource/meta/val.txt", table)
    problems = "\n".join(reader.check())
    for text in ("images/train", "images/val", "bodies/val", "scan_camcoord.ply", "001.xml", "subject 5 is female"):
        assert text in problems
    assert "is in the tables of ['train', 'val']" in problems


def test_check_without_tables_or_root(tmp_path: Path, bodies: Path) -> None:
    assert "no such folder" in RichReader(root=tmp_path / "none", bodies=bodies).check()[0]
    assert "none of train.txt" in RichReader(root=tmp_path, bodies=bodies).check()[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (smplx_params(body_pose=None), r"lacks \['body_pose'\]"),
        (smplx_params(surprise=np.zeros(3)), r"unknown body parameters \['surprise'\]"),
        (smplx_params(betas=np.full((1, 10), np.nan)), r"NaN or infinite values in \['betas'\]"),
        (smplx_params(betas=np.zeros((1, 11))), "'betas' has 11 numbers"),
        (smplx_params(left_hand_pose=np.zeros(45), right_hand_pose=np.zeros(45)), "SMPL-X fit with 45 numbers a hand"),
        (pickle.dumps(Path("x")), "class 'pathlib"),
        (pickle.dumps([1]), "expected a dict of body parameters, found list"),
    ],
)
def test_damaged_parameters(reader: RichReader, content: bytes, message: str) -> None:
    place = reader.root / f"bodies/train/{SEQUENCE}/00060"
    (place / "005.ply").unlink()
    put(place / "005.pkl", content)
    with pytest.raises(RawDataError, match=message):
        measured(reader)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.zeros(862, np.uint8), r"6890 zeros and ones, found uint8 \(862,\)"), (np.full(6890, 2), "zeros and ones")],
)
def test_damaged_contact(reader: RichReader, labels: np.ndarray, message: str) -> None:
    put(reader.root / f"human_scene_contact/train/{SEQUENCE}/00060/005.pkl", contact(labels))
    with pytest.raises(RawDataError, match=message):
        measured(reader)


def test_damaged_meshes(reader: RichReader) -> None:
    path = reader.root / f"bodies/train/{SEQUENCE}/00060/005.ply"
    whole = path.read_bytes()
    for content, message in (
        (whole[:-4000], "cut short, the header promises 10475"),
        (b"obj", "not a PLY"),
        (ply(body_points()[:100]), "100 vertices; a body mesh has 10475 or 6890"),
        (ply(body_points() * np.nan), "NaN"),
    ):
        put(path, content)
        with pytest.raises(RawDataError, match=message):
            measured(reader)


def test_damaged_images(reader: RichReader) -> None:
    record = only(reader)
    path = reader.root / record.image_file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RawDataError, match="damaged image"):
        reader.read_image(record, (0, 0, *SIZE), 1)
    path.write_bytes(b"text")
    with pytest.raises(RawDataError, match="not a readable image"):
        measured(reader)
    image(path, (80, 60))
    with pytest.raises(RawDataError, match=r"image is 80x60, frame '.*' was recorded with 64x48"):
        reader.read_image(record, (0, 0, *SIZE), 1)
    with pytest.raises(ValueError, match="cannot be read at 1/4"):
        reader.read_image(record, (0, 0, 62, 48), 4)
    with pytest.raises(ValueError, match="cannot be read at 1/1"):
        reader.read_image(record, (0, 0, 65, 48), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml(K * 1.3), "fx = fy"),
        (xml(K + np.diag([5, 0, 0])), "fx = fy"),
        (xml(extrinsics=np.diag([1.0, 1, -1, 1])[:3]), "det R = -1"),
        (xml(extrinsics=np.hstack([np.eye(3), np.ones((3, 1))])), "must be identity, it is 1 off"),
        (xml(extrinsics=np.eye(4)[:2]), "'CameraMatrix' is 2x4"),
        (xml().replace("Intrinsics", "Intrinsic"), "no node 'Intrinsics'"),
        ("<a>", "not an XML"),
    ],
)
def test_damaged_calibrations(reader: RichReader, text: str, message: str) -> None:
    put(reader.root / "scan_calibration/CapA/calibration/000.xml", text)
    with pytest.raises(RawDataError, match=message):
        reader.list_bodies()
