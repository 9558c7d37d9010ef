"""Damaged raw files: each ends in one clear error or in the quarantine table, and costs nothing else."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from pipelines import frames, shards
from pipelines.conversion import work_store
from sahmr.errors import BodyModelError, QuarantineError, RawDataError
from sahmr.files import folder_digest
from sahmr.readers import bodies
from sahmr.scenes.arrays import left_out_scenes, list_scenes
from sahmr.shards.left_out import read_left_out
from sahmr.shards.reader import read_index
from schemas.frame import FrameRecord
from tests.pipelines import damage as d
from tests.pipelines.damage import Damage, World
from tests.pipelines.damage_cases import CANARY, RULES, WHOLE, Case, Evil, pickled, plan


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, demo_root: Path) -> World:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("damage")
        patch.chdir(folder)
        return d.make_world(folder, demo_root)


@pytest.fixture
def world(converted: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The converted part of the demo, mended afterwards; what is the same for all cases is done once for all."""
    monkeypatch.chdir(converted.folder)
    monkeypatch.setattr(work_store, "version", cached_version)
    for stage in (frames, shards):
        monkeypatch.setattr(stage, "folder_digest", cached_digest)  # of the body models
    with converted.mended():
        yield converted
    assert not (converted.folder / CANARY).exists()


cached_version, cached_digest = lru_cache(work_store.version), lru_cache(folder_digest)


def target(world: World, dataset: str, what: str) -> tuple[str, str, str]:
    """File, item and split that a case is about."""
    rows = world.sound[dataset]
    if what in ("scan", "sdf", "info"):
        key = "BBQ_scan_camcoord" if dataset == "rich" else "vicon"
        names = {"scan": "scenes/vicon.ply", "sdf": "sdf/vicon_sdf.npy", "info": "sdf/vicon.json"}
        scan = "scan_calibration/BBQ/scan_camcoord.ply"
        return (scan if dataset == "rich" else f"quantitative/{names[what]}"), key, ""
    row = next(row for row in rows if (row.body_file.endswith(".pkl")) == (what == "fit"))
    file = row.body_file if what == "fit" else getattr(row, f"{what}_file")
    return str(file), row.key, row.split


@pytest.mark.parametrize(("dataset", "case"), plan())
def test_damaged_file(world: World, dataset: str, case: Case) -> None:
    file, item, split = target(world, dataset, case.what)
    path = world.raw(dataset, file)
    world.put(path, case.damage(path.read_bytes()))
    if case.stage != "frames":
        world.run("frames", dataset)  # headers are in order
    before = world.published("frames", "scenes", "shards")
    with pytest.raises(
        QuarantineError, match=rf"(?s)^{case.stage} {dataset}: 1 damaged raw files, .* allows 0"
    ) as told:
        world.run(case.stage, dataset)
    (row,) = world.quarantined(case.stage, dataset)
    assert (row.item, row.split, row.file, row.rule) == (item, split, file, RULES.get(case.what, case.what))
    assert row.message.startswith(file) and re.search(case.says, row.message), row.message
    assert row.message in str(told.value)
    assert world.published("frames", "scenes", "shards") == before
    report = world.report(f"{case.stage}_{dataset}")
    assert (report["quarantined"], report["planned"]) == (1, report["executed"] + report["reused"])
    world.run(case.stage, dataset, accepted=1)
    assert world.report(f"{case.stage}_{dataset}")["executed"] == 1  # all else was kept
    check_counters(world, dataset, case, world.sound[dataset], item)
    if case.name in WHOLE:
        for stage in ("frames", "scenes", "shards"):
            world.run(stage, dataset, accepted=int(stage == case.stage))
        world.run("verify", dataset)
        wanted = {"damaged": int(case.stage == "shards"), "without_scene": 0}
        if case.stage == "scenes":
            wanted["without_scene"] = sum(row.scene_key == item for row in world.sound[dataset])
        assert world.report(f"verify_{dataset}")["left_out"] == wanted


def check_counters(world: World, dataset: str, case: Case, sound: list[FrameRecord], item: str) -> None:
    """What was left out is left out, and said to be, and nothing else."""
    keys = {row.key for row in sound}
    if case.stage == "frames":
        report = world.report(f"frame_counts_{dataset}")
        assert sum(report["dropped"]["quarantined"].values()) == 1
        assert {row.key for row in world.records(dataset)} == keys - {item}
        assert sum(report["kept"].values()) == len(keys) - 1
    elif case.stage == "shards":
        folder = world.folder / "out/shards" / dataset
        assert {entry.key for entry in read_index(folder)} == keys - {item}
        assert read_left_out(folder) == {item}
    else:
        store = world.folder / f"out/scenes/{dataset}.zarr"
        assert left_out_scenes(store) == [item]
        assert set(list_scenes(store)) == {row.scene_key for row in sound} - {item}


