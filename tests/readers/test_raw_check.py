"""What the raw check says of trees that lack something: by row of the tables, by kind, with the way out."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from pipelines import frames, raw_check
from sahmr.body.files import check_body_files
from sahmr.readers.base import Selection
from sahmr.readers.prox import ProxRules
from sahmr.readers.registry import open_reader
from sahmr.readers.rich_listing import RichRules
from sahmr.settings import Paths
from tests.readers.names_cases import HEADER, ROW
from tests.worlds.raw_trees import FRAME, RULES, SEQUENCE, SIZE, image, ply, put, smplx_params, write_prox, write_rich
from tests.worlds.small import PARALLEL, paths_of

IMAGES, BODIES, CONTACT = (f"{kind}/train/{SEQUENCE}" for kind in ("images", "bodies", "human_scene_contact"))
QUANTITATIVE = ProxRules(parts=("quantitative",))
MALE, FEMALE = "\tX\tmale", "\tX\tfemale"
VICON = "vicon_03301_01"
MOSH, RECORDING = f"quantitative/fittings/mosh/{VICON}", f"quantitative/recordings/{VICON}"


class Roots(dict[str, Path]):
    """Trees, written when they are asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, tree: str) -> Path:
        self[tree] = (write_rich if tree == "rich" else write_prox)(self.folder / tree.upper())
        return self[tree]


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path)


def removed(*names: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for name in names:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def moved(source: str, target: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / source).rename(root / "aside")
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / "aside").rename(root / target)

    return change


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for one in changes:
            one(root)

    return change


def emptied(folder: str) -> Callable[[Path], None]:
    return both(removed(folder), lambda root: (root / folder).mkdir())


def written(name: str, text: str | bytes) -> Callable[[Path], None]:
    return lambda root: void(put(root / name, text))


def void(_: object) -> None: ...


def fits_without_meshes(root: Path) -> None:
    shutil.rmtree(root / MOSH / "meshes")
    put(root / f"{MOSH}/results/{FRAME}/000.pkl", smplx_params())


def full_size_in_quarter(root: Path) -> None:
    (root / "images").rename(root / "images_ds4")


@dataclass(frozen=True)
class Case:
    """What is done to a sound tree, the one line expected, and the rule that counts it where absence is allowed."""

    name: str
    tree: str
    change: Callable[[Path], None]
    says: str
    rule: str | None = None


