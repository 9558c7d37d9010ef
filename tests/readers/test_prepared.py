"""The authors' prepared folders: the same frames as by the raw road, and one error for each way to be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.readers.prepared import full_size, read_packed_contact
from sahmr.readers.prepared_index import last_parts
from sahmr.readers.prox_prepared import ProxPreparedReader
from sahmr.readers.rich import RichReader
from sahmr.readers.rich_prepared import RichPreparedReader
from sahmr.shards.crop import crop_box
from tests.worlds import prepared as world
from tests.worlds.prepared import Roads


@pytest.mark.parametrize("dataset", ["rich", "prox"])
def test_both_roads_give_the_same_frames(roads: Roads, dataset: str) -> None:
    raw, ours = ({f.key: f for f in roads.reader(road, dataset).frames()} for road in ("raw", "prepared"))
    assert isinstance(roads.reader("raw", "rich"), RichReader)
    assert isinstance(roads.reader("prepared", dataset), RichPreparedReader | ProxPreparedReader)
    assert roads.reader("prepared", dataset).check() == []
    assert sorted(ours) == sorted(raw) and {"test"} <= {frame.split for frame in raw.values()}
    same = ("split", "sequence", "camera", "frame", "subject", "gender", "scene_key", "intrinsics", "mirrored")
    for key, frame in ours.items():
        assert [getattr(frame, name) for name in same] == [getattr(raw[key], name) for name in same]
        np.testing.assert_allclose(frame.camera_from_world, raw[key].camera_from_world, atol=1e-9)
        boxes = [crop_box(np.array(f.person_box)) for f in (frame, raw[key])]
        np.testing.assert_allclose(*boxes, rtol=0, atol=1)
        assert (frame.contact_file is None) == (raw[key].contact_file is None)


def test_bodies_and_labels_are_those_of_the_raw_road(roads: Roads) -> None:
    """Meshes to the bit; SMPL-H bodies, told by their shapes, within the centimetre that the models differ by."""
    readers = {road: roads.reader(road, "rich") for road in ("raw", "prepared")}
    frames = {road: {f.key: f for f in reader.frames()} for road, reader in readers.items()}
    for key, frame in frames["prepared"].items():
        raw = frames["raw"][key]
        bodies = [readers[road].load_body_world(frames[road][key]) for road in readers]
        np.testing.assert_allclose(*bodies, rtol=0, atol=0 if frame.split == "test" else 1e-2)
        np.testing.assert_array_equal(
            *(readers[road].load_contact(f) for road, f in (("raw", raw), ("prepared", frame)))
        )


def test_the_folder_is_known_by_content(roads: Roads, tmp_path: Path) -> None:
    other = world.copied(roads, tmp_path)
    root = other.folder / "prepared/RICH"
    (root / "sahmr_support").rename(root / "what the authors sent")
    keys = [task.views[0].key for task in other.reader("prepared", "rich").list_bodies().tasks]
    assert keys == [task.views[0].key for task in roads.reader("prepared", "rich").list_bodies().tasks]
    alone = root / "what the authors sent"
    assert RichPreparedReader.recognises(alone)
    assert ProxPreparedReader.recognises(other.folder / "prepared/PROX/quantitative/sahmr_support")
    assert not RichPreparedReader.recognises(roads.folder / "raw/RICH")
    assert not ProxPreparedReader.recognises(roads.folder / "raw/PROX")
    assert not RichPreparedReader.recognises(tmp_path / "none")


def test_only_the_chosen_splits_are_needed(roads: Roads, tmp_path: Path) -> None:
    other = world.copied(roads, tmp_path)
    root = other.folder / "prepared/RICH"
    (root / "images_ds4").rename(tmp_path / "elsewhere")
    told = other.reader("prepared", "rich").check()
    assert len(told) == 2 and all("images that the index of split" in line for line in told)
    assert "take train out of frames.rich.splits" in told[0]
    assert "/home/author/code/SA-HMR/datasets/RICH/images_ds4/train/" in told[0]
    test = other.reader("prepared", "rich", splits=("test",))
    assert test.check() == []
    assert {task.split for task in test.list_bodies().tasks} == {"test"}
    assert {scene.scene_key for scene in test.scenes()} == {"Gym_scan_camcoord"}
    allowed = other.reader("prepared", "rich", allow_absent=True)
    assert allowed.check() == []
    dropped = {(tally.rule, tally.split) for tally in allowed.list_bodies().dropped}
    assert dropped == {("no_image", "train"), ("no_image", "val")}


def test_the_rules_apply_to_train_and_val_whose_indexes_list_all_frames(roads: Roads, tmp_path: Path) -> None:
    """Their loader selects while it reads; nobody makes quarter-size images of what it leaves out."""
    other, changed = world.copied(roads, tmp_path), dict[str, str]()

    def add(rows: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """A row in the warm-up, and one between the sampled ones."""
        row = rows[0]
        sequence, camera, frame, subject = row["img_key"].rsplit("_", 3)
        fresh = {}
        for number in (45 - (45 + int(camera)) % 15, int(frame) + 1):
            changed[f"{sequence}_{camera}_{number:05d}_{subject}"] = row["img_key"]
            new = {name: value.replace(frame, f"{number:05d}") if isinstance(value, str) else value
                   for name, value in row.items()}  # fmt: skip
            fresh[len(rows) + len(fresh)] = new
        return {**rows, **fresh}

    root = other.folder / "prepared/RICH"
    in_train("idx2meta", add)(root)
    in_train("img2gtbbx", lambda boxes: {**boxes, **{new: boxes[old] for new, old in changed.items()}})(root)
    reader = other.reader("prepared", "rich", splits=("train",))
    assert reader.check() == []
    listing, before = reader.list_bodies(), roads.reader("prepared", "rich", splits=("train",)).list_bodies()
    assert [task.body_file for task in listing.tasks] == [task.body_file for task in before.tasks]
    assert {(tally.rule, tally.count) for tally in listing.dropped} == {("warmup", 1), ("interval", 1)}
    (_, sequence) = {(task.split, task.sequence) for task in listing.tasks}.pop()
    without = other.reader("prepared", "rich", splits=("train",), multi_person=(sequence,)).list_bodies()
    assert without.tasks == () and {tally.rule for tally in without.dropped} == {"multi_person"}
    (line,) = other.reader("prepared", "rich", splits=("train",), multi_person=("BBQ_001_gitar",)).check()
    assert "allowed a sequence that the split tables name, as BBQ_001_guitar" in line


def test_a_person_outside_the_image_is_dropped(roads: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = roads.reader("prepared", "rich", splits=("train",))
    task = reader.list_bodies().tasks[0]
    monkeypatch.setattr("sahmr.readers.prepared.image_size", lambda path: (4, 4))
    monkeypatch.setattr("sahmr.readers.prepared.check_fits_camera", lambda *_: None)
    measured = reader.measure(task)
    assert measured.records == () and {tally.rule for tally in measured.dropped} == {"visibility"}


def test_a_scan_without_field_needs_its_mesh(roads: Roads, tmp_path: Path) -> None:
    """Voxels have no front: nothing says on which side of them the distance is negative."""
    other = world.copied(roads, tmp_path)
    root = other.folder / "prepared/RICH"
    first(root, "scene_info/BBQ/*_mysdf.json").unlink()
    (line,) = other.reader("prepared", "rich").check()
    assert "scan_camcoord_mysdf.json" in line and "put RICH's scan_calibration" in line
    dropped = other.reader("prepared", "rich", allow_absent=True).list_bodies().dropped
    assert {(tally.rule, tally.split) for tally in dropped} == {("no_scene", "train")}
    mesh = root / "scan_calibration/BBQ/scan_camcoord.ply"
    mesh.parent.mkdir(parents=True)
    mesh.symlink_to(roads.folder / "raw/RICH/scan_calibration/BBQ/scan_camcoord.ply")
    reader = other.reader("prepared", "rich")
    assert reader.check() == []
    (record,) = (scene for scene in reader.scenes() if scene.scene_key.startswith("BBQ"))
    assert record.scan_file == "scan_calibration/BBQ/scan_camcoord.ply" and record.sdf_file is None


@dataclass(frozen=True)
class Bad:
    """A change of the prepared tree and what is said of it; ``late``: only when a frame is measured."""

    name: str
    dataset: str
    change: Callable[[Path], Any]
    says: str
    late: bool = False


def first(root: Path, pattern: str) -> Path:
    return min(root.glob(f"sahmr_support/{pattern}"))


def crop_of(width: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = first(root, "test_split/image/*.png")
        path.unlink()
        Image.fromarray(np.zeros((224, width, 3), np.uint8)).save(path)

    return change


def set_labels(array: np.ndarray) -> Callable[[Path], None]:
    return lambda root: world.put_array(first(root, "test_split/contact/*/*/*.npy"), array)


def in_index(**changes: Any) -> Callable[[Path], None]:
    return lambda root: world.change_rows(root / world.INDEX, **changes)


def in_train(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda root: world.change_pickle(root / f"sahmr_support/train_split/meta/{name}.pkl", change)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


PROX = "quantitative/sahmr_support"
BAD = [
    Bad("crop of another size", "rich", crop_of(223), r"\.png: crop is 223x224, allowed: 224x224"),
    Bad("crop missing", "rich", lambda root: first(root, "test_split/image/*.png").unlink(),
        r"1 of \d+ crops that the index of split 'test' names are absent"),
    Bad("mesh missing", "rich", lambda root: first(root, "test_split/gt_smplx_mesh/*.ply").unlink(),
        r"1 of \d+ bodies that the index of split 'test' names"),
    Bad("calibration missing", "rich", lambda root: first(root, "scene_info/Gym/calibration/000.xml").unlink(),
        r"1 of \d+ calibrations that the index of split 'test' names"),
    Bad("field missing", "rich", lambda root: first(root, "scene_info/Gym/*_mysdf.npy").unlink(),
        r"1 of 3 voxels and distance fields of scans .* absent .*scan_camcoord_mysdf\.npy.*scan_calibration"),
    Bad("labels of another length", "rich", set_labels(np.zeros(6890, np.uint8)),
        r"contact labels are uint8 \(6890,\); allowed: uint8 \(862,\)"),
    Bad("padding set", "rich", set_labels(np.full(862, 255, np.uint8)),
        "bits behind the 6890 contact labels"),
    Bad("box not square", "rich", in_index(test_squared_bbx_lurb=np.array([0, 0, 10, 20])),
        "box of a crop must be square"),
    Bad("box of somebody else", "rich", in_index(test_squared_bbx_lurb=np.array([0.0, 0, 9, 9])),
        r"the two do not belong together", late=True),
    Bad("box not finite", "rich", in_index(test_squared_bbx_lurb=np.array([np.nan, 0, 9, 9])),
        "a box is .*; allowed: left"),
    Bad("key leads elsewhere", "rich", in_index(img_key="../../x"), "'img_key' is '../../x', allowed"),
    Bad("key of another scene", "rich", in_index(scene_key="BBQ_scan_camcoord"), "does not belong to sequence"),
    Bad("code in the index", "rich", lambda root: world.put_array(root / world.INDEX, np.array([Evil()], dtype=object)),
        "not read, found class"),
    Bad("paths that match no file", "rich",
        in_train("idx2meta", lambda rows: {n: {**row, "img_file": "/a/b/c/d.jpeg"} for n, row in rows.items()}),
        r"(\d+) of \1 images .*; its index has /a/b/c/d\.jpeg, looked for as .*images_ds4/train/b/c/d\.jpeg"),
    Bad("no such paths", "rich",
        in_train("idx2meta", lambda rows: {n: {**row, "body_file": "../b.pkl"} for n, row in rows.items()}),
        "'body_file' is '../b.pkl', allowed: a path that ends in 3 plain names"),
    Bad("boxes of other frames", "rich", in_train("img2gtbbx", lambda boxes: {"a": [0, 0, 1, 1]}), "has no box of BBQ"),
    Bad("index of nothing", "rich", in_train("idx2meta", lambda rows: {}), "must hold descriptions"),
    Bad("image missing", "prox", lambda root: min((root / PROX / "image").rglob("*.jpg")).unlink(),
        r"1 of \d+ images that the index of split 'test' names"),
    Bad("field missing", "prox", lambda root: (root / PROX / "vicon/vicon_sdf.npy").unlink(),
        r"absent .*vicon_sdf\.npy"),
    Bad("no boxes", "prox", lambda root: (root / PROX / "img2gtbbx/mosh_mesh.pkl").unlink(), "no such file"),
    Bad("damaged index", "prox", lambda root: world.put(root / PROX / "meta/mosh_mesh_test.pkl", b"cos\nsystem\n."),
        "not read, found"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.dataset} {bad.name}")
def test_bad_input_is_one_error(roads: Roads, tmp_path: Path, bad: Bad, capsys: pytest.CaptureFixture[str]) -> None:
    other = world.copied(roads, tmp_path)
    bad.change(other.folder / "prepared" / bad.dataset.upper())
    reader = other.reader("prepared", bad.dataset)
    if bad.late:
        assert reader.check() == []
        with pytest.raises(RawDataError, match=bad.says):
            list(reader.frames())
        return
    (line,) = reader.check()
    assert re.search(bad.says, line), line
    assert "executed" not in capsys.readouterr().out


def test_last_parts_of_foreign_paths() -> None:
    row = {
        "a": "/x/test_contact/S/00001/009.npy",
        "b": r"C:\data\S\00001\009.npy",
        "c": "009.npy",
        "d": "/x/../S/f.npy",
        "e": "//x//y.npy",
        "f": "/x/mosh/vicon/000.ply",
    }
    assert last_parts("here", row, "a", 3, "test_contact") == "S/00001/009.npy"
    assert last_parts("here", row, "b", 3) == "S/00001/009.npy"
    assert last_parts("here", row, "f", 4, "mosh") == "vicon/000.ply"  # whatever follows it lies below our folder
    for key in ("c", "d", "e", "missing"):
        with pytest.raises(RawDataError, match=f"here: '{key}' is"):
            last_parts("here", row, key, 3)


def test_labels_are_unpacked_from_the_big_end(tmp_path: Path) -> None:
    packed = np.zeros(862, np.uint8)
    packed[0], packed[861] = 0b01000000, 0b01000000
    np.save(tmp_path / "a.npy", packed)
    assert np.flatnonzero(read_packed_contact(tmp_path / "a.npy")).tolist() == [1, 6889]


def test_the_full_size_is_the_published_one_that_fits() -> None:
    def k(x: float, y: float) -> np.ndarray:
        return np.array([[3500.0, 0, x], [0, 3500.0, y], [0, 0, 1]])

    assert full_size(k(2147, 1301)) == (4112, 3008)
    assert full_size(k(1480, 2135)) == (3008, 4112)
    assert full_size(k(128, 93.5)) == (257, 188)


def test_a_raw_tree_is_read_by_splits_too(roads: Roads) -> None:
    reader = roads.reader("raw", "rich", splits=("val",))
    assert reader.check() == []
    listing = reader.list_bodies()
    assert {task.split for task in listing.tasks} == {"val"}
    assert {tally.split for tally in (*listing.dropped, *listing.absent)} <= {"val"}