def test_only_the_end_marker_is_missing(world: World) -> None:
    """All pixels are there, so nothing is lost and nothing is said."""
    file, _, _ = target(world, "rich", "image")
    world.run("frames", "rich")
    world.run("shards", "rich")
    sound = {entry.key: entry.length for entry in read_index(world.folder / "out/shards/rich")}
    world.put(world.raw("rich", file), world.raw("rich", file).read_bytes()[:-2])
    world.run("frames", "rich")
    world.run("shards", "rich")
    assert {entry.key: entry.length for entry in read_index(world.folder / "out/shards/rich")} == sound


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize("what", ["image", "body", "contact"])
def test_a_file_that_cannot_be_read(world: World, what: str, code: int) -> None:
    file, item, split = target(world, "rich", what)
    path = world.raw("rich", file)
    world.put(path, path.read_bytes())  # a new file, so it is measured again
    with d.refused(path.resolve(), code), pytest.raises(QuarantineError, match="1 damaged raw files"):
        world.run("frames", "rich")
    (row,) = world.quarantined("frames", "rich")
    assert (row.item, row.split, row.file, row.rule) == (item, split, file, what)
    assert os.strerror(code) in row.message
    world.run("frames", "rich")  # the right was given: the flawed piece is made again
    assert item in {row.key for row in world.records("rich")}


def test_a_link_to_nowhere(world: World) -> None:
    file, item, _ = target(world, "rich", "image")
    world.remove(world.raw("rich", file))
    world.raw("rich", file).symlink_to("gone.jpeg")
    with pytest.raises(QuarantineError, match=r"no such file"):
        world.run("frames", "rich")
    assert [row.item for row in world.quarantined("frames", "rich")] == [item]


def test_a_folder_in_an_image_s_place_is_no_image(world: World) -> None:
    file, item, split = target(world, "rich", "image")
    world.run("frames", "rich")
    before = world.report("frame_counts_rich")["dropped"].get("no_image", {}).get(split, 0)
    image = world.raw("rich", file)
    world.put(image.with_name(f"00001{image.name[5:]}"), image.read_bytes())  # or the camera would be absent
    world.remove(image)
    image.mkdir()
    world.run("frames", "rich")
    assert world.report("frame_counts_rich")["ignored"] == {"images/SPLIT/SEQ/cam_CC": 1}
    assert world.report("frame_counts_rich")["dropped"]["no_image"][split] == before + 1
    assert item not in {row.key for row in world.records("rich")}


@pytest.mark.parametrize("damage", [d.cut(0.5), d.params(transl=np.full((1, 3), np.nan))], ids=["cut", "NaN"])
@pytest.mark.parametrize("dataset", ["rich", "prox"])
def test_damaged_parameters_of_a_body_without_a_mesh(world: World, dataset: str, damage: Damage) -> None:
    """RICH's bodies and PROX's MoSH bodies; only PROXD is known to ship NaN."""
    mesh, item, _ = target(world, dataset, "body")
    file = mesh.replace("meshes", "results").removesuffix(".ply") + ".pkl"
    world.remove(world.raw(dataset, mesh))
    world.put(world.raw(dataset, file), damage(world.raw(dataset, file).read_bytes()))
    with pytest.raises(QuarantineError, match=rf"{file}: (not read|damaged or not a pickle|NaN or infinite)"):
        world.run("frames", dataset)
    assert [(row.item, row.file, row.rule) for row in world.quarantined("frames", dataset)] == [(item, file, "body")]


def test_a_fit_of_nan_is_dropped_by_its_rule(world: World) -> None:
    file, item, split = target(world, "prox", "fit")
    world.run("frames", "prox")
    before = world.report("frame_counts_prox")["dropped"]["nan_fit"][split]  # the demo plants some
    path = world.raw("prox", file)
    world.put(path, d.params(betas=np.full((1, 10), np.nan))(path.read_bytes()))
    world.run("frames", "prox")
    assert world.report("frame_counts_prox")["dropped"]["nan_fit"][split] == before + 1
    assert item not in {row.key for row in world.records("prox")}