CASES = (
    Case("sequence", "rich", removed(IMAGES, BODIES),
         rf"^1 of 1 sequences of split 'train' are absent, .*images/train .*bodies/train .*: {SEQUENCE}; images and",
         "absent_sequence"),
    Case("images", "rich", removed(IMAGES), rf"have no image cam_CC.*images/train .*images_ds4/train .*: {SEQUENCE};",
         "absent_images"),
    Case("empty images", "rich", emptied(IMAGES), "1 of 1 sequences of split 'train' have no image", "absent_images"),
    Case("images of other names", "rich",
         both(removed(f"{IMAGES}/cam_01"), moved(f"{IMAGES}/cam_00/00060_00.jpeg", f"{IMAGES}/cam_01/60_1.jpeg")),
         rf"1 of 2 cameras .*: {SEQUENCE}/cam_01;", "absent_camera"),
    Case("a listed camera", "rich", removed(f"{IMAGES}/cam_01"), rf"1 of 2 cameras .* beside .*: {SEQUENCE}/cam_01; .*"
         "take the camera out of the table's view_id", "absent_camera"),
    Case("an empty camera", "rich", emptied(f"{IMAGES}/cam_01"), rf"1 of 2 cameras .*: {SEQUENCE}/cam_01;",
         "absent_camera"),
    Case("bodies", "rich", removed(BODIES), rf"1 of 1 people .* have no body .*bodies/train .*: {SEQUENCE}/005;",
         "absent_bodies"),
    Case("bodies of one of two people", "rich",
         written("resource/meta/train.txt", f"{HEADER}\n{ROW}\n{ROW.replace(f'5{MALE}', f'9{FEMALE}')}"),
         rf"1 of 2 people .* have no body .*: {SEQUENCE}/009;", "absent_bodies"),
    Case("scan", "rich", removed("scan_calibration/CapA/scan_camcoord.ply"),
         r"1 of 1 scans .* absent under .*scan_calibration \(or data/.*: CapA/scan_camcoord.ply;", "absent_scan"),
    Case("calibration", "rich", removed("scan_calibration/CapA/calibration/001.xml"),
         "1 of 2 calibrations .*: CapA/calibration/001.xml; scan_calibration.zip", "absent_calibration"),
    Case("sequence in itself", "rich", moved(IMAGES, f"{IMAGES}/{SEQUENCE}"),
         rf"have no image .*; found in another place: {IMAGES}/{SEQUENCE}; move", "absent_images"),
    Case("kind in a kind", "rich", moved(IMAGES, f"images/train/images/{SEQUENCE}"),
         rf"found in another place: images/train/images/{SEQUENCE}; move", "absent_images"),
    Case("split in itself", "rich", moved("images/train", "images/train/train"),
         rf"found in another place: images/train/train/{SEQUENCE}; move", "absent_images"),
    Case("without a split", "rich", moved(IMAGES, f"images/{SEQUENCE}"),
         rf"found in another place: images/{SEQUENCE}; move", "absent_images"),
    Case("another split", "rich", moved(IMAGES, f"images/val/{SEQUENCE}"),
         rf"found in another place: images/val/{SEQUENCE}; move", "absent_images"),
    Case("prefix of an old archive", "rich", moved("bodies", "ps/project/multi-ioi/rich_release/bodies"),
         rf"have no body .*found in another place: ps/project/multi-ioi/rich_release/{BODIES}; move", "absent_bodies"),
    Case("blank at the end", "rich", moved(IMAGES, f"{IMAGES} "), rf"found in another place: {IMAGES} ; move",
         "absent_images"),
    Case("scans in themselves", "rich", moved("scan_calibration/CapA", "scan_calibration/scan_calibration/CapA"),
         "1 of 1 scans .*found in another place: scan_calibration/scan_calibration/CapA; move", None),
    Case("table without rows", "rich", written("resource/meta/val.txt", HEADER), "val.txt: a header and no row"),
    Case("root too high", "rich", lambda root: both(*(moved(n, f"RICH/{n}") for n in
         ("images", "bodies", "resource", "scan_calibration")))(root),
         "none of train.txt.*found in another place: RICH/resource/meta; point raw.rich"),
    Case("full images in the quarter-size folder", "rich", full_size_in_quarter,
         rf"images_ds4/train: the images of 1 sequences .* do not fit their calibrations: {SEQUENCE}; as .*64x48"),
    Case("recording's images", "prox", removed(f"{RECORDING}/Color"),
         rf"1 of 1 recordings of PROX quantitative \(split 'test'\) have no image REC/Color/FRAME.jpg .*: {VICON};",
         "absent_images"),
    Case("empty recording", "prox", both(removed(MOSH), emptied(RECORDING)), rf"1 of 1 .* are empty, .*: {VICON};",
         "absent_recording"),
    Case("recording's fits", "prox", removed(MOSH), rf"have no fit under .*fittings/mosh: {VICON};", "absent_fits"),
    Case("recording in itself", "prox", moved(RECORDING, f"{RECORDING}/{VICON}"),
         rf"found in another place: {RECORDING}/{VICON}; move", "absent_images"),
    Case("recordings in themselves", "prox", moved("quantitative/recordings", "quantitative/recordings/recordings"),
         rf"found in another place: quantitative/recordings/recordings/{VICON}; move", "absent_images"),
    Case("camera pose", "prox", removed("quantitative/cam2world/vicon.json"),
         "1 of 1 scenes .* have no camera pose under .*cam2world: vicon.json; PROX quantitative", "absent_pose"),
    Case("PROX scan", "prox", removed("quantitative/scenes/vicon.ply"),
         "1 of 1 scenes .* have no scan under .*scenes: vicon.ply;", "absent_scan"),
    Case("Vicon frame", "prox", both(fits_without_meshes, removed("quantitative/vicon2scene.json")),
         rf"vicon2scene.json is missing, and 1 of 1 .* MoSH parameters .*without a mesh .*: {VICON};",
         "absent_vicon2scene"),
    Case("neither meshes nor results", "prox", emptied(f"{MOSH}/meshes"), "have no fit under", "absent_fits"),
    Case("part in itself", "prox", moved("quantitative", "quantitative/quantitative"),
         "found in another place: quantitative/quantitative/recordings; move it up"),
    Case("root too high for PROX", "prox", moved("quantitative", "PROX/quantitative"),
         "quantitative: missing; found in another place: PROX/quantitative; move it up"),
    Case("no recording", "prox", removed("quantitative/recordings", "quantitative/fittings"),
         "recordings: no recording SCENE_SUBJECT_NN"),
    Case("color camera", "prox", removed("quantitative/calibration/Color.json"), "Color.json: missing; color camera"),
    Case("half a distance field", "prox", removed("quantitative/sdf/vicon.json"),
         "vicon.json: missing; extent of the distance field.*remove .*vicon_sdf.npy"),
)  # fmt: skip


