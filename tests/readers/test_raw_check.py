"""What the raw check says of trees that lack something: by row of the tables, by kind, with the way out."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines import frames, raw_check
from sahmr.body.files import check_body_files
from sahmr.errors import RawDataError
from sahmr.readers.base import Selection
from sahmr.readers.calibration import read_json, read_json_transform, read_rich_calibration
from sahmr.readers.images import image_size
from sahmr.readers.prox import ProxRules
from sahmr.readers.registry import open_reader
from sahmr.readers.rich_listing import RichRules
from sahmr.readers.rich_tables import read_split_table
from sahmr.settings import Paths
from tests.pipelines.damage import refused
from tests.readers.absence_cases import BODIES, CASES, CONTACT, IMAGES, Case, moved, removed
from tests.readers.names_cases import HEADER, ROW
from tests.worlds.raw_trees import RULES, SEQUENCE, SIZE, image, ply, put, write_prox, write_rich
from tests.worlds.small import PARALLEL, paths_of

QUANTITATIVE = ProxRules(parts=("quantitative",))


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


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_what_cannot_be_read_is_not_called_damaged(roots: Roots, code: int) -> None:
    """No "fetch it again" for a sound file whose disk or rights are the trouble."""
    color, pose = (
        roots["prox"] / f"quantitative/{name}" for name in ("calibration/Color.json", "cam2world/vicon.json")
    )
    camera = roots["rich"] / "scan_calibration/CapA/calibration/001.xml"
    table = roots["rich"] / "resource/meta/train.txt"
    picture = next((roots["rich"] / IMAGES).rglob("*.jpeg"))
    remedy = "allow it" if code == errno.EACCES else "check its disk"
    for path, read in (
        (color, read_json), (pose, read_json_transform), (camera, read_rich_calibration), (picture, image_size),
        (table, lambda path: read_split_table(path, "train")),
    ):  # fmt: skip
        says = rf"^{re.escape(str(path))}: cannot be read \({re.escape(os.strerror(code))}\); {remedy}$"
        with refused(path, code), pytest.raises(RawDataError, match=says):
            read(path)