def test_a_damaged_contact_mesh(world: World) -> None:
    """It says whether labels are known (formats a.1)."""
    file, _, _ = target(world, "rich", "contact")
    path = world.raw("rich", file).with_suffix(".obj")
    world.put(path, b"")
    with pytest.raises(QuarantineError, match=r"\.obj: no vertex in this OBJ file"):
        world.run("frames", "rich")
    (row,) = world.quarantined("frames", "rich")
    assert (row.file, row.rule) == (file.replace(".pkl", ".obj"), "contact")


def test_other_cameras_of_a_body_survive(world: World) -> None:
    """One body in two images: a damaged image costs one of them, a damaged body both, and is one file."""
    first = world.sound["rich"][0]
    camera, other = (f"images/train/{first.sequence}/cam_0{n}/{first.frame:05d}_0{n}.jpeg" for n in (0, 1))
    second = next(row for row in world.sound["rich"] if row.sequence == first.sequence and row.camera == 1)
    world.put(world.raw("rich", other), world.raw("rich", second.image_file).read_bytes())
    world.run("frames", "rich", interval=1)
    keys = {row.key for row in world.records("rich")}
    both = {f"{first.sequence}_{n}_{first.frame:05d}_1" for n in (0, 1)}
    assert both < keys
    world.put(world.raw("rich", camera), b"")
    world.run("frames", "rich", interval=1, accepted=1)
    assert keys - {row.key for row in world.records("rich")} == {first.key}
    world.put(world.raw("rich", first.body_file), b"")
    with pytest.raises(QuarantineError, match="1 damaged raw files that 2 items need"):
        world.run("frames", "rich", interval=1)
    assert {row.item for row in world.quarantined("frames", "rich")} == both
    world.run("frames", "rich", interval=1, accepted=1)
    assert keys - {row.key for row in world.records("rich")} == both
    assert world.report("frame_counts_rich")["dropped"]["quarantined"] == {"train": 2}


XML = "scan_calibration/BBQ/calibration/00{}.xml"
TABLE = "resource/meta/train.txt"
COLOR, POSE = "quantitative/calibration/Color.json", "quantitative/cam2world/vicon.json"
SHARED = (
    ("rich", XML.format(1), d.cut(0.5), "not an XML file"),
    ("rich", XML.format(1), d.always(""), "not an XML file"),
    ("rich", XML.format(1), d.always('<?xml version="1.0" encoding="klingon"?><a/>'), "not an XML file"),
    ("rich", XML.format(1), d.always(b"\0" * 500), "not an XML file"),
    ("rich", XML.format(1), d.xml("CameraMatrix", lambda m: m * 2), "not a rigid transform"),
    ("rich", XML.format(1), d.xml("CameraMatrix", lambda m: m * np.nan), "'CameraMatrix' is 3x4 with 12 numbers"),
    ("rich", XML.format(0), d.xml("CameraMatrix", lambda m: m + np.eye(4)[3] * np.ones((3, 1))), "must be identity"),
    ("rich", XML.format(1), d.xml("Intrinsics", lambda m: np.diag([0, 0, 1.0])), "fx = fy > 0"),
    ("rich", XML.format(1), d.xml("Intrinsics", lambda m: m[:2]), "'Intrinsics' is 2x3"),
    ("rich", TABLE, d.replaced(b"view_id", b"views"), r"lacks the columns \['view_id'\]"),
    ("rich", TABLE, d.replaced(b"\t1\tX", b"\tone\tX"), "line 2: id is 'one', allowed: a subject's number"),
    ("rich", TABLE, d.replaced(b"\tmale", b"\tmail"), "line 2: gender is 'mail', allowed: male or female"),
    (
        "rich", TABLE, lambda text: text + b"\n" + text.splitlines()[1],
        "lines 2 and 3 are the same row .BBQ_001_guitar, subject 1.; remove one$",
    ),
    ("rich", TABLE, d.always(b"\xff\xfe" * 50), "not a text file"),
    ("rich", "resource/gender.json", d.edited_json(**{"1": "female"}), "subject 1 is female"),
    ("rich", "resource/gender.json", d.edited_json(one="male"), "a gender for every subject's number"),
    ("rich", "resource/gender.json", d.always("[1]"), "a gender for every subject's number"),
    ("rich", "resource/gender.json", d.cut(0.5), "not a JSON file"),
    ("prox", COLOR, d.always(""), "not a JSON file"),
    ("prox", COLOR, d.edited_json(f=[0.0, 0.0]), "expected 'f': .fx, fy."),
    ("prox", COLOR, d.edited_json(f=[1e400, 1.0]), "Infinity is no number of JSON"),
    ("prox", POSE, d.cut(0.5), "not a JSON file"),
    ("prox", POSE, d.always("[" * 100_000), "not a JSON file"),
    ("prox", POSE, d.always("[[1, 0], [0, 1]]"), "expected a 4x4 matrix as nested lists, found shape .2, 2."),
    ("prox", POSE, d.always(json.dumps((np.eye(4) * 1e200).tolist())), "NaN, infinite or wild values"),
    ("prox", POSE, d.always(json.dumps(np.diag([1.0, 1, -1, 1]).tolist())), "det R = -1"),
)  # fmt: skip