def rules_of(tree: str, *, allow: bool = False) -> Selection:
    return replace(RULES if tree == "rich" else QUANTITATIVE, allow_absent=allow)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_absence_is_told_and_may_be_allowed(roots: Roots, case: Case) -> None:
    root = roots[case.tree]
    assert raw_check.check_tree(case.tree, root, rules_of(case.tree), bodies=root) == []
    case.change(root)
    lines = raw_check.check_tree(case.tree, root, rules_of(case.tree), bodies=root)
    told = [line for line in lines if re.search(case.says, line)]
    assert len(told) == 1, lines
    if case.rule is None:
        return
    assert lines == told and f"set frames.{case.tree}.allow_absent of params.yaml to true" in told[0]
    allowed = open_reader(case.tree, root, bodies=root, rules=rules_of(case.tree, allow=True))
    assert allowed.check() == []
    absent = {tally.rule: tally.count for tally in allowed.list_bodies().absent}
    assert absent[case.rule] == 1
    assert all((root / scene.scan_file).is_file() for scene in allowed.scenes())


@pytest.mark.parametrize(
    ("full", "empty"),
    [
        (f"JPG_images/train/{SEQUENCE}", IMAGES), (f"data/images/train/{SEQUENCE}", IMAGES),
        (f"images_ds4/train/{SEQUENCE}", IMAGES), (f"data/JPG_images/train/{SEQUENCE}", f"{IMAGES}/cam_00"),
        (f"train_body/{SEQUENCE}", BODIES), (f"data/bodies/train/{SEQUENCE}", f"{BODIES}/00060"),
        (f"train_hsc/{SEQUENCE}", f"{CONTACT}/00060"), ("data/scan_calibration", "scan_calibration/CapA/calibration"),
    ],
)  # fmt: skip
def test_an_empty_folder_hides_no_full_one(roots: Roots, full: str, empty: str) -> None:
    root = roots["rich"]
    rules = replace(RULES, images="auto")
    before = open_reader("rich", root, bodies=root, rules=rules).list_bodies()
    source = next(name for name in (IMAGES, BODIES, CONTACT, "scan_calibration") if empty.startswith(name))
    moved(source, full)(root)
    (root / empty).mkdir(parents=True)
    if "ds4" in full:
        for path in (root / full).rglob("*.jpeg"):
            image(path, (SIZE[0] // 4, SIZE[1] // 4))
    reader = open_reader("rich", root, bodies=root, rules=rules)
    assert reader.check() == []
    found = reader.list_bodies()
    assert [task.views[0].key for task in found.tasks] == [task.views[0].key for task in before.tasks]
    assert [t.contact_file is None for t in found.tasks] == [t.contact_file is None for t in before.tasks]
    assert found.dropped == before.dropped and found.absent == before.absent


def test_a_table_without_rows_hides_no_full_one(roots: Roots) -> None:
    root = roots["rich"]
    moved("resource/meta/train.txt", "data/resource/meta/train.txt")(root)
    put(root / "resource/meta/train.txt", HEADER)
    assert open_reader("rich", root, bodies=root, rules=RULES).check() == []


def test_many_absences_are_one_line(roots: Roots) -> None:
    root = roots["rich"]
    rows = [ROW.replace(SEQUENCE, f"CapA_005_made{n:02d}") for n in range(62)]
    put(root / "resource/meta/test.txt", "\n".join([HEADER, *rows]))
    (line,) = raw_check.check_tree("rich", root, RULES, bodies=root)
    assert line.startswith("62 of 62 sequences of split 'test' are absent")
    assert "CapA_005_made00, CapA_005_made01, CapA_005_made02 ... and 59 more; " in line
    assert str(root / "resource/meta/test.txt") in line


def test_frames_drops_nothing_that_was_not_announced(
    roots: Roots, bodies: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A tree with an absence of every kind: the check's lines and the stage's report have the same counts."""
    root = roots["rich"]
    names = ["CapA_005_none", "CapA_005_bodies", "CapA_005_images", "CapA_005_noscan"]
    rows = [ROW, *(ROW.replace(SEQUENCE, name) for name in names)]
    rows[-1] = rows[-1].replace("scan_camcoord", "scan_other")
    put(root / "resource/meta/train.txt", "\n".join([HEADER, *rows]).replace("0,1", "0,1,2,3"))
    shutil.copy(root / "scan_calibration/CapA/calibration/001.xml", root / "scan_calibration/CapA/calibration/002.xml")
    for kind, name in (("images", names[2]), ("bodies", names[1]), ("images", names[3]), ("bodies", names[3])):
        shutil.copytree(root / f"{kind}/train/{SEQUENCE}", root / f"{kind}/train/{name}")
    image(root / f"images/train/{SEQUENCE}/cam_00/00090_00.jpeg")  # no body
    put(root / f"bodies/train/{SEQUENCE}/00105/005.ply", ply(np.zeros((3, 3))))  # no image
    put(root / f"images/train/{SEQUENCE}/cam_00/Thumbs.db", "")
    rules = replace(RULES, allow_absent=True)
    with caplog.at_level(logging.INFO, logger="sahmr"):
        assert raw_check.check_tree("rich", root, rules, bodies=bodies) == []
    announced = caplog.messages
    paths: Paths = replace(paths_of(tmp_path / "out"), bodies=bodies)
    frames.run("rich", rules, paths, PARALLEL, raw=root)
    report = json.loads((paths.reports / "frame_counts_rich.json").read_text())
    counts = {
        (rule, split): n
        for group in ("absent", "dropped")
        for rule, by_split in report[group].items()
        for split, n in by_split.items()
    }
    found = [re.search(r": (\d+) of split (\w+) \((\w+)\)$", line) for line in announced]
    assert {(m[3], m[2]): int(m[1]) for m in found if m} == counts
    assert {
        "absent_sequence", "absent_images", "absent_bodies", "absent_camera", "absent_scan", "absent_calibration",
        "absent_table", "absent_contact", "no_scene", "no_body", "no_image", "warmup", "interval",
        "uncalibrated_camera",
    } == {rule for rule, _ in counts}  # fmt: skip
    assert report["ignored"] == {"images/SPLIT/SEQ/cam_CC": 1}
    assert announced[-1].endswith(f"1 in images/SPLIT/SEQ/cam_CC (first: images/train/{SEQUENCE}/cam_00/Thumbs.db)")


def test_everything_wrong_is_in_one_list(roots: Roots) -> None:
    """Damaged calibrations and tables beside absent things, none of them twice."""
    root = roots["rich"]
    for camera in (0, 1):
        put(root / f"scan_calibration/CapA/calibration/00{camera}.xml", "<a>")
    put(root / "resource/meta/val.txt", f"{HEADER}\n{ROW}\tX")
    removed(BODIES)(root)
    lines = raw_check.check_tree("rich", root, RULES, bodies=root)
    assert len(lines) == len(set(lines))
    told = "\n".join(lines)
    assert all(text in told for text in ("val.txt, line 2: 8 cells", "have no body"))
    (root / "resource/meta/val.txt").unlink()
    told = "\n".join(raw_check.check_tree("rich", root, RULES, bodies=root))
    assert all(text in told for text in ("000.xml: not an XML", "001.xml: not an XML", "have no body"))


def test_body_files_one_folder_too_deep_or_empty(tmp_path: Path) -> None:
    put(tmp_path / "models/smplx/smplx/SMPLX_MALE.npz", "x")
    put(tmp_path / "models/SMPLX_FEMALE (1).npz", "x")
    told = "\n".join(check_body_files(tmp_path))
    assert "found in another place: models/smplx/smplx/SMPLX_MALE.npz; move it" in told
    assert "SMPLX_FEMALE.npz: missing" in told and "(1)" not in told


@pytest.mark.parametrize("rules", [RichRules, ProxRules])
def test_absence_is_not_allowed_unless_asked(rules: type[Selection]) -> None:
    assert rules().allow_absent is False