def everything(world: World) -> dict[str, tuple[int, int]]:
    """Size and time of change of all files the stages wrote, but for the locks they held."""
    out = world.folder / "out"
    files = (path for path in out.rglob("*") if path.is_file() and path.parent != out / "work/locks")
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize(("dataset", "file", "damage", "says"), SHARED)
def test_damage_of_what_all_frames_share(world: World, dataset: str, file: str, damage: Damage, says: str) -> None:
    """One error at the start, nothing written."""
    path = world.raw(dataset, file)
    world.put(path, damage(path.read_bytes()))
    before = everything(world)
    with pytest.raises(RawDataError, match=says):
        world.run("frames", dataset, accepted=99)
    assert everything(world) == before


def test_a_twin_of_another_name_is_ignored(world: World) -> None:
    """Its key would be the sound frame's."""
    row = next(row for row in world.sound["prox"] if row.split == "test")
    for file in (row.image_file, row.body_file):
        twin = file.replace("00.00.00", "00-00-00")
        world.put(world.raw("prox", twin), world.raw("prox", file).read_bytes())
    world.run("frames", "prox")
    ignored = world.report("frame_counts_prox")["ignored"]
    assert ignored == {"quantitative/fits/REC/meshes": 1, "quantitative/recordings/REC/Color": 1}
    assert world.records("prox") == world.sound["prox"]


@pytest.mark.parametrize("file", ["transfer.npz", "SMPLX_MALE.npz"])
@pytest.mark.parametrize("damage", [d.cut(0.5), None], ids=["cut", "gone"])
def test_damaged_body_models_stop_the_stage(
    world: World, monkeypatch: pytest.MonkeyPatch, file: str, damage: Damage | None
) -> None:
    """They are no raw file of one frame: nothing is quarantined, however much is accepted."""
    monkeypatch.setattr(frames, "folder_digest", lambda _, **__: f"{file} {damage}")
    path = world.folder / "out/bodies" / file
    world.remove(path)
    if damage is not None:
        path.write_bytes(damage(world.kept(path)))
    bodies._model.cache_clear()
    bodies._transfer.cache_clear()
    before = world.published("frames", "scenes", "shards")
    with pytest.raises(BodyModelError, match=rf"{file}.*(fetch it again|dvc repro bodies)"):
        world.run("frames", "prox", accepted=99)
    assert world.published("frames", "scenes", "shards") == before


@pytest.mark.parametrize("damage", [d.cut(0.5), d.always(""), pickled(Evil())])
def test_damaged_models_of_the_publishers(world: World, damage: Damage) -> None:
    path = world.folder / "body_models/models/smplx/SMPLX_MALE.npz"
    world.put(path, damage(path.read_bytes()))
    before = everything(world)
    with pytest.raises(BodyModelError, match=r"SMPLX_MALE\.npz: not an npz archive.*fetch it again"):
        world.run_bodies()
    assert everything(world) == before


def test_a_user_sees_one_message(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    file, item, _ = target(world, "rich", "body")
    world.put(world.raw("rich", file), b"")
    world.put(world.raw("rich", XML.format(1)), b"")
    world.write_params()
    for told in (["not an XML file"], [f"body of {item}", "not a PLY file", "max_quarantined", "quarantine_frames"]):
        with pytest.raises(SystemExit, match="1"):
            frames.main(["--dataset", "rich"])
        error = capsys.readouterr().err
        assert all(text in error for text in told) and error.count(" error: ") == 1 and "Traceback" not in error
        if len(told) == 1:
            world.mend(world.raw("rich", XML.format(1)))
